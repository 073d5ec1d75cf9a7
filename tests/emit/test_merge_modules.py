"""Equal modules merge, different ones do not, and the design means what it meant."""

import re

import pytest
from amaranth.back import verilog
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.emit.merge_modules import merge_modules

INSTANCE = re.compile(r"^  (\\\S+ |\w+) (\w+) \($", re.MULTILINE)


class Leaf(wiring.Component):
    """Multiplies into a register."""

    def __init__(self, factor: int):
        self.factor = factor
        super().__init__({"i": In(signed(8)), "o": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i * self.factor)
        return m


class Pair(wiring.Component):
    """Two leaves, one behind the other."""

    def __init__(self, near: int, far: int):
        self.factors = near, far
        super().__init__({"i": In(signed(8)), "o": Out(signed(16))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.near = near = Leaf(self.factors[0])
        m.submodules.far = far = Leaf(self.factors[1])
        m.d.comb += [near.i.eq(self.i), far.i.eq(near.o[3:11].as_signed()), self.o.eq(far.o)]
        return m


class Pairs(wiring.Component):
    """Several pairs; every second one sees its input upside down."""

    def __init__(self, *factors: tuple[int, int]):
        self.factors = factors
        super().__init__({"i": In(signed(8)), "o": Out(signed(16)).array(len(factors))})

    def elaborate(self, platform):
        m = Module()
        for index, (near, far) in enumerate(self.factors):
            m.submodules[f"pair{index}"] = pair = Pair(near, far)
            m.d.comb += [pair.i.eq(~self.i if index % 2 else self.i), self.o[index].eq(pair.o)]
        return m


def converted(*factors: tuple[int, int]) -> str:
    return verilog.convert(Pairs(*factors), name="top", emit_src=False, strip_internal_attrs=True)


def modules(text: str) -> dict[str, str]:
    """Name -> text behind the name, ports sorted."""
    found = re.findall(r"^module (\\\S+ |\w+)\((.*?)\);(.*?^endmodule)", text, re.MULTILINE | re.DOTALL)
    return {
        name.strip(): "".join(sorted(ports.split(", "))) + re.sub(r"\\\$auto\$\S+ ", "START ", body)
        for name, ports, body in found
    }


def meaning(text: str, name: str = "top") -> str:
    """The module with every instance replaced by what it is an instance of, down to the leaves."""
    known = modules(text)

    def expand(name: str) -> str:
        def inner(match: re.Match[str]) -> str:
            return f"  <{expand(match[1].strip())}> {match[2]} ("

        return INSTANCE.sub(inner, known[name])

    return expand(name)


def test_lanes_that_are_equal_become_one_module():
    text = converted((3, 5), (3, 5), (3, 5), (3, 5))
    merged = merge_modules(text)
    assert len(modules(text)) == 1 + 4 + 8
    assert sorted(modules(merged)) == ["\\top.pair0", "\\top.pair0.far", "\\top.pair0.near", "top"]
    assert [name for _, name in INSTANCE.findall(merged)] == ["pair0", "pair1", "pair2", "pair3", "far", "near"]
    assert meaning(merged) == meaning(text)


def test_modules_that_differ_stay_apart():
    text = converted((3, 5), (5, 3), (3, 5), (3, 3))
    merged = merge_modules(text)
    # the leaves of 3 and 5; pair0 for pair2, too; pair1 and pair3 connect other leaves
    assert sorted(modules(merged)) == [
        "\\top.pair0", "\\top.pair0.far", "\\top.pair0.near", "\\top.pair1", "\\top.pair3", "top",
    ]  # fmt: skip
    assert meaning(merged) == meaning(text)
    assert meaning(merged) != meaning(merge_modules(converted((3, 5), (5, 3), (3, 5), (5, 3))))


def test_a_second_pass_changes_nothing():
    merged = merge_modules(converted((3, 5), (3, 5)))
    assert merge_modules(merged) == merged


def test_the_same_design_gives_the_same_text():
    assert merge_modules(converted((3, 5), (5, 3))) == merge_modules(converted((3, 5), (5, 3)))


LEAF = """\
(* {attribute} *)
module \\top.{name} (o, {port});
  reg \\$auto$verilog_backend.cc:2355:dump_module${number}  = 0;
  input [3:0] {port};
  wire [3:0] {port};
  output [{width}:0] o;
  assign o = {expression} | \\$auto$verilog_backend.cc:2355:dump_module${number} ;
endmodule
"""
TOP = """\
module top(i, x, y);
  input [7:0] i;
  output [3:0] x;
  output [3:0] y;
  \\top.a  a (
    .o(x),
    .{first}(i[3:0])
  );
  \\top.b  b (
    .{second}(i[7:4]),
    .o(y)
  );
  \\other  #(
    .WIDTH(32'd4)
  ) other (
    .i(i)
  );
endmodule
"""
PLAIN = {"attribute": "keep", "width": 3}


def design(first: dict[str, object], second: dict[str, object]) -> str:
    """Two leaves below a top; each with the fields of LEAF that are not as in the plain one."""
    a = PLAIN | {"name": "a", "number": 7, "port": "\\port$99$0 ", "expression": "~ \\port$99$0 "} | first
    b = PLAIN | {"name": "b", "number": 12, "port": "\\port$100$0 ", "expression": "~ \\port$100$0 "} | second
    top = TOP.format(first=a["port"], second=b["port"])
    return "\n".join([top, LEAF.format(**a), LEAF.format(**b), "// the end\n"])


def test_numbers_that_the_tools_gave_do_not_keep_equal_modules_apart():
    merged = merge_modules(design({}, {}))
    assert sorted(modules(merged)) == ["\\top.a", "top"]
    assert merged.count("keep") == 1
    assert "  \\top.a  b (\n    .\\port$0$0 (i[7:4]),\n    .o(y)\n  );\n" in merged
    assert "  \\other  #(\n    .WIDTH(32'd4)\n  ) other (\n    .i(i)\n  );\n" in merged
    assert merged.endswith("// the end\n")


@pytest.mark.parametrize(
    "other",
    [
        {"attribute": "keep = 1"},
        {"width": 4},
        {"expression": "- \\port$100$0 "},
        {"port": "\\port$100$1 ", "expression": "~ \\port$100$1 "},
        {"port": "data", "expression": "~ data"},
    ],
    ids=["attribute", "width", "expression", "bit of the port", "name of the port"],
)
def test_every_difference_counts(other: dict[str, object]):
    merged = merge_modules(design({}, other))
    assert sorted(modules(merged)) == ["\\top.a", "\\top.b", "top"]
    assert "  \\top.b  b (\n" in merged
