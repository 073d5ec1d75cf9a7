"""How many bits the weights of each linear layer have, as text: ``experts=4``, ``*=4,heads=8``, ``blocks.1.*=4``."""

from dataclasses import replace
from fnmatch import fnmatchcase

from hwgen.spec.graph_model import Model
from hwgen.spec.numerics import NUMERICS

NARROW, WIDE = NUMERICS.narrow_weight_bits, NUMERICS.weight_bits


def _meant(what: str, config: Model) -> list[str]:
    """Layers of a kind, or those whose names match a pattern; ValueError when there are none."""
    layers = config.linear_layers
    found = [name for name, kind in layers.items() if kind == what or fnmatchcase(name, what)]
    if not found:
        kinds = ", ".join(dict.fromkeys(layers.values()))
        raise ValueError(
            f"{config.name} has no layers {what!r}; give a kind ({kinds}), the name of a layer such as"
            f" {next(reversed(layers))}, or a pattern such as blocks.0.*"
        )
    return found


def with_weight_bits(config: Model, text: str) -> Model:
    """``config`` with the bits that ``text`` gives to some layers: WHAT=BITS, separated by commas, the last one counts.

    WHAT is a kind of layers, the name of a layer, or a pattern with ``*``; BITS is 4 or 8. Layers that nothing names
    stay as they are. ValueError says what cannot be read, or names nothing.
    """
    narrow = set(config.int4)
    for part in text.split(","):
        what, _, bits = part.strip().partition("=")
        if bits not in (str(NARROW), str(WIDE)):
            raise ValueError(f"{part.strip()!r}: give WHAT={NARROW} or WHAT={WIDE}, such as experts={NARROW}")
        found = _meant(what, config)
        narrow = narrow | set(found) if bits == str(NARROW) else narrow - set(found)
    return replace(config, int4=tuple(name for name in config.linear_layers if name in narrow))


def weight_bits_text(config: Model) -> str:
    """What `with_weight_bits` takes for these layers: whole kinds where possible; empty when all have eight bits."""
    layers, narrow = config.linear_layers, set(config.int4)
    if narrow == layers.keys():
        return f"*={NARROW}"
    kinds = [kind for kind in dict.fromkeys(layers.values()) if {n for n, k in layers.items() if k == kind} <= narrow]
    single = [name for name in config.int4 if layers[name] not in kinds]
    return ",".join(f"{what}={NARROW}" for what in (*kinds, *single))
