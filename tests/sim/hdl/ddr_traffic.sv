// Traffic for the tests of the DDR model: every port writes its own region in bursts, or reads it and checks the data.
// Word w of a beat at byte address a holds {~a[31:0] + w, a[31:0] + w, ...}: a wrong beat, order or port is noticed.

module ddr_traffic #(
    parameter int PORTS = 4
);
  // Set by plus arguments.
  logic [31:0] latency, rate, refresh_interval, refresh_cycles, stall, seed;
  logic [31:0] read_commands, read_buffer, silent_mask, silent_on, silent_from, silent_until;
  logic [31:0] mode;  // 0 read, 1 write, 2 both: even ports read, odd ports write
  logic [31:0] length;  // beats per burst
  logic [31:0] bursts;  // per port
  logic [31:0] flight;  // most bursts outstanding
  logic [31:0] active;  // ports that work
  logic [31:0] offset;  // added to every address
  logic [31:0] error_at;  // error range in port 0's region: 4 KB from here (0: none)
  logic [31:0] lazy;  // the master's own stalls, of 256
  // Results.
  logic finished /*verilator public_flat_rd*/;
  logic [63:0] cycle /*verilator public_flat_rd*/;
  logic [63:0] first_data /*verilator public_flat_rd*/;  // cycles from the first address to the first beat, port 0
  logic [63:0] read_beats /*verilator public_flat_rd*/;
  logic [63:0] write_beats /*verilator public_flat_rd*/;
  logic [31:0] wrong /*verilator public_flat_rd*/;
  logic [31:0] unstable /*verilator public_flat_rd*/;
  logic [31:0] slave_errors /*verilator public_flat_rd*/;
  logic [31:0] decode_errors /*verilator public_flat_rd*/;
  logic fault /*verilator public_flat_rd*/;

  import "DPI-C" function longint hwgen_ddr_open(input string path);

  localparam logic [63:0] BASE = 64'h8_0000_0000;
  localparam int REGION = 1 << 20;

  logic clk, rst_n;
  logic [63:0] memory_base, memory_beats, error_base, error_bytes;

  initial begin
    clk = 0;
    cycle = 0;
    if ($value$plusargs("latency=%d", latency) == 0) latency = 20;
    if ($value$plusargs("rate=%d", rate) == 0) rate = 0;
    if ($value$plusargs("refresh_interval=%d", refresh_interval) == 0) refresh_interval = 0;
    if ($value$plusargs("refresh_cycles=%d", refresh_cycles) == 0) refresh_cycles = 0;
    if ($value$plusargs("stall=%d", stall) == 0) stall = 0;
    if ($value$plusargs("seed=%d", seed) == 0) seed = 1;
    if ($value$plusargs("read_commands=%d", read_commands) == 0) read_commands = 0;
    if ($value$plusargs("read_buffer=%d", read_buffer) == 0) read_buffer = 0;
    if ($value$plusargs("silent_mask=%d", silent_mask) == 0) silent_mask = 0;
    if ($value$plusargs("silent_on=%d", silent_on) == 0) silent_on = 0;
    if ($value$plusargs("silent_from=%d", silent_from) == 0) silent_from = 0;
    if ($value$plusargs("silent_until=%d", silent_until) == 0) silent_until = 0;
    if ($value$plusargs("mode=%d", mode) == 0) mode = 0;
    if ($value$plusargs("length=%d", length) == 0) length = 16;
    if ($value$plusargs("bursts=%d", bursts) == 0) bursts = 100;
    if ($value$plusargs("flight=%d", flight) == 0) flight = 16;
    if ($value$plusargs("active=%d", active) == 0) active = PORTS;
    if ($value$plusargs("offset=%d", offset) == 0) offset = 0;
    if ($value$plusargs("error_at=%d", error_at) == 0) error_at = 0;
    if ($value$plusargs("lazy=%d", lazy) == 0) lazy = 0;
    memory_base = BASE;
    memory_beats = hwgen_ddr_open("memory.bin");
    error_base = BASE + 64'(error_at);
    error_bytes = error_at == 0 ? 0 : 4096;
  end

  always #1 clk = ~clk;
  assign rst_n = cycle >= 4;
  always_ff @(posedge clk) cycle <= cycle + 1;

  logic [PORTS-1:0] awvalid, awready, wvalid, wready, wlast, bvalid, bready, arvalid, arready, rvalid, rready, rlast;
  logic [PORTS-1:0][63:0] awaddr, araddr;
  logic [PORTS-1:0][7:0] awlen, arlen;
  logic [PORTS-1:0][2:0] awsize, arsize;
  logic [PORTS-1:0][1:0] awburst, arburst, bresp, rresp;
  logic [PORTS-1:0][127:0] wdata, rdata;
  logic [PORTS-1:0][15:0] wstrb;

  hwgen_ddr #(
      .PORTS(PORTS)
  ) ddr (
      .stall(stall[8:0]),
      .silent_ports(cycle >= 64'(silent_from) && cycle < 64'(silent_until) ? silent_mask[PORTS-1:0] : '0),
      .silent_channels(silent_on[4:0]),
      .*
  );

  function automatic logic [127:0] pattern(logic [63:0] address);
    return {~address[31:0] + 32'd1, address[31:0] + 32'd3, address[31:0] ^ 32'hA5A5_0F0F, address[31:0]};
  endfunction

  logic [PORTS-1:0] port_done;
  logic [PORTS-1:0][31:0] port_wrong, port_unstable, port_slave, port_decode;
  for (genvar p = 0; p < PORTS; p++) begin : ports
    logic [31:0] asked, sent, answered;  // bursts: addresses given, data sent, completed
    logic [31:0] beat, got;
    logic [31:0] random;
    wire writes = mode == 1 || (mode == 2 && p % 2 == 1);
    wire [63:0] start = BASE + 64'(p * REGION) + 64'(offset);
    wire [31:0] bytes = 16 * length;
    wire eager = {1'b0, random[7:0]} >= lazy[8:0];
    wire working = rst_n && p < int'(active);

    assign {awlen[p], arlen[p]} = {2{8'(length - 1)}};
    assign {awsize[p], arsize[p], awburst[p], arburst[p]} = {3'd4, 3'd4, 2'b01, 2'b01};
    assign awaddr[p] = start + 64'(asked * bytes);
    assign araddr[p] = start + 64'(asked * bytes);
    assign wdata[p] = pattern(start + 64'(sent * bytes + 16 * beat));
    assign wstrb[p] = '1;
    assign wlast[p] = beat == length - 1;
    assign awvalid[p] = working && writes && asked < bursts && asked - answered < flight;
    assign wvalid[p] = working && writes && sent < bursts && sent <= answered + flight;
    assign arvalid[p] = working && !writes && asked < bursts && asked - answered < flight;
    assign rready[p] = eager;
    assign bready[p] = eager;
    assign port_done[p] = p >= int'(active) || answered == bursts;

    logic held;
    logic [130:0] held_beat;
    always_ff @(posedge clk) begin
      random <= {random[30:0], random[31] ^ random[21] ^ random[1] ^ random[0]};
      if ((awvalid[p] && awready[p]) || (arvalid[p] && arready[p])) asked <= asked + 1;
      if (wvalid[p] && wready[p]) begin
        beat <= wlast[p] ? 0 : beat + 1;
        if (wlast[p]) sent <= sent + 1;
      end
      if (bvalid[p] && bready[p]) answered <= answered + 1;
      if (rvalid[p] && rready[p]) begin
        if (rresp[p] == 0 && rdata[p] != pattern(start + 64'(answered * bytes + 16 * got)))
          port_wrong[p] <= port_wrong[p] + 1;
        if (rlast[p] != (got == length - 1)) port_wrong[p] <= port_wrong[p] + 1;
        got <= rlast[p] ? 0 : got + 1;
        if (rlast[p]) answered <= answered + 1;
      end
      if ((rvalid[p] && rready[p] && rresp[p] == 2'b10) || (bvalid[p] && bready[p] && bresp[p] == 2'b10))
        port_slave[p] <= port_slave[p] + 1;
      if ((rvalid[p] && rready[p] && rresp[p] == 2'b11) || (bvalid[p] && bready[p] && bresp[p] == 2'b11))
        port_decode[p] <= port_decode[p] + 1;
      held <= rst_n && rvalid[p] && !rready[p];
      held_beat <= {rdata[p], rresp[p], rlast[p]};
      if (held && !(rvalid[p] && held_beat == {rdata[p], rresp[p], rlast[p]})) port_unstable[p] <= port_unstable[p] + 1;
      if (!rst_n) begin
        {asked, sent, answered, beat, got, held} <= '0;
        {port_wrong[p], port_unstable[p], port_slave[p], port_decode[p]} <= '0;
        random <= 32'hC0FFEE11 + 32'(p);
      end
    end
  end

  logic [63:0] first_address;
  always_ff @(posedge clk) begin
    finished <= rst_n && &port_done;
    wrong <= 0;
    unstable <= 0;
    slave_errors <= 0;
    decode_errors <= 0;
    if (rst_n) begin
      automatic logic [31:0] a = 0, b = 0, c = 0, d = 0;
      for (int p = 0; p < PORTS; p++) begin
        a += port_wrong[p];
        b += port_unstable[p];
        c += port_slave[p];
        d += port_decode[p];
      end
      wrong <= a;
      unstable <= b;
      slave_errors <= c;
      decode_errors <= d;
      if (first_address == 0 && arvalid[0] && arready[0]) first_address <= cycle;
      if (first_data == 0 && rvalid[0]) first_data <= cycle - first_address;
    end else {first_address, first_data} <= '0;
  end
endmodule
