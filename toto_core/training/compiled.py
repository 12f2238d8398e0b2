"""The network behind ``torch.compile``, as ``train.compile`` and ``train.cuda_graphs`` say."""

import torch
from torch import nn

from toto_core.errors import ConfigError, TrainingError
from toto_core.model.compiler import missing_compiler
from toto_core.training.settings import TrainSettings

_MODES = {
    ("default", False): "default",
    ("default", True): "reduce-overhead",
    ("max-autotune", False): "max-autotune-no-cudagraphs",
    ("max-autotune", True): "max-autotune",
}


def compiled(network: nn.Module, settings: TrainSettings, device: torch.device) -> nn.Module:
    """Give ``network`` as training calls it; it shares the parameters of the one that is given.

    Forward and backward become one graph each, made when the first batch comes. A batch of
    another shape makes new ones, so validation keeps to the network that was given.

    With ``cuda_graphs`` every parameter gets a gradient that stays where it is: a replayed graph
    overwrites what it returned before, which micro-batches are summed in.

    Raises:
        ConfigError: if ``cuda_graphs`` is asked for where it cannot be had.
        TrainingError: if there is no C++ compiler.
    """
    if settings.cuda_graphs and settings.compile == "none":
        raise ConfigError(
            "train: cuda_graphs = true with compile = none, default or max-autotune is needed; "
            "set train.compile, or train.cuda_graphs to false"
        )
    if settings.cuda_graphs and device.type != "cuda":
        raise ConfigError(
            f"train: cuda_graphs = true on the device {device}, cuda is needed; set "
            "train.cuda_graphs to false"
        )
    if settings.compile == "none":
        return network
    _find_compiler()
    if settings.cuda_graphs:
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
    mode = _MODES[settings.compile, settings.cuda_graphs]
    return torch.compile(network, mode=mode, dynamic=False)  # pyright: ignore[reportReturnType]


def _find_compiler() -> None:
    name = missing_compiler()
    if name is not None:
        raise TrainingError(
            f"train: C++ compiler = {name}, which is not found, one is needed to compile; install "
            "g++, name another one in CXX, or set train.compile to none"
        )
