"""Formats of tensors follow from the layers that leave them, whatever they are called."""

from dataclasses import replace

from golden.reference.m3vit_float import FloatModel
from hwgen.frontend.layers.formats import HIDDEN, INT8, INT16, code_names, tensor_formats
from hwgen.frontend.seeded import seeded_calibrated, seeded_float, seeded_package
from hwgen.frontend.sensitivity import float_tensors
from hwgen.spec.model import TaskConfig
from tests.frontend.shapes import SMALL, noise_image


def test_every_float_tensor_with_a_scale_has_a_format_but_scores() -> None:
    model, package = FloatModel(seeded_calibrated(SMALL)[0], SMALL, details=True), seeded_package(SMALL)
    formats = tensor_formats(SMALL.network)
    seen = {
        name
        for task in SMALL.tasks
        for name in float_tensors(model.run(noise_image(SMALL), task.name), SMALL.network)
        if name in package.scales
    }
    assert seen - set(formats) == {"blocks.0.expert_scores", "blocks.2.expert_scores"}
    assert set(formats) <= seen


def test_what_becomes_codes_of_eight_bits_and_what_of_sixteen() -> None:
    formats = tensor_formats(SMALL.network)
    assert {name for name, form in formats.items() if form is HIDDEN} == {
        f"blocks.{block}.hidden" for block in range(3)
    }
    assert formats["blocks.1.context"] == formats["norm"] == formats["blocks.2.key"] == INT8
    wide = ("patch_embed", "blocks.0.attention", "blocks.1.mlp", "blocks.2.moe", "blocks.0.gate", "heads.class")
    assert {formats[name] for name in wide} == {INT16}
    assert code_names(SMALL.network) == {f"blocks.{block}.expert_hidden": f"blocks.{block}.hidden" for block in (0, 2)}


def test_names_of_tasks_decide_nothing() -> None:
    """A head keeps sixteen bits, and a gate its gain, in tasks that are called as layers are."""
    tasks = tuple(TaskConfig(name=name, kind="depth", classes=1) for name in ("norm", "hidden", "query", "proj"))
    odd = replace(SMALL, tasks=tasks)
    formats = tensor_formats(odd.network)
    assert {formats[f"heads.{task.name}"] for task in tasks} == {INT16}
    arrays = seeded_float(odd)
    for task in tasks:
        weight = arrays[f"heads.{task.name}.weight"]
        assert abs(weight.mean()) < 0.5
        assert 0.6 < weight.std() * weight.shape[-1] ** 0.5 < 1.35, task.name
