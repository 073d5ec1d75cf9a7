"""Shorter Verilog: what goes, what stays."""

from hwgen.emit.tidy import compact_memories, compare_vectors, drop_aliases

MEMORY = """\
  reg [7:0] words [3:0];
  initial begin
    words[0] = 8'h00;
    words[1] = 8'h00;
    words[2] = 8'h{third};
    words[3] = 8'h00;
  end
"""

FIELDS = """\
module \\top{path} (a, packed__low, o);
  input [7:0] a;
  wire [7:0] a;
  output [3:0] o;
  wire [3:0] o;
  wire [7:0] \\$1 ;
  wire [7:0] sum;
  wire [3:0] \\sum.low ;
  (* init = 4'h0 *)
  wire [3:0] \\sum.high ;
  wire [1:0] \\sum.high.top ;
  (* keep = 1 *)
  wire [3:0] kept;
  wire [3:0] read;
  wire [3:0] second;
  wire [7:0] only_name;
  wire [3:0] packed__low;
  \\top.child  child (
    .second(a[3:0])
  );
  assign \\$1  = a + 8'h01;
  assign o = sum[7:4] ^ read;
  assign sum = {{ a[3:0], a[7:4] }};
  assign \\sum.low  = sum[3:0];
  assign \\sum.high  = sum[7:4];
  assign \\sum.high.top  = \\sum.high [3:2];
  assign kept = sum[3:0];
  assign read = a[3:0];
  assign second = a[7:4];
  assign only_name = \\$1 ;
endmodule
"""


def test_a_memory_of_zeros_is_filled_by_a_loop():
    text = compact_memories(MEMORY.format(third="00"))
    assert "begin : zero_words\n    integer i;\n    for (i = 0; i < 4; i = i + 1) words[i] = 8'd0;\n  end\n" in text
    assert "words[2]" not in text


def test_the_first_word_of_a_memory_of_zeros_is_enough():
    lines = MEMORY.format(third="00").splitlines(keepends=True)
    assert compact_memories("".join([*lines[:3], lines[-1]])) == compact_memories("".join(lines))
    for some in (lines[:4], lines[:5]):
        text = "".join([*some, lines[-1]])
        assert compact_memories(text) == text


def test_any_other_memory_stays_as_it_is():
    assert compact_memories(MEMORY.format(third="01")) == MEMORY.format(third="01")


def test_names_that_nothing_reads_go():
    text = drop_aliases(FIELDS.format(path=""), keep=".trace")
    for gone in ("\\sum.low ", "\\sum.high ", "\\sum.high.top ", "init", " second;", " second ="):
        assert gone not in text
    # ports, names with attributes, names that are read, the only names of a value, pins
    stays = ("assign o = ", "assign kept = ", "(* keep", "assign read = ", "assign only_name = ", "assign sum = ")
    for text_of in (*stays, "  wire [3:0] packed__low;\n", ".second(a[3:0])", "assign \\$1  = "):
        assert text_of in text
    assert drop_aliases(text, keep=".trace") == text


def test_modules_that_a_simulation_looks_into_stay():
    text = FIELDS.format(path=".core.trace")
    assert drop_aliases(text, keep=".trace") == text


def test_a_vector_is_compared_by_a_reduction():
    text = "  assign a = ! b;\n  assign c = ! { d, e };\n  assign f = g != h;\n  assign i = j ? ! \\k.l  : m;\n"
    expected = "  assign a = ~| b;\n  assign c = ~| { d, e };\n  assign f = g != h;\n  assign i = j ? ~| \\k.l  : m;\n"
    assert compare_vectors(text) == expected
