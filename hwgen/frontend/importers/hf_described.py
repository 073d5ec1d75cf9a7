"""A network of transformers as entries of its ``config.json``: which function it is, and whether the machine has it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from hwgen.frontend.importers.beside import CONFIG
from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.described import LARGEST, completed, shown, sides
from hwgen.frontend.importers.form import Form
from hwgen.frontend.importers.hf_kinds import ACTIVATIONS, FUNCTION, KINDS, READ, WITHOUT_EFFECT, Kind
from hwgen.frontend.importers.hf_pixels import PREPROCESSOR, Pixels
from hwgen.frontend.importers.imported import ImportOptions
from hwgen.frontend.importers.vit import VitReader
from hwgen.spec.activations import Activation

_SETTLED = ("activation", "norm order", "pooling", "epsilon")  # parts of the function that the file settles
_BACKBONE = (
    "reads the class token beside the mean of the patches, which no head of the machine does; import the backbone,"
    " whose features a head on the host can read: model.{prefix}.save_pretrained(FOLDER)"
)


@dataclass(frozen=True, kw_only=True)
class HfNetwork:
    """What ``config.json`` and ``preprocessor_config.json`` say, beside the names of the heads in the arrays."""

    label: str  # what messages call the file
    entries: Mapping[str, Any]
    heads: tuple[str, ...]  # in the arrays
    pixels: Pixels

    @property
    def kind(self) -> Kind:
        """The family of networks."""
        return KINDS[self.entries["model_type"]]

    @property
    def architecture(self) -> str:
        """The class in transformers: that of the file, else the one that has these heads."""
        named: Any = self.entries.get("architectures")
        if named:
            return str(named[0])
        return next((name for name, heads in self.kind.classes.items() if heads == self.heads), "?")

    def refuse_other_functions(self) -> None:
        """CheckpointError names the first entry with which this is no function of the machine."""
        self._refuse_model_type()
        for name, value in self.entries.items():
            if name in FUNCTION:
                values, machine = FUNCTION[name]
                if value not in values:
                    raise self._other(name, machine, values[0])
            elif name not in READ and name not in WITHOUT_EFFECT and value not in (None, False):
                raise self.fault(
                    f"{name} = {shown(value)}: this import does not know what that changes; if it changes nothing, take"
                    " it out of the file"
                )
        self._refuse_class()
        self._activation()
        self._epsilon()
        if not isinstance(self._value("qkv_bias"), bool):
            raise self.fault(f"{self._said('qkv_bias')}, expected true or false")

    def form(self, arrays: Form) -> Form:
        """The function; class tokens and registers are those of ``arrays``."""
        return replace(
            arrays,
            activation=self._activation(),
            epsilon=self._epsilon(),
            pool="token",
            position=True,
            prefix_position=not self.class_apart,
            resizing=self.kind.resizing,
            sources={**arrays.sources, **dict.fromkeys(_SETTLED, CONFIG)},
        )

    @property
    def class_apart(self) -> bool:
        """Whether registers, without position, stand between the class token and the patches."""
        return "num_register_tokens" in self.kind.defaults

    def refuse_other_sizes(self, reader: VitReader, classes: int) -> None:
        """CheckpointError names a size that the arrays contradict."""
        wanted = {
            "hidden_size": reader.dim,
            "num_hidden_layers": reader.depth,
            "intermediate_size": reader.mlp_hidden,
            "qkv_bias": reader.qkv_bias,
        }
        if "num_register_tokens" in self.kind.defaults:
            registers = reader.checkpoint.shape("reg_token")[1] if "reg_token" in reader.checkpoint else 0
            wanted["num_register_tokens"] = registers
        for name, size in wanted.items():
            if name in self.kind.defaults and (type(self._value(name)), self._value(name)) != (type(size), size):
                raise self.fault(f"{self._said(name)}, but the arrays have {shown(size)}")
        if sides(self._value("patch_size")) != (reader.patch, reader.patch):
            raise self.fault(f"{self._said('patch_size')}, but the arrays have {reader.patch}")
        if "mlp_ratio" in self.kind.defaults and int(reader.dim * self._number("mlp_ratio")) != reader.mlp_hidden:
            raise self.fault(
                f"{self._said('mlp_ratio')}, but the arrays have {reader.mlp_hidden} hidden units of {reader.dim}"
                " channels"
            )
        self._refuse_other_classes(classes)

    def complete(self, options: ImportOptions, patches: int | None, patch: int) -> ImportOptions:
        """Options that the user left out, from here; CheckpointError if those that were given contradict it."""
        heads = self._value("num_attention_heads")
        if type(heads) is not int or heads < 1 or self._value("hidden_size") % heads:
            raise self.fault(f"{self._said('num_attention_heads')}, expected a divisor of hidden_size")
        options = completed(options, {"heads": heads}, source=CONFIG, who="the file", fault=self.fault)
        pixels = self.pixels
        options = completed(options, pixels.values, source=PREPROCESSOR, who="the file", fault=pixels.fault)
        assert patches is not None  # these networks have a position embedding
        return self._with_sizes(options, patches, patch)

    def _with_sizes(self, options: ImportOptions, patches: int, patch: int) -> ImportOptions:
        """The size of the images, and the one that the position embedding is taken to belong to.

        transformers takes the table as it is, or resizes it as that of a square.
        """
        own = sides(self._value("image_size"))
        if own is None or min(own) < 1:
            raise self.fault(f"{self._said('image_size')}, expected one side or [height, width]")
        if own[0] // patch * (own[1] // patch) != patches:
            raise self.fault(
                f"{self._said('image_size')}, but position_embeddings has {patches} patches of {patch}x{patch} pixels"
            )
        wanted = options.image_size or own
        given = options.sources if options.image_size else {**options.sources, "image_size": CONFIG}
        options = replace(options, image_size=wanted, sources=given)
        if wanted == own and not self.kind.resizes_always:
            return replace(options, trained_size=own)
        side = round(patches**0.5)
        if side * side != patches:
            raise self.fault(
                f"{self._said('image_size')}: position_embeddings has {patches} patches, and transformers resizes"
                " squares only"
            )
        return replace(options, trained_size=(side * patch, side * patch))

    def fault(self, text: str) -> CheckpointError:
        """A refusal."""
        return CheckpointError(f"{self.label}: {text}")

    def _value(self, name: str) -> Any:
        return self.entries.get(name, self.kind.defaults.get(name))

    def _said(self, name: str) -> str:
        missing = "" if name in self.entries else " (the default of transformers; the file has none)"
        return f"{name} = {shown(self._value(name))}{missing}"

    def _number(self, name: str) -> float:
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
            raise self.fault(f"{self._said(name)}, expected a number")
        return value

    def _activation(self) -> Activation:
        name = self._value("hidden_act")
        if not isinstance(name, str) or name not in ACTIVATIONS:
            raise self._other("hidden_act", ", ".join(dict.fromkeys(ACTIVATIONS.values())), "gelu")
        return ACTIVATIONS[name]

    def _epsilon(self) -> float:
        return float(self._number("layer_norm_eps"))

    def _refuse_model_type(self) -> None:
        name: Any = self.entries.get("model_type")
        if not isinstance(name, str) or name not in KINDS:
            what = f"model_type = {shown(name)}" if "model_type" in self.entries else "no model_type"
            timm = ": this is timm's file; hwgen import timm reads it" if "architecture" in self.entries else ""
            raise self.fault(f"{what}{timm or ', this import knows ' + ', '.join(KINDS)}")

    def _refuse_class(self) -> None:
        """The class that the file names must be one of this model_type, and its heads those of the arrays."""
        kind, named = self.kind, self.entries.get("architectures")
        if named is not None and not (isinstance(named, list) and list(map(type, cast("list[Any]", named))) == [str]):
            raise self.fault(f"architectures = {shown(named)}, expected one name")
        if self.architecture in kind.mean_beside_token or (kind.mean_beside_token and self.heads == ("classifier",)):
            said = f"architectures = {shown(named)}: the classifier of {kind.mean_beside_token[0]}"
            raise self.fault(f"{said} {_BACKBONE.format(prefix=kind.prefix)}")
        if named and self.architecture not in kind.classes:
            raise self.fault(
                f"architectures = {shown(named)}: of model_type {self.entries['model_type']} this import knows"
                f" {', '.join(kind.classes)}"
            )
        if kind.classes.get(self.architecture) != self.heads:
            has = ", ".join(self.heads) or "none"
            raise self.fault(f"architectures = {shown(named)} has other heads than the arrays, which have {has}")

    def _refuse_other_classes(self, classes: int) -> None:
        """Labels are of the head."""
        for name in ("id2label", "num_labels") if classes else ():
            value: Any = self.entries.get(name)
            count = len(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
            if value is not None and count != classes:
                raise self.fault(f"{name} has {shown(count)} classes, but the arrays have {classes}")

    def _other(self, name: str, machine: str, use: Any) -> CheckpointError:
        return self.fault(
            f"{self._said(name)}, another function: the machine computes {machine}; train the network with"
            f" {name} = {shown(use)}"
        )
