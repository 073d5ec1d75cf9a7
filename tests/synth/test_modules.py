"""The Verilog text cut into modules."""

import pytest

from hwgen.synth.modules import instance_counts, split_modules

TEXT = r"""/* made by hand */
module \top.leaf (clk, d, q);
  input clk;
  wire clk;
  input [3:0] d;
  wire [3:0] d;
  output [3:0] q;
  reg [3:0] q = 4'h0;
  reg [3:0] words [1:0];
  initial begin : zero_words
    integer i;
    for (i = 0; i < 2; i = i + 1) words[i] = 4'd0;
  end
  always @(posedge clk) q <= d;
endmodule

module \top.pair (clk, d, q);
  input clk;
  input [3:0] d;
  output [3:0] q;
  wire [3:0] between;
  \top.leaf  first (
    .clk(clk),
    .d(d),
    .q(between)
  );
  \top.leaf  \second$1  (
    .clk(clk),
    .d(between),
    .q(q)
  );
endmodule

module top(clk, d, q);
  input clk;
  input [3:0] d;
  output [3:0] q;
  wire [3:0] a, b;
  \top.pair  p0 (
    .clk(clk),
    .d(d),
    .q(a)
  );
  \top.pair  p1 (
    .clk(clk),
    .d(a),
    .q(b)
  );
  \top.leaf  last (
    .clk(clk),
    .d(b),
    .q(q)
  );
endmodule
"""


def test_children_come_first_and_are_counted():
    modules = split_modules(TEXT)
    assert list(modules) == ["top.leaf", "top.pair", "top"]
    assert modules["top.leaf"].children == {}
    assert modules["top.pair"].children == {"top.leaf": 2}
    assert modules["top"].children == {"top.pair": 2, "top.leaf": 1}
    assert instance_counts(modules, "top") == {"top": 1, "top.pair": 2, "top.leaf": 5}
    assert instance_counts(modules, "top.pair") == {"top.pair": 1, "top.leaf": 2}


def test_stub_has_ports_and_nothing_else():
    stub = split_modules(TEXT)["top.leaf"].stub
    ports = ["  input clk;", "  input [3:0] d;", "  output [3:0] q;"]
    assert stub.splitlines() == ["(* blackbox *)", "module \\top.leaf (clk, d, q);", *ports, "endmodule"]


def test_source_does_not_clear_memories():
    leaf = split_modules(TEXT)["top.leaf"]
    assert "initial" in leaf.text
    assert "initial" not in leaf.source
    assert "reg [3:0] words [1:0];" in leaf.source


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wire x;", "the Verilog has no module"),
        (TEXT.replace("module \\top.leaf", "module \\top.other"), "top.pair instantiates top.leaf"),
    ],
)
def test_broken_texts(text: str, message: str):
    with pytest.raises(ValueError, match=message):
        split_modules(text)


def test_unknown_top():
    with pytest.raises(ValueError, match=r"no module 'bottom'; the text has top\.leaf, top\.pair, top"):
        instance_counts(split_modules(TEXT), "bottom")
