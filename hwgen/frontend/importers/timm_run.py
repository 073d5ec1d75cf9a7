"""What a live module says of some images, beside what the imported float network says of them."""

# pyright: basic
# (a module of somebody else's is typed by nobody)

import copy
from typing import Any

import numpy as np
import torch

from hwgen.frontend.importers.checkpoint import CheckpointError
from hwgen.frontend.importers.expect import USUAL_DB, Agreement, Expected, compared, refuse_disagreement
from hwgen.frontend.importers.imported import Imported, ImportOptions
from hwgen.frontend.importers.timm import import_described
from hwgen.frontend.importers.timm_live import LABEL, live_checkpoint, live_network
from hwgen.frontend.importers.trial import trial_images
from hwgen.frontend.scaling import FloatArray


def _outputs(model: Any, imported: Imported, images: np.ndarray) -> tuple[FloatArray, dict[str, FloatArray]]:
    """Outputs of a float32 copy of the module in evaluation mode, and what leaves each of its blocks."""
    rule = imported.pixels
    floats = ((images / rule.full - np.array(rule.mean)) / np.array(rule.std)).transpose(0, 3, 1, 2)
    own = copy.deepcopy(model).to(device="cpu", dtype=torch.float32).eval()
    _resize(own, images.shape[1:3])
    taps: dict[str, FloatArray] = {}
    hooks = [
        block.register_forward_hook(lambda _m, _i, out, name=f"blocks.{index}": taps.__setitem__(name, _wide(out)))
        for index, block in enumerate(own.blocks)
    ]
    features = imported.config.tasks[0].kind == "features"
    with torch.no_grad():
        found = (own.forward_features if features else own)(torch.from_numpy(floats.astype(np.float32)))
    for hook in hooks:
        hook.remove()
    return _wide(found), taps


def _resize(model: Any, size: tuple[int, ...]) -> None:
    """The module's own way to take images of another size."""
    if tuple(model.patch_embed.img_size or ()) != size and hasattr(model, "set_input_size"):
        model.set_input_size(img_size=tuple(int(side) for side in size))


def _wide(tensor: Any) -> FloatArray:
    return tensor.detach().double().numpy()


def agreement_with(model: Any, imported: Imported) -> Agreement:
    """The imported network against the module itself; CheckpointError below `USUAL_DB`, with the first block."""
    images = trial_images(imported)
    try:
        outputs, taps = _outputs(model, imported, images)
    except Exception as error:  # whatever a module of somebody else's raises
        raise CheckpointError(f"{LABEL}: cannot be run on images of {list(images.shape[1:])}: {error}") from error
    task = imported.config.tasks[0]
    rows = imported.config.result_rows(task)
    result = compared(
        imported,
        Expected(
            label=LABEL,
            sha256="",
            images=images,
            outputs={task.name: outputs.reshape(len(images), rows, task.outputs)},
            taps=taps,
        ),
    )
    refuse_disagreement(result, imported, LABEL, USUAL_DB)
    return result


def import_live(
    model: Any, options: ImportOptions, *, allow_dead: bool = False
) -> tuple[Imported, Agreement | None, str]:
    """The float network of a live module, how well it agrees with the module, and the sha256 of the arrays.

    A network whose distillation token is left out is another one than the module: there is nothing to compare.
    """
    described, checkpoint, notes = live_network(model), live_checkpoint(model, allow_dead=allow_dead), list[str]()
    imported = import_described(checkpoint, options, described, notes)
    agreed = None if imported.facts["distillation_dropped"] else agreement_with(model, imported)
    return imported, agreed, checkpoint.sha256
