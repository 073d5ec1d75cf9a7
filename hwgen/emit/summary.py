"""What was built, in a page: configuration, estimated cycles and resources against the board."""

from collections.abc import Sequence

from hwgen.emit.c_header import TOP
from hwgen.emit.templates import render
from hwgen.estimator.estimate import Estimate
from hwgen.spec.design import Design

TEXT_FILE = "summary.txt"
JSON_FILE = "summary.json"


def _machine(design: Design) -> list[tuple[str, str]]:
    arch = design.arch
    rows = [
        ("MAC array", f"{arch.token_lanes} x {arch.input_lanes} x {arch.output_lanes} = {arch.macs} a cycle"),
        ("weight ring", f"{arch.ring_bytes:,} bytes, {arch.ring_words:,} tiles"),
        ("AXI ports", f"{arch.weight_ports + 1} of {design.board.axi.ports}"),
        ("DDR", f"{design.board.bytes_per_cycle:.1f} bytes a cycle"),
    ]
    names = ("residual", "norm", "activation", "key", "value")
    rows += [(f"{name} buffer", f"{getattr(arch, f'{name}_bytes'):,} bytes") for name in names]
    width = max(len(name) for name, _ in rows)
    return [(name.ljust(width), value) for name, value in rows]


def summary_text(design: Design, estimates: Sequence[Estimate]) -> str:
    """The page as text; one estimate per task."""
    return render(
        "summary.txt.j2",
        top=TOP,
        model=design.network,
        board=design.board.title,
        part=design.board.part,
        arch=design.arch.name,
        clock_mhz=f"{design.board.clock_mhz:g}",
        machine=_machine(design),
        cycles=[
            {
                "task": item.task.ljust(max(len(other.task) for other in estimates)),
                "cycles": f"{item.cycles:,}",
                "milliseconds": f"{item.milliseconds:.3f}",
                "utilisation": f"{item.mac_utilisation:.1%}",
                "read": f"{item.ddr_read_bytes:,} bytes",
                "written": f"{item.ddr_write_bytes:,} bytes",
            }
            for item in estimates
        ],
        resources=[
            {
                "name": name.ljust(6),
                "estimate": f"{figures['estimate']:>9,.0f}",
                "available": f"{figures['available']:>9,.0f}",
                "share": f"{figures['estimate'] / figures['available']:>6.1%}",
                "rail": f"{figures['guard_rail']:.0%}",
                "note": "  ABOVE" if figures["estimate"] > figures["guard_rail"] * figures["available"] else "",
            }
            for name, figures in estimates[0].resources.items()
        ],
    )
