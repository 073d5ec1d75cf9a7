"""What network, when it is no M3ViT: a list of layers with a name and tasks."""

from dataclasses import dataclass

from hwgen.spec.graph import GraphError
from hwgen.spec.layers import Layer
from hwgen.spec.model import Described, ModelConfig, TaskConfig


@dataclass(frozen=True, kw_only=True)
class GraphModel(Described):
    """A network given as its layers; GraphError says why they are none."""

    name: str
    layers: tuple[Layer, ...]
    tasks: tuple[TaskConfig, ...]
    int4: tuple[str, ...] = ()  # linear layers whose weights have four bits; the others have eight

    def __post_init__(self) -> None:
        """Refuse what is no network, and tasks whose results are not theirs."""
        if len({task.name for task in self.tasks}) != len(self.tasks):
            raise GraphError(f"{self.name}: task names must differ, got {[task.name for task in self.tasks]}")
        network = self.network
        _ = network.image  # there is one
        for task in self.tasks:
            self._check_result(task)
        unknown = [name for name in self.int4 if name not in network.linears]
        if unknown or len(set(self.int4)) != len(self.int4):
            raise GraphError(f"{self.name}: int4 must name different linear layers, got {unknown or list(self.int4)}")

    def _check_result(self, task: TaskConfig) -> None:
        result = self.network.result(task.name)
        wanted = self.result_rows(task)
        if (result.rows, result.outputs) != (wanted, task.outputs):
            raise GraphError(
                f"{result.name}: makes [{result.rows}, {result.outputs}], task {task.name} ({task.kind}) is"
                f" [{wanted}, {task.outputs}]"
            )

    def wide_layers(self) -> tuple[Layer, ...]:
        """As they were given."""
        return self.layers

    @property
    def image_height(self) -> int:
        """Pixels."""
        return self.network.image.height

    @property
    def image_width(self) -> int:
        """Pixels."""
        return self.network.image.width

    @property
    def channels(self) -> int:
        """Colour channels of the image."""
        return self.network.image.channels

    @property
    def patch(self) -> int:
        """Patch side, pixels."""
        return self.network.image.patch


Model = ModelConfig | GraphModel
