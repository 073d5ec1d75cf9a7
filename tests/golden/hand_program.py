"""A program for the whole network assembled the plain way, independent of the compiler: one load per layer."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.arch import ArchConfig
from hwgen.spec.encoding import encode, to_bytes
from hwgen.spec.isa import Counter, Destination, Opcode, Source
from hwgen.spec.layout import (
    padded,
    param_entries,
    port_slices,
    position_words,
    result_bytes,
    result_rows,
    weight_tiles,
)
from hwgen.spec.package import QuantisedModel
from hwgen.spec.tables import TABLES, pack_table

PROGRAM, MODEL = 0x100, 0x8000  # addresses in the memory image


def small_arch(lanes: tuple[int, int, int], ports: int = 1) -> ArchConfig:
    """A machine large enough for the small networks."""
    return ArchConfig(
        name="test",
        token_lanes=lanes[0],
        input_lanes=lanes[1],
        output_lanes=lanes[2],
        max_tokens=80,
        max_inputs=512,
        max_channels=128,
        max_experts=8,
        residual_bytes=2**16,
        norm_bytes=2**15,
        activation_bytes=2**16,
        key_bytes=2**16,
        value_bytes=2**16,
        score_words=4096,
        ring_bytes=2**16,
        weight_ports=ports,
    )


@dataclass
class HandProgram:
    """Memory image and program under construction; ``instructions`` holds (opcode, fields), for tests to spoil."""

    package: QuantisedModel
    task: str
    arch: ArchConfig
    model: bytearray = field(default_factory=bytearray)
    instructions: list[tuple[Opcode, dict[str, int]]] = field(default_factory=list)
    count: dict[Counter, int] = field(default_factory=lambda: dict.fromkeys(Counter, 0))

    def __post_init__(self) -> None:
        config, arch = self.package.config, self.arch
        self.tokens = config.tokens
        self.words = arch.words(config.dim)
        self.head_words = arch.words(config.head_dim)
        self.attention_words = config.heads * self.head_words
        self.context_base = self.tokens * self.attention_words  # behind the queries
        self._assemble()

    def get(self, name: str) -> NDArray:
        return self.package.arrays[name]

    def put(self, data: bytes) -> int:
        """Append to the model region, 16-byte aligned; the offset."""
        self.model += bytes(-len(self.model) % 16)
        at = len(self.model)
        self.model += data
        return at

    def emit(self, opcode: Opcode, **fields: int) -> None:
        self.instructions.append((opcode, {name: int(value) for name, value in fields.items()}))

    def counted(self, counter: Counter, rows: int) -> int:
        """The count before ``rows`` more rows."""
        self.count[counter] += rows
        return self.count[counter] - rows

    def load(self, norms: list[NDArray], params: list[NDArray], tiles: list[NDArray]) -> None:
        parts = [np.concatenate(part) for part in (norms, params, tiles) if part]
        slices = np.concatenate([port_slices(part, self.arch) for part in parts], axis=1)
        stride = slices.shape[1] + 48
        at = self.put(np.pad(slices, ((0, 0), (0, 48))).tobytes())
        entries = [sum(len(array) for array in part) for part in (norms, params, tiles)]
        self.emit(
            Opcode.LOAD_WEIGHTS,
            offset=at,
            port_stride=stride,
            norm_entries=entries[0],
            param_entries=entries[1],
            weight_words=entries[2],
        )

    def by_head(self, array: NDArray, axis: int) -> NDArray:
        """Channels padded to whole words head by head."""
        config = self.package.config
        split = np.stack(np.split(array, config.heads, axis=axis), axis=axis)
        full = padded(split, axis + 1, self.arch.output_lanes)
        shape = list(array.shape)
        shape[axis] = -1
        return full.reshape(shape)

    def layer(self, name: str, expert: int | None = None) -> tuple[NDArray, NDArray, NDArray, NDArray]:
        parts = [self.get(f"{name}.{part}") for part in ("weight", "bias", "mult", "shift")]
        if expert is not None:
            parts = [part[expert] for part in parts]
        if name.endswith((".query", ".key", ".value")):
            parts = [self.by_head(part, 0) for part in parts]
        if name.endswith(".proj"):
            parts[0] = self.by_head(parts[0], 1)
        return tuple(parts)

    def ring_words(self, name: str, weight: NDArray) -> NDArray:
        """Ring words of a layer: of four-bit weights, two chunks of an output tile share one."""
        tiles = weight_tiles(weight, self.arch)
        return self.package.config.network.linears[name].format.pack(tiles, self.arch.chunks(weight.shape[1]))

    def linear(self, name: str, wait: tuple[Counter, int], rows: int, destination: Destination, **fields: int) -> None:
        weight, *params = self.layer(name)
        self.load([], [param_entries(*params, self.arch)], [self.ring_words(name, weight)])
        self.emit(
            Opcode.LINEAR,
            wait_a=wait[0],
            wait_a_base=wait[1],
            rows=rows,
            in_chunks=self.arch.chunks(weight.shape[1]),
            out_tiles=self.arch.words(weight.shape[0]),
            int4=name in self.package.config.int4,
            destination=destination,
            **fields,
        )

    def layernorm(self, name: str, base: int) -> int:
        """LayerNorm of all rows; the NORM count before it."""
        gain, offset, shift = (self.get(f"{name}.{part}") for part in ("gain", "offset", "shift"))
        self.load([param_entries(offset, gain, np.zeros_like(offset), self.arch)], [], [])
        rows = {"src_stride": self.words, "dst_stride": self.words, "words": self.words, "rows": self.tokens}
        self.emit(
            Opcode.LAYERNORM,
            wait_a=Counter.RESIDUAL,
            wait_a_base=base,
            channels=self.package.config.dim,
            shift=shift[0],
            **rows,
        )
        return self.counted(Counter.NORM, self.tokens)

    def attention(self, at: str, base: int) -> int:
        """Attention half of a block; the RESIDUAL count before its projection."""
        config, tokens, stride = self.package.config, self.tokens, self.attention_words
        norm = (Counter.NORM, self.layernorm(f"{at}.norm1", base))
        before = {}
        for part in (Destination.QUERY, Destination.KEY, Destination.VALUE):
            self.linear(f"{at}.{part.name.lower()}", norm, tokens, part, src_stride=self.words, dst_stride=stride)
            before[part] = self.counted(Counter[part.name], tokens)
        mult, shift, bias = (self.get(f"{at}.scores.{part}") for part in ("mult", "shift", "bias"))
        context = 0
        for head in range(config.heads):
            shared = {"rows": tokens, "keys": tokens, "score_base": 0, "slot": head % 2}
            offset = head * self.head_words
            self.emit(
                Opcode.SCORES,
                wait_a=Counter.QUERY,
                wait_a_base=before[Destination.QUERY],
                wait_b=Counter.KEY,
                wait_b_base=self.count[Counter.KEY],
                in_chunks=self.head_words * self.arch.subwords,
                src_base=offset,
                src_stride=stride,
                key_offset=offset,
                key_stride=stride,
                mult=mult[head],
                shift=shift[head],
                bias=bias[head],
                context_mult=self.get(f"{at}.context.mult")[0],
                context_shift=self.get(f"{at}.context.shift")[0],
                **shared,
            )
            self.emit(
                Opcode.CONTEXT,
                wait_a=Counter.SCORE,
                wait_a_base=self.counted(Counter.SCORE, tokens),
                wait_b=Counter.VALUE,
                wait_b_base=self.count[Counter.VALUE],
                out_tiles=self.head_words,
                value_offset=offset,
                value_stride=stride,
                dst_base=self.context_base + offset,
                dst_stride=stride,
                **shared,
            )
            context = self.counted(Counter.CONTEXT, tokens)
        wait = (Counter.CONTEXT, context)
        where = {"source": Source.ACTIVATION, "src_base": self.context_base, "src_stride": stride}
        self.linear(f"{at}.proj", wait, tokens, Destination.RESIDUAL, dst_stride=self.words, **where)
        return self.counted(Counter.RESIDUAL, tokens)

    def mlp(self, at: str, norm: tuple[Counter, int]) -> int:
        tokens, stride = self.tokens, self.arch.words(self.package.config.mlp_hidden)
        gelu = {part: self.get(f"{at}.fc1.{part}")[0] for part in ("gelu_mult", "gelu_shift", "zero")}
        self.linear(
            f"{at}.fc1", norm, tokens, Destination.HIDDEN, src_stride=self.words, dst_stride=stride, dst_base=7, **gelu
        )
        wait = (Counter.HIDDEN, self.counted(Counter.HIDDEN, tokens))
        where = {"source": Source.ACTIVATION, "src_base": 7, "src_stride": stride, "dst_stride": self.words}
        self.linear(f"{at}.fc2", wait, tokens, Destination.RESIDUAL, **where)
        return self.counted(Counter.RESIDUAL, tokens)

    def moe(self, at: str, norm: tuple[Counter, int]) -> int:
        config, arch = self.package.config, self.arch
        choice = {"experts": config.experts, "top_k": config.top_k, "renormalise": config.gate_renormalise}
        name = f"{at}.gate.{self.task}"
        self.linear(name, norm, self.tokens, Destination.GATE, src_stride=self.words, **choice)
        self.counted(Counter.GATE, self.tokens)
        for expert in range(config.experts):
            names = [f"{at}.experts.{part}" for part in ("fc1", "fc2")]
            layers = {name: self.layer(name, expert) for name in names}
            params = [param_entries(*layer[1:], arch) for layer in layers.values()]
            self.load([], params, [self.ring_words(name, layer[0]) for name, layer in layers.items()])
        self.emit(
            Opcode.EXPERTS,
            wait_b=Counter.GATE,
            wait_b_base=self.count[Counter.GATE],
            rows=self.tokens,
            experts=config.experts,
            in_chunks=arch.chunks(config.dim),
            hidden_tiles=arch.words(config.expert_hidden),
            hidden_chunks=arch.chunks(config.expert_hidden),
            out_tiles=self.words,
            src_stride=self.words,
            hidden_base=3,
            hidden_stride=arch.words(config.expert_hidden),
            dst_stride=self.words,
            gelu_mult=self.get(f"{at}.experts.fc1.gelu_mult")[0],
            gelu_shift=self.get(f"{at}.experts.fc1.gelu_shift")[0],
            zero=self.get(f"{at}.experts.fc1.zero")[0],
            int4_first=f"{at}.experts.fc1" in config.int4,
            int4_second=f"{at}.experts.fc2" in config.int4,
        )
        return self.counted(Counter.RESIDUAL, self.tokens)

    def head(self, norm: int) -> None:
        config = self.package.config
        dense = config.task(self.task).kind != "classification"
        self.result_rows = config.patches if dense else 1
        first = {"src_base": self.words if dense else 0, "src_stride": self.words}
        wait = (Counter.NORM, norm + dense)
        self.linear(f"heads.{self.task}", wait, self.result_rows, Destination.RESULT, **first)
        self.result_size = result_bytes(self.result_rows, config.task(self.task).outputs, self.arch)
        self.emit(Opcode.STORE, beats=self.result_size // 16)

    def _assemble(self) -> None:
        config, arch, tokens = self.package.config, self.arch, self.tokens
        for table in TABLES:
            at = self.put(pack_table(self.get(f"tables.{table.name}").astype(np.int64)).tobytes())
            self.emit(Opcode.LOAD_TABLE, offset=at, table=table.index, words=table.words)
        position = self.put(position_words(self.get("position"), arch).tobytes())
        self.emit(Opcode.LOAD_POSITION, offset=position, rows=tokens, row_words=self.words)
        self.counted(Counter.RESIDUAL, tokens)
        stride = arch.words(config.patch_values)
        self.emit(
            Opcode.LOAD_PATCHES,
            patch=config.patch,
            patch_rows=config.patch_rows,
            patch_columns=config.patch_columns,
            channels=config.channels,
            width=self.row_bytes,
            plane_bytes=self.row_bytes * config.image_height,
            dst_stride=stride,
        )
        before = {"wait_b": Counter.RESIDUAL, "wait_b_base": tokens}
        where = {"source": Source.ACTIVATION, "src_stride": stride, "dst_base": self.words, "dst_stride": self.words}
        wait = (Counter.PATCH, 0)
        self.linear("patch_embed", wait, config.patches, Destination.RESIDUAL, **where, **before)
        base = self.counted(Counter.RESIDUAL, config.patches) - 1
        for block in range(config.depth):
            at = f"blocks.{block}"
            base = self.attention(at, base)
            norm = (Counter.NORM, self.layernorm(f"{at}.norm2", base))
            base = (self.moe if config.is_moe(block) else self.mlp)(at, norm)
        self.head(self.layernorm("norm", base))
        self.emit(Opcode.END)

    @property
    def row_bytes(self) -> int:
        """Bytes of one image row in memory, a multiple of 16."""
        return -(-self.package.config.image_width // 16) * 16

    def memory(self, image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], dict[str, int]]:
        """The memory image and the pointers of the registers."""
        program = to_bytes([encode(opcode, **fields) for opcode, fields in self.instructions])
        assert PROGRAM + len(program) <= MODEL
        planes = np.pad(image.transpose(2, 0, 1), ((0, 0), (0, 0), (0, self.row_bytes - image.shape[1]))).tobytes()
        at_image = MODEL + -(-len(self.model) // 4096) * 4096
        at_result = at_image + -(-len(planes) // 4096) * 4096
        memory = np.zeros(at_result + self.result_size + 64, dtype=np.uint8)
        for at, data in ((PROGRAM, program), (MODEL, bytes(self.model)), (at_image, planes)):
            memory[at : at + len(data)] = np.frombuffer(data, dtype=np.uint8)
        memory[at_result:] = 0xA5
        return memory, {"program": PROGRAM, "model": MODEL, "image": at_image, "result": at_result}

    def result(self, memory: NDArray[np.uint8], at: int) -> NDArray[np.int16]:
        """Head codes [rows, outputs] of a finished run."""
        outputs = self.package.config.task(self.task).outputs
        return result_rows(memory[at : at + self.result_size].copy(), self.result_rows, outputs, self.arch)
