"""How much a training step computes: the matrix products of the network, counted from its shapes.

A product of ``[m, k]`` and ``[k, n]`` is ``2 m k n`` operations. Norms, activations, scaler, loss
and optimiser are not counted, nor is what activation checkpointing computes again: utilisation
(MFU) is the useful part of what the machine could have done.
"""

from dataclasses import dataclass

from toto_core.model import ModelConfig, Toto2
from toto_core.model.umup import UnitLinear

_READ_THE_DATA = ("patch_proj.linear1", "patch_proj.skip_proj")


@dataclass(frozen=True)
class PassFlops:
    """Floating-point operations of the matrix products of one micro-batch."""

    forward: int
    backward: int

    @property
    def total(self) -> int:
        """Both ways."""
        return self.forward + self.backward


def pass_flops(model: Toto2, *, rows: int, num_variates: int, num_patches: int) -> PassFlops:
    """Count one forward and backward pass of ``model``, on any device.

    A linear layer costs as much again for the gradient of its weight, if that learns, and again
    for the gradient of its input, if anything before it learns; attention twice its forward.
    What low-rank changes of the weights cost by themselves is left out.
    """
    tokens = rows * num_variates * num_patches
    forward = backward = 0
    learned_before = False
    for name, layer in model.named_modules():  # in the order of the forward pass
        if isinstance(layer, UnitLinear):
            product = 2 * tokens * _weights_used(model, name, layer, num_variates=num_variates)
            learns = any(parameter.requires_grad for parameter in layer.parameters())
            input_learns = learned_before and name not in _READ_THE_DATA
            forward += product
            backward += product * (learns + input_learns)
            learned_before |= learns
    attention = rows * _attention_flops(model.config, num_variates, num_patches)
    return PassFlops(forward + attention, backward + 2 * attention * learned_before)


def _weights_used(model: Toto2, name: str, layer: UnitLinear, *, num_variates: int) -> int:
    """Elements of the weight; a lone variate needs no queries and keys over variates."""
    elements = layer.weight.numel()
    alone = num_variates == 1 and name.endswith(".attn.in_proj")
    if alone and model.get_submodule(name.removesuffix(".in_proj")).over_variates:
        return elements // 3
    return elements


def _attention_flops(config: ModelConfig, num_variates: int, num_patches: int) -> int:
    """One row, forward: queries by keys, then weights by values; masked pairs are computed too."""
    total = 0
    for index in range(config.num_layers):
        attended = num_variates if config.is_variate_layer(index) else num_patches
        if attended > 1 or not config.is_variate_layer(index):
            total += 2 * 2 * config.d_model * num_variates * num_patches * attended
    return total
