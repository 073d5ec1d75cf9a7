"""What is measured: one image of a network through the machine of a board."""

from dataclasses import dataclass, replace

from hwgen.spec.arch import ArchConfig
from hwgen.spec.arch_presets import KIB
from hwgen.spec.board import Board
from hwgen.spec.design import Design
from hwgen.spec.presets import model_config
from hwgen.spec.weight_bits import with_weight_bits
from hwgen.store.archs import arch_preset
from hwgen.store.boards import board


@dataclass(frozen=True)
class Case:
    """A network on a board, its first task."""

    model: str
    board: str
    weights: str = ""  # layers whose weights have four bits, as --weights takes it
    arch: str = ""  # the board's own machine when empty
    latency_cycles: int = 0  # of reads, instead of the board's; 0: the board's
    any_port: bool = False  # ports of the memory take any number of reads, whatever the board says
    ring_kib: int = 0  # of the weight ring, instead of the machine's; 0: the machine's

    @property
    def quick(self) -> bool:
        """Whether its estimate takes no more than a second or two."""
        return self.model in ("m3vit-micro", "m3vit-tiny", "deit-tiny")

    @property
    def memory(self) -> str:
        """What differs from the board's memory."""
        parts = (f"latency {self.latency_cycles}" if self.latency_cycles else "", "any port" if self.any_port else "")
        return ", ".join(part for part in parts if part)

    @property
    def name(self) -> str:
        """What the command line calls it."""
        arch = self.design.arch.name if self.ring_kib else self.arch
        return "/".join(part for part in (self.model, self.board, arch, self.weights, self.memory) if part)

    @property
    def design(self) -> Design:
        """Network, board and machine."""
        target, model = self._board(), model_config(self.model)
        if self.weights:
            model = with_weight_bits(model, self.weights)
        return Design(model=model, arch=self._arch(target), board=target)

    def _arch(self, target: Board) -> ArchConfig:
        """The machine, with another ring."""
        found = arch_preset(self.arch or target.arch)
        if not self.ring_kib:
            return found
        return replace(found, name=f"{found.name}-ring{self.ring_kib}", ring_bytes=self.ring_kib * KIB)

    def _board(self) -> Board:
        """The board with another memory."""
        found = board(self.board)
        latency = {"read_latency_cycles": self.latency_cycles} if self.latency_cycles else {}
        limits = {"read_commands": 0, "read_buffer_beats": 0} if self.any_port else {}
        changed = {"ddr": replace(found.ddr, **latency), "axi": replace(found.axi, **limits)}
        return replace(found, **changed)


CASES = (
    Case("m3vit-micro", "sim"),
    Case("m3vit-micro", "zcu102"),
    Case("m3vit-tiny", "zcu102"),
    Case("m3vit-tiny", "zcu102", "experts=4"),
    Case("m3vit-tiny", "zcu102", arch="zcu102-8x16x32"),
    Case("m3vit-tiny", "zcu102", "experts=4", "zcu102-8x16x32"),
    Case("deit-tiny", "zcu102"),
    Case("m3vit-tiny", "zcu102", latency_cycles=240),
    Case("m3vit-tiny", "zcu102", latency_cycles=240, any_port=True),
    Case("m3vit-tiny", "zcu102", latency_cycles=400, any_port=True),
    Case("m3vit-tiny", "zcu102", ring_kib=96),  # layers in parts
    Case("deit-tiny", "zcu102", ring_kib=96),
    Case("deit-tiny", "zcu102", ring_kib=384),  # a quarter of the machine's
    Case("m3vit-tiny-197", "zcu102"),
    Case("deit-tiny", "zcu102", arch="zcu102-6x16x32"),
    Case("deit-small", "zcu102", arch="zcu102-4x16x32"),
    Case("deit-small", "zcu102", arch="zcu102-6x16x32"),
    Case("vit-tiny-384", "zcu102", arch="zcu102-4x16x32"),
    Case("dinov2-small", "zcu102", arch="zcu102-4x16x32"),  # patches of 14, padded to 16
    Case("deit-base", "zcu102", arch="zcu102-6x16x32"),  # a quarter of an hour of simulation
    Case("deit-base", "zcu102", arch="zcu102-8x16x32-base"),
)
IMAGE_SEED = 0  # of the generated scene


def cases(names: list[str]) -> list[Case]:
    """The cases called ``names``, all of them when there are none."""
    known = {case.name: case for case in CASES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no case {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(CASES)
