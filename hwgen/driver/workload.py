"""What a host loads and starts: the memory image, the programs in it, and where image and result go."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hwgen.spec.arch import ArchConfig
from hwgen.spec.layout import image_planes, result_bytes, result_rows
from hwgen.store.output_file import write_bytes, write_text

ALIGNMENT = 4096  # of the regions behind the memory image
IMAGE_FILE = "memory.bin"
MANIFEST_FILE = "workload.json"


class WorkloadError(ValueError):
    """A workload that cannot be used; the message says which part, and the limit."""


@dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """One task: its program in the memory image and the shape of its result."""

    program_offset: int  # bytes from MODEL
    result_rows: int
    result_outputs: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A memory image and its tasks for one machine; regions follow each other: model, pixels, result."""

    model: str
    arch: ArchConfig
    memory: NDArray[np.uint8]
    image_shape: tuple[int, int, int]  # height, width, channels
    tasks: Mapping[str, TaskEntry]
    patch: tuple[int, int] = (1, 1)  # pixels of a patch's side in the image, and in memory

    @classmethod
    def from_compiled(cls, compiled: Any) -> "Workload":
        """The workload of what ``hwgen.compiler.compile`` made."""
        config = compiled.config
        tasks = {
            name: TaskEntry(
                program_offset=program.offset,
                result_rows=program.result_rows,
                result_outputs=program.result_outputs,
            )
            for name, program in compiled.programs.items()
        }
        return cls(
            model=config.name,
            arch=compiled.arch,
            memory=compiled.image,
            image_shape=(config.image_height, config.image_width, config.channels),
            patch=(config.network.image.patch, config.network.image.side),
            tasks=tasks,
        )

    @property
    def image_offset(self) -> int:
        """Where the pixels go."""
        return -(-self.memory.size // ALIGNMENT) * ALIGNMENT

    @property
    def result_offset(self) -> int:
        """Where results go."""
        side, padded = self.patch
        end = self.image_offset + int(np.prod(self.image_shape)) // side**2 * padded**2
        return -(-end // ALIGNMENT) * ALIGNMENT

    @property
    def memory_bytes(self) -> int:
        """Memory that all regions need."""
        end = self.result_offset + max(self.result_bytes(task) for task in self.tasks)
        return -(-end // ALIGNMENT) * ALIGNMENT

    def task(self, name: str) -> TaskEntry:
        """The task called ``name``; WorkloadError names those that exist."""
        if name not in self.tasks:
            raise WorkloadError(f"{self.model} has no task {name!r}; it has {', '.join(self.tasks)}")
        return self.tasks[name]

    def result_bytes(self, task: str) -> int:
        """Size of the result of a task."""
        entry = self.task(task)
        return result_bytes(entry.result_rows, entry.result_outputs, self.arch)

    def planar(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """An image [height, width, channels] as the machine reads it: one plane per channel, padded patches."""
        if image.shape != self.image_shape or image.dtype != np.uint8:
            raise WorkloadError(
                f"{self.model} takes a uint8 image {list(self.image_shape)}, got {image.dtype}{list(image.shape)}"
            )
        return image_planes(image, *self.patch)

    def result(self, task: str, data: bytes) -> NDArray[np.int16]:
        """The result region as int16 [rows, outputs]."""
        entry = self.task(task)
        return result_rows(np.frombuffer(data, np.uint8), entry.result_rows, entry.result_outputs, self.arch)

    def save(self, folder: Path) -> None:
        """Write image and manifest into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / IMAGE_FILE, self.memory.tobytes())
        manifest = {
            "model": self.model,
            "arch": asdict(self.arch),
            "image_shape": list(self.image_shape),
            "patch": list(self.patch),
            "tasks": {name: asdict(entry) for name, entry in self.tasks.items()},
            "sha256": hashlib.sha256(self.memory.tobytes()).hexdigest(),
        }
        write_text(folder / MANIFEST_FILE, json.dumps(manifest, indent=1, sort_keys=True) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "Workload":
        """Read what :meth:`save` wrote; WorkloadError when image and manifest do not belong together."""
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        memory = np.fromfile(folder / IMAGE_FILE, np.uint8)
        if hashlib.sha256(memory.tobytes()).hexdigest() != manifest["sha256"]:
            raise WorkloadError(f"{folder / IMAGE_FILE} does not match the sha256 in {MANIFEST_FILE}")
        height, width, channels = manifest["image_shape"]
        side, padded = manifest.get("patch", (1, 1))  # workloads of older versions are never padded
        try:
            arch = ArchConfig(**manifest["arch"])
        except (TypeError, ValueError) as error:
            raise WorkloadError(f"{folder / MANIFEST_FILE}: arch: {error}; make the workload again") from error
        return cls(
            model=manifest["model"],
            arch=arch,
            memory=memory,
            image_shape=(height, width, channels),
            patch=(side, padded),
            tasks={name: TaskEntry(**entry) for name, entry in manifest["tasks"].items()},
        )
