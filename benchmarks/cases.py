"""What is measured: one image of a network through the machine of a board."""

from dataclasses import dataclass

from hwgen.spec.arch_presets import arch_preset
from hwgen.spec.board import board
from hwgen.spec.design import Design
from hwgen.spec.presets import model_config
from hwgen.spec.weight_bits import with_weight_bits


@dataclass(frozen=True)
class Case:
    """A network on a board, its first task."""

    model: str
    board: str
    weights: str = ""  # layers whose weights have four bits, as --weights takes it
    arch: str = ""  # the board's own machine when empty

    @property
    def name(self) -> str:
        """What the command line calls it."""
        return "/".join(part for part in (self.model, self.board, self.arch, self.weights) if part)

    @property
    def design(self) -> Design:
        """Network, board and machine."""
        target, model = board(self.board), model_config(self.model)
        if self.weights:
            model = with_weight_bits(model, self.weights)
        return Design(model=model, arch=arch_preset(self.arch or target.arch), board=target)


CASES = (
    Case("m3vit-micro", "sim"),
    Case("m3vit-micro", "zcu102"),
    Case("m3vit-tiny", "zcu102"),
    Case("m3vit-tiny", "zcu102", "experts=4"),
    Case("m3vit-tiny", "zcu102", arch="zcu102-8x16x32"),
    Case("m3vit-tiny", "zcu102", "experts=4", "zcu102-8x16x32"),
    Case("deit-tiny", "zcu102"),
)
IMAGE_SEED = 0  # of the generated scene


def cases(names: list[str]) -> list[Case]:
    """The cases called ``names``, all of them when there are none."""
    known = {case.name: case for case in CASES}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"no case {', '.join(unknown)}; there are {', '.join(known)}")
    return [known[name] for name in names] if names else list(CASES)
