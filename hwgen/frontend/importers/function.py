"""The function that the machine computes, part by part, in sentences, and who says that it is the checkpoint's.

The arrays of a checkpoint give the sizes of its layers; they say little about what happens between two layers.
"""

from collections.abc import Mapping

from hwgen.frontend.importers.imported import ImportOptions, PixelRule
from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.model import ModelConfig

FUNCTION = "function"  # entry of the provenance: part of the network -> what is computed, and who says so
ASSUMED = "assumed"  # nothing that was read says so
READ = "read from the arrays"


_BEHIND = "behind the final LayerNorm"
_POOLED = {
    "mean": f"the mean of all patches {_BEHIND}",
    "mean_norm": "the final LayerNorm of the mean of all patches",
}


def _pooling(config: ModelConfig) -> str:
    """What the heads read."""
    if any(task.kind == "features" for task in config.tasks):
        return f"none: there is no head; every token {_BEHIND}"
    kinds = {task.kind == "classification" for task in config.tasks}
    if True in kinds and config.pool != "token":
        return f"heads read {_POOLED[config.pool]}"
    token = "both class tokens" if config.class_token == "distilled" else "the class token"
    rows = [text for dense, text in ((False, token), (True, "every patch")) if (not dense) in kinds]
    return f"none: heads read {' or '.join(rows)} {_BEHIND}; no mean over patches"


def _tokens(config: ModelConfig) -> str:
    """Class tokens and registers."""
    registers = config.registers
    if config.class_token == "none":
        found = "none"
    elif config.class_token == "distilled":
        found = "two (class and distillation), in rows 0 and 1 of the position embedding"
    else:
        found = "one, in row 0 of the position embedding"
    more = f"; {registers} registers in the rows behind" if registers else ""
    return f"{found}{more}, which is added once, before block 0"


def _who(options: ImportOptions, name: str) -> str:
    """Who gave an option."""
    return ASSUMED if getattr(options, name) is None else options.sources.get(name, f"--{name}")


def function_of(
    config: ModelConfig,
    options: ImportOptions,
    pixels: PixelRule,
    *,
    qkv_bias: bool,
    layer_scales: int,
    said: Mapping[str, str],
) -> dict[str, str]:
    """Part of the network -> what is computed, and in brackets who says so.

    ``said`` names the sources that are known besides the arrays: part -> source. ``layer_scales``: vectors folded.
    """
    width = config.head_dim
    pixels_by = dict.fromkeys(_who(options, name) for name in ("mean", "std"))
    sources = {
        "heads": _who(options, "heads"),
        "class token": READ,
        "qkv bias": READ,
        "LayerScale": READ,
        "pixels": ", ".join(pixels_by),
        **said,
    }
    parts = {
        "activation": f"{config.activation}, {FUNCTIONS[config.activation].formula}, between the two layers of an MLP"
        " or an expert",
        "norm order": "pre-norm: x + attention(norm1(x)), then x + mlp(norm2(x)), one LayerNorm before the heads",
        "epsilon": f"{config.epsilon:g} in every LayerNorm",
        "heads": f"{config.heads} of {width} channels, one after the other in query, key and value; scores divided by"
        f" sqrt({width})",
        "class token": _tokens(config),
        "pooling": _pooling(config),
        "qkv bias": "taken; the key's is dropped, softmax does not see it" if qkv_bias else "none",
        "LayerScale": f"{layer_scales} vectors multiplied into attn.proj and mlp.fc2" if layer_scales else "none",
        "pixels": f"{pixels}, folded into the patch embedding",
    }
    return {part: f"{text} ({sources.get(part, ASSUMED)})" for part, text in parts.items()}


def assumed(function: Mapping[str, str]) -> list[str]:
    """The parts that nothing but this import says."""
    return [part for part, text in function.items() if text.endswith(f"({ASSUMED})")]
