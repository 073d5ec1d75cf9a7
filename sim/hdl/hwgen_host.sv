// Host processor of a simulation: one command at a time, AXI4-Lite accesses and bounded waits.
//
// Whoever drives `request` toggles it after setting operation, address and value; `done` follows when the command has
// ended, with `status` and `result`. Every command ends: after `limit` cycles at the latest.

module hwgen_host #(
    parameter int ADDRESS_BITS = 8
) (
    input logic clk,
    input logic rst_n,
    input logic request,
    input logic [1:0] operation,  // 0 write, 1 read, 2 wait for the interrupt, 3 wait `limit` cycles
    input logic [ADDRESS_BITS-1:0] address,
    input logic [31:0] value,
    input logic [63:0] limit,  // cycles
    output logic done,
    output logic [31:0] result,
    output logic [1:0] status,  // 0 good, 1 time-out, 2 AXI error, 3 fault
    input logic irq,
    input logic fault,  // something outside went wrong: end every command
    output logic [ADDRESS_BITS-1:0] awaddr,
    output logic awvalid,
    input logic awready,
    output logic [31:0] wdata,
    output logic [3:0] wstrb,
    output logic wvalid,
    input logic wready,
    input logic [1:0] bresp,
    input logic bvalid,
    output logic bready,
    output logic [ADDRESS_BITS-1:0] araddr,
    output logic arvalid,
    input logic arready,
    input logic [31:0] rdata,
    input logic [1:0] rresp,
    input logic rvalid,
    output logic rready
);
  localparam logic [1:0] WRITE = 0, READ = 1, INTERRUPT = 2;
  localparam logic [1:0] GOOD = 0, TIMEOUT = 1, AXI_ERROR = 2, FAULT = 3;

  logic busy, asked;  // asked: value of `request` that was seen last
  logic [63:0] left;
  logic ended;
  logic [1:0] verdict;

  assign wstrb = 4'b1111;

  always_comb begin
    ended = 1'b1;
    verdict = GOOD;
    if (fault) verdict = FAULT;
    else if (bready && bvalid) verdict = bresp == 2'b00 ? GOOD : AXI_ERROR;
    else if (rready && rvalid) verdict = rresp == 2'b00 ? GOOD : AXI_ERROR;
    else if (operation == INTERRUPT && irq) verdict = GOOD;
    else if (left <= 1) verdict = operation == 2'd3 ? GOOD : TIMEOUT;
    else ended = 1'b0;
  end

  always_ff @(posedge clk) begin
    if (awready) awvalid <= 1'b0;
    if (wready) wvalid <= 1'b0;
    if (arready) arvalid <= 1'b0;
    if (!busy && request != asked) begin
      busy  <= 1'b1;
      asked <= request;
      left  <= limit;
      awaddr <= address;
      araddr <= address;
      wdata <= value;
      awvalid <= operation == WRITE;
      wvalid <= operation == WRITE;
      bready <= operation == WRITE;
      arvalid <= operation == READ;
      rready <= operation == READ;
    end
    if (busy) begin
      left <= left - 1;
      if (ended) begin
        busy <= 1'b0;
        result <= rdata;
        status <= verdict;
        done <= asked;
        {awvalid, wvalid, bready, arvalid, rready} <= '0;
      end
    end
    if (!rst_n) {awvalid, wvalid, bready, arvalid, rready} <= '0;
  end

  initial begin
    asked = 1'b0;
    done  = 1'b0;
  end
endmodule
