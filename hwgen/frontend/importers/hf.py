"""Checkpoints of Hugging Face's transformers: ViT, DeiT, DINOv2 without and with registers. transformers is not needed.

Arrays get timm's names, entries of ``config.json`` become a description, and timm's import does the rest.
"""

from pathlib import Path

from hwgen.frontend.importers.beside import CONFIG, read_object
from hwgen.frontend.importers.checkpoint import Checkpoint, CheckpointError
from hwgen.frontend.importers.hf_described import HfNetwork
from hwgen.frontend.importers.hf_names import heads_in, in_timms_names
from hwgen.frontend.importers.hf_pixels import read_pixels
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.timm import import_described

HF = "hf"  # KIND of hwgen import
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # transformers reads the first of them that is there
_INDEX = ".index.json"  # behind the name of a file that was saved in parts


def weights_in(path: Path) -> Path:
    """The file with the weights in a folder, or the file itself; CheckpointError if a folder has none."""
    if not path.is_dir():
        return path
    for name in _WEIGHTS:
        if (path / name).is_file():
            return path / name
    parts = [name for name in _WEIGHTS if (path / f"{name}{_INDEX}").is_file()]
    if parts:
        raise CheckpointError(
            f"{path}: the weights are in several files ({parts[0]}{_INDEX}); save them in one:"
            ' model.save_pretrained(FOLDER, max_shard_size="100GB")'
        )
    raise CheckpointError(f"{path}: a folder without {' and '.join(_WEIGHTS)}")


def _described(checkpoint: Checkpoint) -> HfNetwork:
    """What lies beside the weights."""
    if checkpoint.folder is None or not (checkpoint.folder / CONFIG).is_file():
        raise CheckpointError(
            f"{checkpoint.label}: {CONFIG} is missing beside it: arrays do not say heads, activation and epsilon; take"
            " the file that transformers saved with these weights"
        )
    path = checkpoint.folder / CONFIG
    return HfNetwork(
        label=str(path),
        entries=read_object(path),
        heads=heads_in(checkpoint),
        pixels=read_pixels(checkpoint.folder),
    )


def import_hf(checkpoint: Checkpoint, options: ImportOptions) -> Imported:
    """The float model of a checkpoint of transformers; CheckpointError names an array or an entry."""
    network, notes = _described(checkpoint), list[str]()
    network.refuse_other_functions()  # before arrays of other functions are met
    kind = network.kind
    arrays = in_timms_names(checkpoint, kind.prefix, scaled=kind.scaled, class_apart=network.class_apart, notes=notes)
    return import_described(arrays, options, network, notes)
