"""timm's ``config.json`` beside a checkpoint: what it says about the function, against what the machine computes.

timm writes it with ``save_for_hf`` and reads it back from a hub or a folder: ``architecture``, ``num_classes``,
``global_pool``, ``model_args`` (arguments of ``VisionTransformer``) and ``pretrained_cfg`` (how pictures are prepared).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.imported import ImportOptions
from hwgen.frontend.importers.timm_names import architecture
from hwgen.frontend.importers.vit import VitReader

FILE = "config.json"
NEAR_GELU = "gelu_tanh"  # within 0.0005 of the GELU with the error function, a hundredth of a step of its codes

# Argument -> values with which timm computes what the machine computes, the one to use first; and what that is.
_FUNCTION: dict[str, tuple[tuple[Any, ...], str]] = {
    "global_pool": (("token",), "its heads from the class token, without a mean over patches"),
    "class_token": ((True,), "with one class token"),
    "reg_tokens": ((0, None), "without register tokens"),
    "no_embed_class": ((False, None), "with a class token that has its own row of pos_embed"),
    "pos_embed": (("learn",), "with a learned position embedding"),
    "fc_norm": ((False, None), "one LayerNorm of all tokens before the class token is taken"),
    "pre_norm": ((False, None), "without a LayerNorm before the first block"),
    "final_norm": ((True,), "with a LayerNorm behind the last block"),
    "qk_norm": ((False, None), "without normalisation of queries and keys"),
    "scale_attn_norm": ((False, None), "without a LayerNorm inside attention"),
    "scale_mlp_norm": ((False, None), "without a LayerNorm inside an MLP"),
    "act_layer": (("gelu", None, "", NEAR_GELU), "GELU between fc1 and fc2"),
    "block_fn": (("Block", None), "pre-norm blocks: x + attention(norm1(x)), then x + mlp(norm2(x))"),
    "mlp_layer": (("Mlp", None), "MLPs of fc1, GELU and fc2"),
    "attn_layer": (("attn", None, "", "Attention"), "softmax attention"),
    "norm_layer": (("layernorm", None, "", "LayerNorm", "layernormfp32"), "LayerNorms"),
    "embed_norm_layer": ((None, ""), "without a LayerNorm in the patch embedding"),
    "embed_layer": (("PatchEmbed", None), "a linear patch embedding"),
    "in_chans": ((3,), "on pictures of three colours"),
}
# Arguments that matter in training only, or that the arrays show.
_WITHOUT_EFFECT = (
    "weight_init", "fix_init", "dynamic_img_size", "dynamic_img_pad", "strict_img_size", "init_values", "qkv_bias",
    "proj_bias", "pool_include_prefix", "pretrained_strict",
)  # fmt: skip
_SIZES = ("embed_dim", "depth", "patch_size", "num_classes", "num_heads", "img_size", "mlp_ratio")


@dataclass(frozen=True, kw_only=True)
class _Said:
    """A value, and the entry of the file that has it."""

    value: Any
    where: str


@dataclass(frozen=True, kw_only=True)
class TimmConfig:
    """A config.json that describes a network of timm's."""

    label: str  # path of the file
    architecture: str
    known: bool  # whether the function follows from the name of the architecture
    args: Mapping[str, _Said]  # arguments of VisionTransformer
    pixels: Mapping[str, tuple[float, ...]]  # mean and std
    input_size: tuple[int, int] | None  # of the pictures that the network was made for; not always what it takes

    def refuse_other_functions(self) -> None:
        """CheckpointError names the first entry with which timm computes something else than the machine."""
        for name, said in self.args.items():
            if name in _FUNCTION:
                values, machine = _FUNCTION[name]
                if _plain(said.value) not in map(_plain, values):
                    raise self._fault(
                        f"{said.where}: {name} = {json.dumps(said.value)}, another function: the machine computes"
                        f" {machine}; train the network with {name} = {json.dumps(values[0])}"
                    )
            elif not self._without_effect(name) and said.value not in (None, False):
                raise self._fault(
                    f"{said.where}: {name} = {json.dumps(said.value)}: this import does not know what that changes; if"
                    " it changes nothing, take it out of the file"
                )

    def refuse_other_sizes(self, reader: VitReader, classes: int) -> None:
        """CheckpointError names a size that the arrays contradict."""
        found = {"embed_dim": reader.dim, "depth": reader.depth, "patch_size": reader.patch, "num_classes": classes}
        for name, size in found.items():
            said = self.args.get(name)
            if said is not None and said.value not in (size, [size, size]):
                raise self._fault(f"{said.where}: {name} = {json.dumps(said.value)}, but the arrays have {size}")
        ratio = self.args.get("mlp_ratio")
        if ratio is not None and int(reader.dim * self._number("mlp_ratio", float)) != reader.mlp_hidden:
            raise self._fault(
                f"{ratio.where}: mlp_ratio = {ratio.value}, but the arrays have {reader.mlp_hidden} hidden units of"
                f" {reader.dim} channels"
            )

    def complete(self, options: ImportOptions, patches: int, patch: int) -> ImportOptions:
        """Options that the user left out, from the file; CheckpointError if those that were given contradict it."""
        given = dict(options.sources)
        found: dict[str, Any] = {}
        if "num_heads" in self.args:
            found["heads"] = self._number("num_heads", int)
        size = self._image_size()
        if size is None and options.image_size is None and self.input_size is not None:
            fits = self.input_size[0] // patch * (self.input_size[1] // patch) == patches
            size = self.input_size if fits else None
        if size is not None:
            found["image_size"] = size
        found |= self.pixels
        for name, value in found.items():
            option, own = f"--{name.replace('_', '-')}", getattr(options, name)
            if own is not None and not _same(own, value):
                raise self._fault(
                    f"{option} {_text(name, own)}: the file says {_text(name, value)}; leave the option out"
                )
            if own is None:
                given[name] = FILE
        return replace(options, **found, sources=given)

    def said(self) -> dict[str, str]:
        """Part of the function -> this file, for the parts that it settles."""
        parts = {
            "activation": "act_layer",
            "norm order": "block_fn",
            "pooling": "global_pool",
            "epsilon": "norm_layer",
        }
        settled = {part: FILE for part, name in parts.items() if self.known or name in self.args}
        if "activation" in settled and self.args.get("act_layer") and self.args["act_layer"].value == NEAR_GELU:
            settled["activation"] = f"{FILE} has {NEAR_GELU}, which lies within 0.0005 of it"
        return settled

    def _without_effect(self, name: str) -> bool:
        return name in _WITHOUT_EFFECT or name in _SIZES or ("drop" in name and name.endswith("_rate"))

    def _number(self, name: str, kind: type[int] | type[float]) -> Any:
        said = self.args[name]
        if isinstance(said.value, bool) or not isinstance(said.value, int if kind is int else int | float):
            raise self._fault(f"{said.where}: {name} = {json.dumps(said.value)}, expected a number")
        return said.value

    def _image_size(self) -> tuple[int, int] | None:
        """``img_size``: the size that pos_embed belongs to."""
        said = self.args.get("img_size")
        if said is None or said.value is None:
            return None
        given: Any = said.value
        pair = cast("list[Any]", given if isinstance(given, list) else [given, given])
        if [type(side) for side in pair] != [int, int]:
            raise self._fault(
                f"{said.where}: img_size = {json.dumps(said.value)}, expected one side or [height, width]"
            )
        return pair[0], pair[1]

    def _fault(self, text: str) -> CheckpointError:
        return CheckpointError(
            f"{self.label}: {text}; if the file belongs to another network, move it away and compare the outputs"
            " (--expect)"
        )


