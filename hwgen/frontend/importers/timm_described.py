"""A network of timm's as arguments of ``VisionTransformer``: which function that is, and whether the machine has it.

The arguments come from a ``config.json`` (`timm_config`) or from a live module (`timm_live`); what they mean, and what
is refused, stands here for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.described import completed, listed_pair, shown, sides
from hwgen.frontend.importers.form import Form, Said
from hwgen.frontend.importers.imported import ImportOptions
from hwgen.frontend.importers.vit import VitReader
from hwgen.spec.activations import Activation
from hwgen.spec.constructors import ClassToken, Pooling
from hwgen.spec.layers import EPSILON

# Argument -> values with which timm computes what the machine computes, the one to use first; and what that is.
_FUNCTION: dict[str, tuple[tuple[Any, ...], str]] = {
    "pos_embed": (("learn", "none", ""), "with a learned position embedding, or without one"),
    "pre_norm": ((False, None), "without a LayerNorm before the first block"),
    "final_norm": ((True,), "with a LayerNorm behind the last block"),
    "qk_norm": ((False, None), "without normalisation of queries and keys"),
    "scale_attn_norm": ((False, None), "without a LayerNorm inside attention"),
    "scale_mlp_norm": ((False, None), "without a LayerNorm inside an MLP"),
    "block_fn": (("Block", None), "pre-norm blocks: x + attention(norm1(x)), then x + mlp(norm2(x))"),
    "mlp_layer": (("Mlp", None), "MLPs of two linear layers with an activation between them"),
    "attn_layer": (("attn", None, "", "Attention"), "softmax attention"),
    "norm_layer": (("layernorm", None, "", "LayerNorm", "layernormfp32"), "LayerNorms"),
    "embed_norm_layer": ((None, ""), "without a LayerNorm in the patch embedding"),
    "embed_layer": (("PatchEmbed", None), "a linear patch embedding"),
    "in_chans": ((3,), "on pictures of three colours"),
}
# timm's names of activations -> ours.
_ACTIVATIONS: dict[Any, Activation] = {
    None: "gelu", "": "gelu", "gelu": "gelu", "gelu_tanh": "gelu_tanh", "quick_gelu": "quick_gelu", "relu": "relu",
    "silu": "silu", "swish": "silu", "hard_swish": "hardswish", "hardswish": "hardswish",
}  # fmt: skip
_POOLS = ("token", "avg", "")
# Arguments that are read here besides those of `_FUNCTION`.
_READ = (
    "act_layer", "epsilon", "global_pool", "fc_norm", "class_token", "distilled", "reg_tokens", "no_embed_class",
    "pool_include_prefix",
)  # fmt: skip
# Arguments that matter in training only, or that the arrays show.
_WITHOUT_EFFECT = (
    "weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad", "strict_img_size", "init_values", "qkv_bias",
    "proj_bias", "pretrained_strict",
)  # fmt: skip
_SIZES = ("embed_dim", "depth", "patch_size", "num_classes", "num_heads", "img_size", "mlp_ratio")
# Part of the function -> the argument that settles it.
_SETTLES = {
    "activation": "act_layer",
    "norm order": "block_fn",
    "pooling": "global_pool",
    "epsilon": "norm_layer",
    "class token": "class_token",
}


@dataclass(frozen=True, kw_only=True)
class TimmNetwork:
    """What is known of a network of timm's besides its arrays."""

    label: str  # what messages call the source
    source: str  # what texts for the user call it
    architecture: str
    known: bool  # whether arguments that are missing have timm's defaults
    args: Mapping[str, Said]  # arguments of VisionTransformer
    pixels: Mapping[str, tuple[float, ...]]  # mean and std
    input_size: tuple[int, int] | None  # of the pictures that the network was made for; not always what it takes
    advice: str  # what to do about a refusal
    kind: str  # file or module

    def refuse_other_functions(self) -> None:
        """CheckpointError names the first argument with which this is no function of the machine."""
        for name, said in self.args.items():
            if name in _FUNCTION:
                values, machine = _FUNCTION[name]
                if _plain(said.value) not in map(_plain, values):
                    raise self._other(name, said, machine, values[0])
            elif name not in _READ and not self._without_effect(name) and said.value not in (None, False):
                raise self.fault(
                    f"{said.where}: {name} = {shown(said.value)}: this import does not know what that changes; if"
                    f" it changes nothing, {self.advice_of_unknown}"
                )

    def form(self, arrays: Form) -> Form:
        """The function; what neither the arguments nor the name of the architecture say is taken from ``arrays``."""
        self.refuse_other_functions()
        base = Form() if self.known else arrays
        class_token, registers = self._class_token(base), self._registers(base)
        if registers and class_token == "distilled":
            raise self.fault(f"{self.args['reg_tokens'].where}: reg_tokens = {registers}: timm ignores them here")
        return Form(
            activation=self._activation(),
            epsilon=self._value("epsilon", EPSILON),
            class_token=class_token,
            registers=registers,
            pool=self._pool(base, class_token, registers),
            position=_plain(self._value("pos_embed", "learn")) == "learn"
            if "pos_embed" in self.args
            else base.position,
            prefix_position=not self._flag("no_embed_class", default=not base.prefix_position),
            sources={
                **arrays.sources,
                **{part: self.source for part, name in _SETTLES.items() if self.known or name in self.args},
            },
        )

    @property
    def advice_of_unknown(self) -> str:
        """What to do with an entry that means nothing."""
        return "take it out of the file" if self.kind == "file" else "compare the outputs (--expect)"

    def _value(self, name: str, default: Any) -> Any:
        said = self.args.get(name)
        return default if said is None or said.value is None else said.value

    def _activation(self) -> Activation:
        said = self.args.get("act_layer")
        value = _plain(said.value) if said is not None else None
        if value not in _ACTIVATIONS:
            assert said is not None
            raise self._other("act_layer", said, ", ".join(dict.fromkeys(_ACTIVATIONS.values())), "gelu")
        return _ACTIVATIONS[value]

    def _class_token(self, base: Form) -> ClassToken:
        if self._flag("distilled", default=base.class_token == "distilled"):
            return "distilled"
        return "learned" if self._flag("class_token", default=base.class_token != "none") else "none"

    def _registers(self, base: Form) -> int:
        count = self._value("reg_tokens", base.registers)
        if type(count) is not int or count < 0:
            raise self.fault(f"{self.args['reg_tokens'].where}: reg_tokens = {shown(count)}, expected a number")
        return count

    def _pool(self, base: Form, class_token: ClassToken, registers: int) -> Pooling:
        """What heads read; fc_norm moves the last LayerNorm behind the pooling, which no single row notices."""
        said = self.args.get("global_pool")
        if said is None and not self.known:
            return base.pool
        value = _plain(self._value("global_pool", "token"))
        if value not in _POOLS or (value == "" and (self._value("num_classes", 0) or self._value("fc_norm", False))):
            assert said is not None
            raise self._other("global_pool", said, "heads from the class token or from the mean of patches", "token")
        if value != "avg":
            if value == "token" and class_token == "none":
                raise self.fault("global_pool = token, and class_token = false: there is none to read")
            return "token"
        if self._value("pool_include_prefix", False) and (class_token != "none" or registers):
            said = self.args["pool_include_prefix"]
            raise self._other("pool_include_prefix", said, "means over patches, without class token", False)
        return "mean_norm" if self._flag("fc_norm", default=True) else "mean"

    def _flag(self, name: str, *, default: bool) -> bool:
        value = self._value(name, default)
        if not isinstance(value, bool):
            raise self.fault(f"{self.args[name].where}: {name} = {shown(value)}, expected true or false")
        return value

    def refuse_other_sizes(self, reader: VitReader, classes: int) -> None:
        """CheckpointError names a size that the arrays contradict."""
        found = {"embed_dim": reader.dim, "depth": reader.depth, "patch_size": reader.patch, "num_classes": classes}
        for name, size in found.items():
            said = self.args.get(name)
            if said is not None and listed_pair(said.value) not in (size, [size, size]):
                raise self.fault(f"{said.where}: {name} = {shown(said.value)}, but the arrays have {size}")
        ratio = self.args.get("mlp_ratio")
        if ratio is not None and int(reader.dim * self._number("mlp_ratio", float)) != reader.mlp_hidden:
            raise self.fault(
                f"{ratio.where}: mlp_ratio = {ratio.value}, but the arrays have {reader.mlp_hidden} hidden units of"
                f" {reader.dim} channels"
            )

    def complete(self, options: ImportOptions, patches: int | None, patch: int) -> ImportOptions:
        """Options that the user left out, from here; CheckpointError if those that were given contradict it."""
        found: dict[str, Any] = {}
        if "num_heads" in self.args:
            found["heads"] = self._number("num_heads", int)
        size = self._image_size()
        if size is None and options.image_size is None and self.input_size is not None:
            fits = self.input_size[0] // patch * (self.input_size[1] // patch) == patches
            size = self.input_size if fits else None
        if size is not None:
            found["trained_size"] = size
        found |= self.pixels
        return completed(options, found, source=self.source, who=f"the {self.kind}", fault=self.fault)

    def _without_effect(self, name: str) -> bool:
        return name in _WITHOUT_EFFECT or name in _SIZES or ("drop" in name and name.endswith("_rate"))

    def _number(self, name: str, kind: type[int] | type[float]) -> Any:
        said = self.args[name]
        if isinstance(said.value, bool) or not isinstance(said.value, int if kind is int else int | float):
            raise self.fault(f"{said.where}: {name} = {shown(said.value)}, expected a number")
        return said.value

    def _image_size(self) -> tuple[int, int] | None:
        """``img_size``: the size that pos_embed belongs to."""
        said = self.args.get("img_size")
        if said is None or said.value is None:
            return None
        size = sides(said.value)
        if size is None:
            raise self.fault(f"{said.where}: img_size = {shown(said.value)}, expected one side or [height, width]")
        return size

    def _other(self, name: str, said: Said, machine: str, use: Any) -> CheckpointError:
        """For a value with which timm computes another function."""
        return self.fault(
            f"{said.where}: {name} = {shown(said.value)}, another function: the machine computes"
            f" {machine}; train the network with {name} = {shown(use)}"
        )

    def fault(self, text: str) -> CheckpointError:
        """A refusal, with what the user may do."""
        return CheckpointError(f"{self.label}: {text}{self.advice}")


def _plain(value: Any) -> Any:
    """timm looks names of layers up without regard to their case."""
    return value.lower() if isinstance(value, str) else value
