// Write half of a port of the DDR model (hwgen_ddr.sv).

module hwgen_ddr_write_port
  import hwgen_ddr_memory::*;
#(
    parameter int PORT  = 0,
    parameter int DEPTH = 16
) (
    input logic clk,
    input logic rst_n,
    input logic [31:0] now,
    input logic [31:0] latency,
    input logic [8:0] stall,
    input logic [31:0] seed,
    input logic silent_aw,
    input logic silent_w,
    input logic silent_b,
    input logic [63:0] memory_base,
    input logic [63:0] memory_beats,
    input logic [63:0] error_base,
    input logic [63:0] error_bytes,
    output logic want,
    input logic grant,
    output logic fault,
    input logic awvalid,
    output logic awready,
    input logic [63:0] awaddr,
    input logic [7:0] awlen,
    input logic [2:0] awsize,
    input logic [1:0] awburst,
    input logic wvalid,
    output logic wready,
    input logic [127:0] wdata,
    input logic [15:0] wstrb,
    input logic wlast,
    output logic bvalid,
    input logic bready,
    output logic [1:0] bresp
);
  localparam int INDEX = $clog2(DEPTH);

  burst_t queue[DEPTH];
  logic [33:0] answers[DEPTH];  // cycle from which it may be given, response
  logic [INDEX:0] head, tail, answer_head, answer_tail;
  logic [8:0] done;
  logic [31:0] random;
  logic address_waiting, data_waiting;
  address_t held;
  logic [144:0] held_data;

  wire [INDEX:0] used = tail - head;
  wire [INDEX:0] answers_used = answer_tail - answer_head;
  wire burst_t current = queue[head[INDEX-1:0]];
  wire [33:0] answer = answers[answer_head[INDEX-1:0]];
  wire address_t offered = '{address: awaddr, len: awlen, size: awsize, burst: awburst};
  wire last = done + 1 == current.beats;

  assign awready = rst_n && 32'(used) < DEPTH && !silent_aw && {1'b0, random[7:0]} >= stall;
  assign want = used != 0 && wvalid && 32'(answers_used) < DEPTH && !silent_w && {1'b0, random[15:8]} >= stall;
  assign wready = grant;

  always_ff @(posedge clk) begin
    random <= scramble(random);
    if (grant) begin
      if (current.resp == 2'b00) hwgen_ddr_write(64'(current.beat) + 64'(done), wdata, 32'(wstrb));
      done <= last ? 0 : done + 1;
      if (last) begin
        head <= head + 1;
        answers[answer_tail[INDEX-1:0]] <= {now + latency - 1, current.resp};
        answer_tail <= answer_tail + 1;
      end
    end
    if (awvalid && awready) begin
      queue[tail[INDEX-1:0]] <= '{
          beat: 60'((awaddr - memory_base) >> 4),
          beats: 9'(awlen) + 1,
          resp: response(offered.address, offered.len, memory_base, memory_beats, error_base, error_bytes)
      };
      tail <= tail + 1;
    end
    if (bready) bvalid <= 1'b0;
    if (answers_used != 0 && $signed(now - answer[33:2]) >= 0 && (!bvalid || bready) && !silent_b
        && {1'b0, random[23:16]} >= stall) begin
      bvalid <= 1'b1;
      bresp <= answer[1:0];
      answer_head <= answer_head + 1;
    end
    if (!rst_n) begin
      {head, tail, answer_head, answer_tail, done, bvalid} <= '0;
      random <= seed ^ 32'(64'h9E3779B97F4A7C15 * 64'(2 * PORT + 2));
    end
  end

  always_ff @(posedge clk) begin
    address_waiting <= rst_n && awvalid && !awready;
    data_waiting <= rst_n && wvalid && !wready;
    held <= offered;
    held_data <= {wdata, wstrb, wlast};
    fault <= 1'b0;
    if (rst_n && awvalid && awready && problem(offered) != "") begin
      $display("ddr: cycle %0d port %0d write %h len %0d: %s", now, PORT, awaddr, awlen, problem(offered));
      fault <= 1'b1;
    end
    if (rst_n && address_waiting && !(awvalid && offered == held)) begin
      $display("ddr: cycle %0d port %0d: write address changed before it was taken", now, PORT);
      fault <= 1'b1;
    end
    if (rst_n && data_waiting && !(wvalid && {wdata, wstrb, wlast} == held_data)) begin
      $display("ddr: cycle %0d port %0d: write data changed before it was taken", now, PORT);
      fault <= 1'b1;
    end
    if (rst_n && grant && wlast != last) begin
      $display("ddr: cycle %0d port %0d: wlast is %0d in beat %0d of %0d", now, PORT, wlast, done + 1, current.beats);
      fault <= 1'b1;
    end
  end
endmodule
