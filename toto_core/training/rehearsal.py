"""What a pass through the network keeps in memory, counted and not computed from formulas.

Formulas would be outdated by every change of the network. A rehearsal passes one row and then
two through it, forward and backward, and counts the bytes that are alive at the peak; each
further row costs as much as the second. On the meta device nothing is computed.
"""

import dataclasses
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from toto_core.model import PATCH_SIZE, ModelConfig, Toto2
from toto_core.training.settings import TrainSettings
from toto_core.training.step import loss_sum, training_micro_batch


class Activations(NamedTuple):
    """Bytes alive at the peak of one forward and backward pass, gradients of weights aside."""

    fixed: int
    per_row: int

    def of(self, rows: int) -> int:
        """Bytes of a micro-batch of ``rows`` rows."""
        return self.fixed + rows * self.per_row


def rehearse(model: Toto2, settings: TrainSettings, *, num_steps: int) -> Activations:
    """Count the activations of one row and of two, on the device of ``model``.

    The weights stay as they are; their gradients are dropped.
    """
    one, two = (pass_peak(model, settings, rows=rows, num_steps=num_steps) for rows in (1, 2))
    return Activations(fixed=2 * one - two, per_row=two - one)


def rehearse_unbuilt(
    config: ModelConfig, settings: TrainSettings, *, num_steps: int, dtype: torch.dtype
) -> Activations:
    """Count the activations of a network that is too large to build.

    Its layers but the last are alike, so two shallow networks without contents tell of any depth.
    """
    shallow, deeper = (
        _rehearse_shallow(config, settings, layers, num_steps=num_steps, dtype=dtype)
        for layers in (2, 3)
    )
    more = config.num_layers - 2
    return Activations(
        *(few + more * (one_more - few) for few, one_more in zip(shallow, deeper, strict=True))
    )


def _rehearse_shallow(
    config: ModelConfig,
    settings: TrainSettings,
    num_layers: int,
    *,
    num_steps: int,
    dtype: torch.dtype,
) -> Activations:
    shallow = dataclasses.replace(config, num_layers=num_layers, layer_group_size=num_layers)
    with torch.device("meta"):
        model = Toto2(shallow, seed=None).to_compute(dtype)
    model.set_activation_checkpointing(settings.activation_checkpointing)
    return rehearse(model, settings, num_steps=num_steps)


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that come and go, storages of ``known`` ones aside."""

    def __init__(self, known: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes = {t.untyped_storage()._cdata: 0 for t in known}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401
        result = func(*args, **(kwargs or {}))
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


@dataclass(frozen=True)
class _BlankBatch:
    """Rows of zeros, all observed."""

    target: np.ndarray
    target_mask: np.ndarray
    series_ids: np.ndarray
    known: np.ndarray
    items: tuple[tuple[str, ...], ...]
    horizon: int = 0

    @classmethod
    def of(cls, rows: int, num_variates: int, num_steps: int) -> "_BlankBatch":
        shape = (rows, num_variates)
        return cls(
            target=np.zeros((*shape, num_steps), np.float32),
            target_mask=np.ones((*shape, num_steps), np.bool_),
            series_ids=np.zeros(shape, np.int64),
            known=np.zeros(shape, np.bool_),
            items=((),) * rows,
        )


def pass_peak(model: Toto2, settings: TrainSettings, *, rows: int, num_steps: int) -> int:
    """Most bytes alive in one pass of ``rows`` rows, gradients of weights aside."""
    micro_batch = training_micro_batch(
        _BlankBatch.of(rows, settings.num_variates, num_steps),
        settings,
        patch_size=PATCH_SIZE,
        seed=(0,),
        device=model.device,
    )
    hooks = [
        p.register_post_accumulate_grad_hook(_drop_gradient)
        for p in model.parameters()
        if p.requires_grad
    ]
    inputs = (part for part in vars(micro_batch).values() if isinstance(part, Tensor))
    try:
        with _Live(known=[*model.parameters(), *model.buffers(), *inputs]) as live:
            loss_sum(model, micro_batch, settings).backward()
    finally:
        for hook in hooks:
            hook.remove()
    return live.peak


def _drop_gradient(parameter: Tensor) -> None:
    parameter.grad = None
