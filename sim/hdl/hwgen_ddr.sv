// Behavioural DDR: AXI4 ports of 128 bits that share one memory and one bandwidth.
//
// Every beat, read or write, takes 16 bytes out of a token bucket that fills with `rate` bytes per cycle. In a refresh
// gap no beat moves, while the bucket goes on filling: `rate` is the average, gaps included. Bursts of one port are
// answered in order, reads and writes apart; the first beat of a read is valid `latency` cycles (at least 2) after its
// address was taken, the response of a write is valid `latency` cycles after its last beat. Random stalls hold back each channel in
// `stall` of 256 cycles. A burst that touches the error range is answered with SLVERR, one outside the memory
// with DECERR. A violation of the protocol prints a line that starts with "ddr:" and raises `fault`.
//
// A port takes at most `read_commands` bursts of reads and has room for `read_buffer` beats of their data, as the ports
// of a real memory controller do: a burst that does not fit waits in front of it.
// A port in `silent_ports` neither takes nor gives anything on the channels in `silent_channels` while these are set;
// what it owes it answers afterwards, in order.

module hwgen_ddr
  import hwgen_ddr_memory::*;
#(
    parameter int PORTS = 1,
    parameter int DEPTH = 16,  // bursts outstanding per port and direction, power of two
    parameter int BUCKET = 8192  // bytes that may be saved up
) (
    input logic clk,
    input logic rst_n,
    // settings; bytes per cycle have 8 fraction bits, 0 means no limit
    input logic [31:0] latency,
    input logic [31:0] rate,
    input logic [31:0] refresh_interval,
    input logic [31:0] refresh_cycles,
    input logic [8:0] stall,
    input logic [31:0] seed,
    input logic [31:0] read_commands,  // 0: DEPTH
    input logic [31:0] read_buffer,  // beats, 0: no limit
    input logic [PORTS-1:0] silent_ports,
    input channels_t silent_channels,
    input logic [63:0] memory_base,
    input logic [63:0] memory_beats,
    input logic [63:0] error_base,
    input logic [63:0] error_bytes,
    // AXI4 slaves
    input logic [PORTS-1:0] awvalid,
    output logic [PORTS-1:0] awready,
    input logic [PORTS-1:0][63:0] awaddr,
    input logic [PORTS-1:0][7:0] awlen,
    input logic [PORTS-1:0][2:0] awsize,
    input logic [PORTS-1:0][1:0] awburst,
    input logic [PORTS-1:0] wvalid,
    output logic [PORTS-1:0] wready,
    input logic [PORTS-1:0][127:0] wdata,
    input logic [PORTS-1:0][15:0] wstrb,
    input logic [PORTS-1:0] wlast,
    output logic [PORTS-1:0] bvalid,
    input logic [PORTS-1:0] bready,
    output logic [PORTS-1:0][1:0] bresp,
    input logic [PORTS-1:0] arvalid,
    output logic [PORTS-1:0] arready,
    input logic [PORTS-1:0][63:0] araddr,
    input logic [PORTS-1:0][7:0] arlen,
    input logic [PORTS-1:0][2:0] arsize,
    input logic [PORTS-1:0][1:0] arburst,
    output logic [PORTS-1:0] rvalid,
    input logic [PORTS-1:0] rready,
    output logic [PORTS-1:0][127:0] rdata,
    output logic [PORTS-1:0][1:0] rresp,
    output logic [PORTS-1:0] rlast,
    // statistics
    output logic [63:0] read_beats,
    output logic [63:0] write_beats,
    output logic fault
);
  localparam logic signed [31:0] BEAT_TOKENS = 16 * 256;
  localparam logic signed [31:0] BUCKET_TOKENS = BUCKET * 256;

  logic [31:0] now;
  logic [31:0] refresh_count;
  logic signed [31:0] tokens;
  logic [31:0] first;  // port and direction that is asked first: 2 * port + write
  logic [2*PORTS-1:0] want, grant;
  logic [PORTS-1:0] port_fault;

  wire refreshing = refresh_interval != 0 && refresh_count < refresh_cycles;

  // Arbiter: in turn, as long as the bucket holds a whole beat.
  logic signed [31:0] left;
  logic [31:0] next_first;
  always_comb begin
    grant = '0;
    left = tokens;
    next_first = first;
    for (int i = 0; i < 2 * PORTS; i++) begin
      automatic int k = int'(first) + i < 2 * PORTS ? int'(first) + i : int'(first) + i - 2 * PORTS;
      if (want[k] && !refreshing && (rate == 0 || left >= BEAT_TOKENS)) begin
        grant[k] = 1'b1;
        left = left - BEAT_TOKENS;
        next_first = k == 2 * PORTS - 1 ? 0 : k + 1;
      end
    end
  end

  always_ff @(posedge clk) begin
    automatic logic signed [31:0] filled = left + $signed(rate);
    now <= now + 1;
    first <= next_first;
    tokens <= rate == 0 ? 0 : filled > BUCKET_TOKENS ? BUCKET_TOKENS : filled;
    refresh_count <= refresh_count + 1 >= refresh_interval ? 0 : refresh_count + 1;
    if (!rst_n) begin
      now <= 0;
      first <= 0;
      tokens <= 0;
      refresh_count <= refresh_cycles;
    end
  end

  logic [PORTS-1:0] read_grant, write_grant;
  for (genvar p = 0; p < PORTS; p++) begin : ports
    assign read_grant[p]  = grant[2*p];
    assign write_grant[p] = grant[2*p+1];
    channels_t silent;
    assign silent = silent_ports[p] ? silent_channels : '0;
    hwgen_ddr_read_port #(
        .PORT (p),
        .DEPTH(DEPTH)
    ) reader (
        .silent_ar(silent.ar),
        .silent_r(silent.r),
        .want(want[2*p]),
        .grant(grant[2*p]),
        .fault(read_fault[p]),
        .arvalid(arvalid[p]),
        .arready(arready[p]),
        .araddr(araddr[p]),
        .arlen(arlen[p]),
        .arsize(arsize[p]),
        .arburst(arburst[p]),
        .rvalid(rvalid[p]),
        .rready(rready[p]),
        .rdata(rdata[p]),
        .rresp(rresp[p]),
        .rlast(rlast[p]),
        .*
    );
    hwgen_ddr_write_port #(
        .PORT (p),
        .DEPTH(DEPTH)
    ) writer (
        .silent_aw(silent.aw),
        .silent_w(silent.w),
        .silent_b(silent.b),
        .want(want[2*p+1]),
        .grant(grant[2*p+1]),
        .fault(write_fault[p]),
        .awvalid(awvalid[p]),
        .awready(awready[p]),
        .awaddr(awaddr[p]),
        .awlen(awlen[p]),
        .awsize(awsize[p]),
        .awburst(awburst[p]),
        .wvalid(wvalid[p]),
        .wready(wready[p]),
        .wdata(wdata[p]),
        .wstrb(wstrb[p]),
        .wlast(wlast[p]),
        .bvalid(bvalid[p]),
        .bready(bready[p]),
        .bresp(bresp[p]),
        .*
    );
  end

  logic [PORTS-1:0] read_fault, write_fault;
  assign port_fault = read_fault | write_fault;

  always_ff @(posedge clk) begin
    read_beats  <= read_beats + 64'($countones(read_grant));
    write_beats <= write_beats + 64'($countones(write_grant));
    fault <= fault || |port_fault;
    if (!rst_n) begin
      read_beats  <= 0;
      write_beats <= 0;
      fault <= 1'b0;
    end
  end
endmodule
