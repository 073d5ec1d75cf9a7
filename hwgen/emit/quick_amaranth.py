"""Amaranth in less than half of its time, to the same Verilog.

Made for the pinned Amaranth: what is replaced here are functions of its own that nobody else calls. Two of them are
checks. Nets are values of a type that Amaranth makes itself, and `tests/emit/test_quick_amaranth.py` looks for
combinational cycles in its place.
"""

import gc
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

_nets: Any = importlib.import_module("amaranth.hdl._nir")  # not in the stubs
_emitter: Any = importlib.import_module("amaranth.back.rtlil").ModuleEmitter


@contextmanager
def quick_amaranth() -> Iterator[None]:
    """While this is entered, Amaranth converts designs quickly; the text is the same, once it is compact.

    Of a memory of zeros, only the first word is written: `hwgen.emit.tidy.compact_memories` completes it. Combinational
    cycles are not looked for, and no garbage is collected: the objects of a large design, some hundred megabytes, are
    all alive until the text is there, and are walked again and again else.
    """
    with ExitStack() as stack:
        stack.enter_context(_uncollected())
        stack.enter_context(_replaced(_emitter, "emit_memory", _emit_memory(_emitter.emit_memory)))
        stack.enter_context(_replaced(_nets.Netlist, "check_comb_cycles", _check_nothing))
        stack.enter_context(_replaced(_nets.Netlist, "resolve_value", _resolve_value))
        stack.enter_context(_replaced(_nets.Value, "__new__", _new_value))
        yield


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without the collection of cyclic garbage."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@contextmanager
def _replaced(owner: type, name: str, function: Callable[..., Any]) -> Iterator[None]:
    """With another method in a class."""
    original = vars(owner)[name]
    setattr(owner, name, function)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _emit_memory(original: Callable[..., None]) -> Callable[..., None]:
    """Writes one word of a memory of zeros; the ring of a large machine has 12 million bits of them."""

    def emit_memory(self: Any, cell_idx: int, cell: Any) -> None:
        if any(cell.init) or not cell.depth:
            original(self, cell_idx, cell)
            return
        ports = {"ADDR": self.sigspec(), "DATA": f"{cell.width}'{'0' * cell.width}"}
        self.builder.cell(
            "$meminit_v2",
            ports=ports | {"EN": f"{cell.width}'{'1' * cell.width}"},
            parameters={
                "MEMID": self.memories[cell_idx].memid,
                "ABITS": 0,
                "WIDTH": cell.width,
                "WORDS": 1,
                "PRIORITY": 0,
            },
            src_loc=cell.src_loc,
        )

    return emit_memory


def _check_nothing(self: Any) -> None:
    """In place of a walk from every bit of the design to all that it depends on."""


def _resolve_value(self: Any, value: Any) -> Any:
    """What drives each net of a value, without a call a net."""
    connections: dict[int, int] = self.connections
    found: list[int] = []
    for net in value:
        while net < 0:  # "late" nets stand for others
            net = connections[net]
        found.append(net)
    return _nets.Value(found)


def _new_value(cls: type, nets: Any = ()) -> Any:
    """A value of one net or of several, without a look at the type of each."""
    return tuple.__new__(cls, (nets,) if isinstance(nets, _nets.Net) else nets)
