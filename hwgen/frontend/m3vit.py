"""A network in torch: its layers one after the other, the gates and the head of one task.

Parameter names equal the names of `golden.reference.m3vit_float.float_arrays`, so that a state dict is a float model.
"""

# pyright: basic
# (torch is only partly typed)

import torch
from torch import Tensor, nn

from hwgen.frontend.torch_layers import FACES
from hwgen.frontend.torch_layers.forward import Forward
from hwgen.frontend.torch_layers.initial import FACES as INITIAL
from hwgen.spec.graph_model import Model


class M3ViT(nn.Module):
    """The whole network; `forward` takes the task, which picks the gates and the head."""

    def __init__(self, config: Model) -> None:
        super().__init__()
        self.config = config
        self.gate_noise = 0.0  # standard deviation of the noise on gate logits; training only
        self.balances: list[Tensor] = []  # load-balancing loss of every gate in the last pass in training mode
        for layer in config.network.layers:
            for name, values in INITIAL[type(layer)](layer).items():
                _put(self, name, nn.Parameter(values))

    def forward(self, pixels: Tensor, task: str) -> Tensor:
        """Pixel codes [batch, height, width, channels] to head outputs.

        Returns [batch, patches, outputs] for a dense task and [batch, 1, outputs] for classification.
        """
        network = self.config.network
        forward = Forward(
            arrays=dict(self.named_parameters()),
            network=network,
            task=self.config.task(task).name,
            pixels=pixels,
            training=self.training,
            gate_noise=self.gate_noise,
        )
        for layer in network.walk(task):
            FACES[type(layer)](forward, layer)
        if self.training:
            self.balances = forward.balances
        return forward.tensors[network.result(task).writes]

    def set_gate_noise(self, deviation: float) -> None:
        """Standard deviation of the noise that training adds to gate logits."""
        self.gate_noise = deviation

    def set_output_bias(self, task: str, value: float) -> None:
        """Start a head at a constant output, for targets far from zero."""
        nn.init.constant_(self.get_parameter(f"{self.config.network.result(task).name}.bias"), value)

    def balance_loss(self) -> Tensor:
        """Mean load-balancing loss of the gates in the last training-mode forward pass."""
        return torch.stack(self.balances).mean()


def _put(module: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """A parameter under its name; torch has no dots in names, but modules in modules."""
    first, dot, rest = name.partition(".")
    if not dot:
        module.register_parameter(first, parameter)
        return
    if first not in module._modules:
        module.add_module(first, nn.Module())
    _put(module.get_submodule(first), rest, parameter)
