"""What network, when it is no M3ViT: a list of layers with a name and tasks."""

from dataclasses import dataclass

from hwgen.spec.graph import GraphError
from hwgen.spec.layers import Layer, Patches
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
        images = [layer for layer in network.layers if isinstance(layer, Patches)]
        if len(images) != 1:
            raise GraphError(f"{self.name}: {len(images)} layers cut the image into patches, a network has one")
        for task in self.tasks:
            self._check_result(task)
        unknown = [name for name in self.int4 if name not in network.linears]
        if unknown or len(set(self.int4)) != len(self.int4):
            raise GraphError(f"{self.name}: int4 must name different linear layers, got {unknown or list(self.int4)}")

    def _check_result(self, task: TaskConfig) -> None:
        result = self.network.result(task.name)
        wanted = 1 if task.kind == "classification" else self.patches
        if (result.rows, result.outputs) != (wanted, task.outputs):
            raise GraphError(
                f"{result.name}: makes [{result.rows}, {result.outputs}], task {task.name} ({task.kind}) is"
                f" [{wanted}, {task.outputs}]"
            )

    def wide_layers(self) -> tuple[Layer, ...]:
        """As they were given."""
        return self.layers

    @property
    def _image(self) -> Patches:
        return next(layer for layer in self.layers if isinstance(layer, Patches))

    @property
    def image_height(self) -> int:
        """Pixels."""
        return self._image.height

    @property
    def image_width(self) -> int:
        """Pixels."""
        return self._image.width

    @property
    def channels(self) -> int:
        """Colour channels of the image."""
        return self._image.channels

    @property
    def patch(self) -> int:
        """Patch side, pixels."""
        return self._image.patch

    @property
    def patch_rows(self) -> int:
        """Patches per image column."""
        return self.image_height // self.patch

    @property
    def patch_columns(self) -> int:
        """Patches per image row."""
        return self.image_width // self.patch

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return self._image.rows


Model = ModelConfig | GraphModel
