"""The torch model against the NumPy forward pass."""

from dataclasses import replace

import numpy as np
import pytest

from golden.reference.m3vit_float import FloatModel, float_arrays
from golden.reference.scenes import HELD_OUT_FIRST_SEED, draw_scene
from hwgen.frontend.seeded import seeded_float
from hwgen.frontend.store import load_float
from hwgen.spec.activations import FUNCTIONS
from hwgen.spec.layers import KINDS
from hwgen.spec.model import ModelConfig
from hwgen.spec.presets import M3VIT_MICRO, model_config
from tests.frontend.shapes import SMALL, noise_image

torch = pytest.importorskip("torch", reason="the float model in torch needs torch")
M3ViT = pytest.importorskip("hwgen.frontend.m3vit", reason="needs torch").M3ViT
torch_layers = pytest.importorskip("hwgen.frontend.torch_layers", reason="needs torch")
initial = pytest.importorskip("hwgen.frontend.torch_layers.initial", reason="needs torch")


def _torch_outputs(config: ModelConfig, arrays: dict, images: list, task: str) -> np.ndarray:
    model = M3ViT(config).eval()
    model.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
    with torch.no_grad():
        return model(torch.from_numpy(np.stack(images)), task).numpy()


@pytest.mark.parametrize("name", ["m3vit-micro", "m3vit-tiny", "deit-tiny"])
def test_parameters_are_the_float_arrays(name: str) -> None:
    config = model_config(name)
    with torch.device("meta"):
        state = M3ViT(config).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in state.items()} == float_arrays(config)


def test_every_kind_of_layer_has_a_face_and_a_file() -> None:
    assert set(torch_layers.FACES) == set(initial.FACES) == set(KINDS)
    for kind, face in torch_layers.FACES.items():
        assert face.__module__ == f"hwgen.frontend.torch_layers.{kind.__name__.lower()}"


def test_training_starts_from_uniform_weights_no_bias_and_small_positions() -> None:
    torch.manual_seed(0)
    state = M3ViT(M3VIT_MICRO).state_dict()
    for name, item in M3VIT_MICRO.network.linears.items():
        weight, bound = state[f"{name}.weight"], (6.0 / (item.inputs + item.outputs)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound, name
        assert weight.std().item() == pytest.approx(bound / 3.0**0.5, rel=0.1), name
        assert item.part == "gates" or not state[f"{name}.bias"].any(), name
    for name in ("class_token", "position"):
        assert state[name].std().item() == pytest.approx(0.02, rel=0.25), name
    assert state["blocks.2.norm2.weight"].eq(1.0).all()
    assert not state["norm.bias"].any()


@pytest.mark.parametrize("task", ["seg", "depth"])
def test_trained_model_equals_numpy(task: str) -> None:
    arrays = load_float("m3vit-micro")
    images = [draw_scene(HELD_OUT_FIRST_SEED + index).image for index in range(3)]
    expected = np.stack([FloatModel(arrays, M3VIT_MICRO).run(image, task)[f"heads.{task}"] for image in images])
    found = _torch_outputs(M3VIT_MICRO, arrays, images, task)
    assert expected.std() > 1.0
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", ["seg", "class"])
def test_other_shapes_equal_numpy(task: str) -> None:
    arrays = seeded_float(SMALL, seed=5)
    images = [noise_image(SMALL, seed) for seed in range(4)]
    expected = np.stack([FloatModel(arrays, SMALL).run(image, task)[f"heads.{task}"] for image in images])
    found = _torch_outputs(SMALL, arrays, images, task)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_gates_and_heads_learn_from_their_own_task_only() -> None:
    torch.manual_seed(0)
    model = M3ViT(SMALL)
    model.set_gate_noise(0.1)
    model(torch.from_numpy(noise_image(SMALL)[None]), "seg").square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert gradients["blocks.0.gate.seg.weight"].abs().max() > 0
    assert gradients["blocks.0.gate.class.weight"] is None
    assert gradients["heads.class.weight"] is None
    assert gradients["blocks.0.experts.fc1.weight"].abs().max() > 0


def test_balance_loss_is_one_for_even_gates() -> None:
    model = M3ViT(SMALL)
    for name, parameter in model.named_parameters():
        if ".gate." in name:
            torch.nn.init.zeros_(parameter)
    model(torch.from_numpy(noise_image(SMALL)[None]), "seg")
    assert model.balance_loss().item() == pytest.approx(1.0)


def test_gates_are_noisy_in_training_only() -> None:
    torch.manual_seed(0)
    model, images = M3ViT(SMALL), torch.from_numpy(noise_image(SMALL)[None])
    with torch.no_grad():
        plain = model.eval()(images, "seg")
        assert torch.equal(model.train()(images, "seg"), plain)
        model.set_gate_noise(1.0)
        assert not torch.equal(model(images, "seg"), plain)
        assert torch.equal(model.eval()(images, "seg"), plain)


def test_a_head_can_start_at_a_constant() -> None:
    model, images = M3ViT(SMALL).eval(), torch.from_numpy(noise_image(SMALL)[None])
    with torch.no_grad():
        before = model(images, "class")
        model.set_output_bias("class", 3.5)
        torch.testing.assert_close(model(images, "class"), before + 3.5)
        assert before.shape == (1, 1, 7)
    assert not model.state_dict()["heads.seg.bias"].any()


@pytest.mark.parametrize("activation", list(FUNCTIONS))
def test_every_activation_and_epsilon(activation: str) -> None:
    config = replace(SMALL, activation=activation, epsilon=1e-2)
    arrays, image = seeded_float(config), noise_image(config)
    found = _torch_outputs(config, arrays, [image], "class")[0]
    real = FloatModel(arrays, config).run(image, "class")["heads.class"]
    assert np.abs(found - real).max() < 1e-4
    other = FloatModel(arrays, replace(config, epsilon=1e-6)).run(image, "class")["heads.class"]
    assert np.abs(other - real).max() > 1e-3
