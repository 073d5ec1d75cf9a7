"""Which layers of a network a machine cannot run: by name, with the figures and the field to raise."""

from hwgen.spec.arch import ArchConfig
from hwgen.spec.model import ModelConfig


def _advice(arch: ArchConfig, field: str, value: int) -> str:
    """Which machine to choose, if there is one."""
    return arch.advice(field, value).replace("set ", "choose --arch FILE.yaml with ")


def limit_faults(config: ModelConfig, arch: ArchConfig) -> list[str]:
    """One line per layer that exceeds a limit of the machine; buffers are the compiler's to check."""
    faults: list[str] = []

    def need(name: str, what: str, field: str, value: int) -> None:
        limit = getattr(arch, field)
        if value > limit:
            faults.append(
                f"{name}: {what} {value} exceeds {field} {limit} of arch {arch.name}; {_advice(arch, field, value)}"
            )

    need("position", "tokens", "max_tokens", config.tokens)
    need("norm", "channels", "max_channels", config.dim)
    for block in config.moe_blocks:
        need(f"blocks.{block}.gate", "experts", "max_experts", config.experts)
    for name, item in config.network.linears.items():
        need(name, "inputs", "max_inputs", item.inputs)
    for block in set(range(config.depth)) - set(config.moe_blocks):
        held = config.tokens * arch.words(config.mlp_hidden) * arch.output_lanes
        need(f"blocks.{block}.fc1", f"hidden {config.mlp_hidden} times tokens, in bytes,", "activation_bytes", held)
    return faults