def _plain(value: Any) -> Any:
    """timm looks names of layers up without regard to their case."""
    return value.lower() if isinstance(value, str) else value


def _same(left: Any, right: Any) -> bool:
    """Whether an option and an entry are equal; one number stands for all colours."""
    if not isinstance(left, tuple) or not isinstance(right, tuple):
        return left == right
    a, b = cast("tuple[float, ...]", left), cast("tuple[float, ...]", right)
    width = max(len(a), len(b))
    wide = [list(values) * (width if len(values) == 1 else 1) for values in (a, b)]
    return len(wide[0]) == len(wide[1]) and all(abs(x - y) < 1e-6 for x, y in zip(*wide, strict=True))


def _text(name: str, value: Any) -> str:
    """An option as the command line takes it."""
    if not isinstance(value, tuple):
        return str(value)
    return ("x" if name == "image_size" else ",").join(f"{x:g}" for x in cast("tuple[float, ...]", value))


def _entry(data: Mapping[str, Any], name: str, label: str) -> dict[str, Any]:
    """An object in the file, empty where there is none."""
    found: Any = data.get(name) or {}
    if not isinstance(found, dict):
        raise CheckpointError(f"{label}: {name} is a {type(found).__name__}, expected an object; mend the file")
    return cast("dict[str, Any]", found)


def _numbers(source: Mapping[str, Any], name: str, label: str) -> tuple[float, ...] | None:
    found: Any = source.get(name)
    if found is None:
        return None
    values = cast("list[Any]", found) if isinstance(found, list) else []
    if not values or not all(isinstance(x, int | float) and not isinstance(x, bool) for x in values):
        raise CheckpointError(f"{label}: pretrained_cfg.{name} = {json.dumps(found)}, expected numbers; mend the file")
    return tuple(float(x) for x in values)


def _read(path: Path) -> dict[str, Any]:
    try:
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: no readable JSON ({error}); mend it or move it away") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"{path}: holds a {type(found).__name__}, expected an object; mend it or move it away")
    return cast("dict[str, Any]", found)


def timm_config(checkpoint: Checkpoint, notes: list[str]) -> TimmConfig | None:
    """The config.json beside a checkpoint; None where there is none, or, with a note, one of another program."""
    if checkpoint.folder is None or not (checkpoint.folder / FILE).exists():
        return None
    path = checkpoint.folder / FILE
    label, data = str(path), _read(path)
    name: Any = data.get("architecture")
    if not isinstance(name, str):
        notes.append(f"{label} names no architecture of timm's: not read")
        return None
    stands_for = architecture(name)
    if not stands_for.known:
        notes.append(f"{label}: what timm computes for architecture {name} is not known here; only its entries count")
    args = {key: _Said(value=value, where=f"architecture {name}") for key, value in stands_for.args.items()}
    for key in ("num_classes", "global_pool"):
        if data.get(key) is not None:
            args[key] = _Said(value=data[key], where=key)
    if data.get("num_features") is not None:
        args["embed_dim"] = _Said(value=data["num_features"], where="num_features")
    for key, value in _entry(data, "model_args", label).items():
        args[key] = _Said(value=value, where="model_args")
    prepared = _entry(data, "pretrained_cfg", label)
    pixels = {key: values for key in ("mean", "std") if (values := _numbers(prepared, key, label)) is not None}
    size = _numbers(prepared, "input_size", label)
    return TimmConfig(
        label=label,
        architecture=name,
        known=stands_for.known,
        args=args,
        pixels=pixels,
        input_size=(int(size[1]), int(size[2])) if size is not None and len(size) == 3 else None,
    )
