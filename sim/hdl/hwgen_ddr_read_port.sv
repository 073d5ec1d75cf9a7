// Read half of a port of the DDR model (hwgen_ddr.sv).

module hwgen_ddr_read_port
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
    input logic [31:0] read_commands,
    input logic [31:0] read_buffer,
    input logic silent_ar,
    input logic silent_r,
    input logic [63:0] memory_base,
    input logic [63:0] memory_beats,
    input logic [63:0] error_base,
    input logic [63:0] error_bytes,
    output logic want,
    input logic grant,
    output logic fault,
    input logic arvalid,
    output logic arready,
    input logic [63:0] araddr,
    input logic [7:0] arlen,
    input logic [2:0] arsize,
    input logic [1:0] arburst,
    output logic rvalid,
    input logic rready,
    output logic [127:0] rdata,
    output logic [1:0] rresp,
    output logic rlast
);
  localparam int INDEX = $clog2(DEPTH);

  burst_t queue[DEPTH];
  logic [31:0] due[DEPTH];  // cycle from which the burst may be served
  logic [INDEX:0] head, tail;
  logic [8:0] done;  // beats of the head burst that were served
  logic [31:0] room;  // beats of the read buffer that no burst has
  logic [31:0] random;
  logic waiting;  // an address was offered and not taken
  address_t held;

  wire [INDEX:0] used = tail - head;
  wire burst_t current = queue[head[INDEX-1:0]];
  wire ready = $signed(now - due[head[INDEX-1:0]]) >= 0;
  wire address_t offered = '{address: araddr, len: arlen, size: arsize, burst: arburst};

  wire fits = (read_commands == 0 || 32'(used) < read_commands) && (read_buffer == 0 || 32'(arlen) < room);

  assign arready = rst_n && 32'(used) < DEPTH && fits && !silent_ar && {1'b0, random[7:0]} >= stall;
  assign want = used != 0 && ready && (!rvalid || rready) && !silent_r && {1'b0, random[15:8]} >= stall;

  always_ff @(posedge clk) begin
    random <= scramble(random);
    room <= room + 32'(grant) - (arvalid && arready ? 32'(arlen) + 1 : 0);
    if (rready) rvalid <= 1'b0;
    if (grant) begin
      automatic bit [127:0] data;
      hwgen_ddr_read(64'(current.beat) + 64'(done), data);
      rvalid <= 1'b1;
      rdata <= current.resp == 2'b00 ? data : '0;
      rresp <= current.resp;
      rlast <= done + 1 == current.beats;
      done <= done + 1;
      if (done + 1 == current.beats) begin
        done <= 0;
        head <= head + 1;
      end
    end
    if (arvalid && arready) begin
      queue[tail[INDEX-1:0]] <= '{
          beat: 60'((araddr - memory_base) >> 4),
          beats: 9'(arlen) + 1,
          resp: response(offered.address, offered.len, memory_base, memory_beats, error_base, error_bytes)
      };
      due[tail[INDEX-1:0]] <= now + latency - 1;
      tail <= tail + 1;
    end
    if (!rst_n) begin
      {head, tail, done, rvalid} <= '0;
      room <= read_buffer;
      random <= seed ^ 32'(64'h9E3779B97F4A7C15 * 64'(2 * PORT + 1));
    end
  end

  always_ff @(posedge clk) begin
    waiting <= rst_n && arvalid && !arready;
    held <= offered;
    fault <= 1'b0;
    if (rst_n && arvalid && arready && problem(offered) != "") begin
      $display("ddr: cycle %0d port %0d read %h len %0d: %s", now, PORT, araddr, arlen, problem(offered));
      fault <= 1'b1;
    end
    if (rst_n && waiting && !(arvalid && offered == held)) begin
      $display("ddr: cycle %0d port %0d: read address changed before it was taken", now, PORT);
      fault <= 1'b1;
    end
  end
endmodule
