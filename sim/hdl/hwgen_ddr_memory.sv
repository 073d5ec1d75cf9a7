// What the ports of the DDR model share: the memory behind them, bursts and their rules.

package hwgen_ddr_memory;
  import "DPI-C" function void hwgen_ddr_read(
    input longint beat,
    output bit [127:0] data
  );
  import "DPI-C" function void hwgen_ddr_write(
    input longint beat,
    input bit [127:0] data,
    input int strobes
  );

  typedef struct packed {
    logic [63:0] address;
    logic [7:0]  len;
    logic [2:0]  size;
    logic [1:0]  burst;
  } address_t;

  // The five channels of a port; one bit each where something holds for some of them.
  typedef struct packed {
    logic b;
    logic w;
    logic aw;
    logic r;
    logic ar;
  } channels_t;

  typedef struct packed {
    logic [59:0] beat;  // index of the first beat in memory
    logic [8:0]  beats;
    logic [1:0]  resp;
  } burst_t;

  // What is wrong with a burst; empty when it keeps the rules of this model.
  function automatic string problem(address_t a);
    if (a.burst != 2'b01) return "burst is not INCR";
    if (a.size != 3'd4) return "size is not 16 bytes";
    if (a.address[3:0] != 0) return "address is not a multiple of 16";
    if (64'(a.address[11:0]) + 16 * (64'(a.len) + 1) > 4096) return "burst crosses 4 KB";
    return "";
  endfunction

  // Response of a burst: OKAY, SLVERR inside the error range, DECERR outside the memory.
  function automatic logic [1:0] response(logic [63:0] address, logic [7:0] len, logic [63:0] memory_base,
                                          logic [63:0] memory_beats, logic [63:0] error_base,
                                          logic [63:0] error_bytes);
    automatic logic [63:0] stop = address + 16 * (64'(len) + 1);
    if (address < memory_base || stop > memory_base + 16 * memory_beats || stop < address) return 2'b11;
    if (address < error_base + error_bytes && stop > error_base) return 2'b10;
    return 2'b00;
  endfunction

  function automatic logic [31:0] scramble(logic [31:0] state);
    automatic logic [31:0] x = state;
    x = x ^ (x << 13);
    x = x ^ (x >> 17);
    x = x ^ (x << 5);
    return x;
  endfunction
endpackage
