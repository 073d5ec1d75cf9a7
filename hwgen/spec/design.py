"""What network, what numbers, what machine, what board: folded into one validated record."""

from dataclasses import dataclass

from hwgen.spec.arch import ArchConfig
from hwgen.spec.board import Board
from hwgen.spec.graph_model import Model
from hwgen.spec.numerics import NUMERICS, PROFILES, NumericsConfig
from hwgen.spec.weight_bits import weight_bits_text


class DesignError(ValueError):
    """Parts that do not go together; one line per problem, with figures."""


@dataclass(frozen=True, kw_only=True)
class Design:
    """One accelerator for one network on one board. Whether the machine is large enough is the compiler's to check."""

    model: Model
    arch: ArchConfig
    board: Board
    weights: str = ""  # file of the network, a package or YAML; empty: what the preset of this name has
    numerics: NumericsConfig = NUMERICS

    def __post_init__(self) -> None:
        """Refuse what no build could make."""
        problems = list(self._problems())
        if problems:
            raise DesignError("\n".join(problems))

    @property
    def network(self) -> str:
        """The network as reports call it: with the bits of its weights where they are not all eight."""
        bits = weight_bits_text(self.model)
        return f"{self.model.name} ({bits})" if bits else self.model.name

    def _problems(self) -> list[str]:
        found: list[str] = []
        ports = self.arch.weight_ports + 1  # one more for program, tables, image and result
        if ports > self.board.axi.ports:
            found.append(
                f"arch {self.arch.name} has {ports} AXI masters (weight_ports {self.arch.weight_ports} and one more),"
                f" board {self.board.name} offers {self.board.axi.ports}; lower weight_ports"
            )
        buffer = self.board.axi.read_buffer_beats
        if 0 < buffer < self.arch.burst_beats:
            found.append(
                f"arch {self.arch.name} reads bursts of {self.arch.burst_beats} beats, a port of board"
                f" {self.board.name} holds {buffer}; lower burst_beats"
            )
        if self.numerics.profile != NUMERICS.profile:
            found.append(
                f"numerics profile {self.numerics.profile!r} has {PROFILES[self.numerics.profile]};"
                f" a build needs {NUMERICS.profile!r}"
            )
        elif self.numerics != NUMERICS:
            found.append(f"numerics profile {self.numerics.profile!r} differs from {NUMERICS.profile!r}, the only one")
        if not self.model.tasks:
            found.append(f"model {self.model.name} has no task")
        return found
