"""What synthesis found, as a page of text."""

from hwgen.emit.templates import render
from hwgen.spec.board import Board
from hwgen.synth.depth import levels_allowed, limit_ps
from hwgen.synth.report import SynthReport, UnitReport

TEXT_FILE = "synthesis.txt"
JSON_FILE = "synthesis.json"
_COLUMNS = "{times:>5} {lut:>6} {lutram:>6} {ff:>6} {bram:>6} {dsp:>5} {ps:>6} {levels:>6}  {name}"
_HEADER = _COLUMNS.format(
    times="times", lut="LUT", lutram="LUTRAM", ff="FF", bram="BRAM36", dsp="DSP", ps="ps", levels="levels", name="unit"
)


def synthesis_text(report: SynthReport, board: Board) -> str:
    """Totals beside what the board has, every unit, and the paths that are too long for its clock."""
    return render(
        "synthesis.txt.j2",
        tool=report.tool,
        family="UltraScale+",
        clock_mhz=f"{board.clock_mhz:g}",
        limit_ps=limit_ps(board.clock_mhz),
        levels=levels_allowed(board.clock_mhz),
        totals=[
            {
                "name": name.ljust(6),
                "used": f"{figures['synthesis']:>9,.0f}",
                "available": f"{figures['available']:>9,.0f}",
                "share": f"{figures['synthesis'] / figures['available']:>6.1%}",
                "rail": f"{figures['guard_rail']:.0%}",
                "note": "  ABOVE" if figures["synthesis"] > figures["guard_rail"] * figures["available"] else "",
            }
            for name, figures in report.against(board).items()
        ],
        header=_HEADER,
        units=[_unit_line(unit) for unit in sorted(report.units, key=lambda unit: -unit.own.lut * unit.instances)],
        too_long=[_path_line(unit) for unit in report.too_long(board.clock_mhz)],
    )


def _unit_line(unit: UnitReport) -> str:
    own, path = unit.own, unit.path
    return _COLUMNS.format(
        times=unit.instances,
        lut=own.lut,
        lutram=own.lutram,
        ff=own.ff,
        bram=f"{own.bram36:g}",
        dsp=own.dsp,
        ps=path.ps if path else "-",
        levels=path.luts if path else "-",
        name=unit.name,
    )


def _path_line(unit: UnitReport) -> str:
    path = unit.path
    assert path is not None
    return f"{path.ps} ps, {path.luts} LUTs, {path.carries} carries  {unit.name}: {path.start} -> {path.end}"
