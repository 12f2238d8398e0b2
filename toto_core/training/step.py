"""One optimiser step: batches to tensors, the loss and its gradients, and their refusal.

Shapes: B rows, V variates, T time steps, P patches, L patch size; ``predicted`` = P - 1.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from toto_core.errors import BatchTooLargeError, TrainingError
from toto_core.model.umup import scale_grad
from toto_core.training.distributed import averaging, gathered, summed, whole, world_size
from toto_core.training.losses import num_outputs, objective_sum, target_weights
from toto_core.training.masking import visible_patches
from toto_core.training.settings import TrainSettings

_MASK_STREAM = 3  # apart from the streams of data.windows
_NAMED_ITEMS = 8


@runtime_checkable
class Batch(Protocol):
    """What training needs to know of a batch (``data.windows.Batch`` has it)."""

    @property
    def target(self) -> np.ndarray:
        """[B, V, T], 0 where missing."""
        ...

    @property
    def target_mask(self) -> np.ndarray:
        """[B, V, T], True where observed."""
        ...

    @property
    def series_ids(self) -> np.ndarray:
        """[B, V], equal for the variates of one item."""
        ...

    @property
    def known(self) -> np.ndarray:
        """[B, V], True for known covariates."""
        ...

    @property
    def horizon(self) -> int:
        """How many of the last steps are forecast; 0 in training."""
        ...

    @property
    def items(self) -> tuple[tuple[str, ...], ...]:
        """Item ids of each row."""
        ...


@dataclass(frozen=True)
class MicroBatch:
    """A batch as the network takes it.

    Attributes:
        cpm_mask: True where the network may see.
        weight: of each target in the loss.
        items: item ids of each row.
    """

    target: Float[Tensor, "B V T"]
    target_mask: Bool[Tensor, "B V T"]
    cpm_mask: Bool[Tensor, "B V T"]
    series_ids: Int64[Tensor, "B V"]
    weight: Float[Tensor, "B V predicted L"]
    items: tuple[tuple[str, ...], ...]

    def to(self, device: torch.device) -> "MicroBatch":
        """The same on ``device``; from pinned memory the copy is not waited for."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "MicroBatch":
        """The same in memory that a GPU copies from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "MicroBatch":
        tensors = {name: value for name, value in vars(self).items() if name != "items"}
        return replace(self, **{name: change(value) for name, value in tensors.items()})

    def unweighted(self) -> "MicroBatch":
        """The same without a say in the loss."""
        return replace(self, weight=torch.zeros_like(self.weight))

    def row(self, index: int) -> "MicroBatch":
        """Row ``index`` by itself."""
        part = slice(index, index + 1)
        return MicroBatch(
            self.target[part],
            self.target_mask[part],
            self.cpm_mask[part],
            self.series_ids[part],
            self.weight[part],
            self.items[part],
        )


def training_micro_batch(
    batch: Batch,
    settings: TrainSettings,
    *,
    patch_size: int,
    seed: Sequence[int],
    device: torch.device,
) -> MicroBatch:
    """Hide spans of patches of ``batch``, drawn from ``seed``; every target counts."""
    observed_BVPL = batch.target_mask.reshape(*batch.known.shape, -1, patch_size)
    visible_BVP = visible_patches(
        batch.series_ids,
        batch.known,
        np.any(observed_BVPL, axis=-1),
        max_span=settings.max_span,
        max_rate=settings.max_mask_rate,
        seed=[_MASK_STREAM, *seed],
    )
    return _micro_batch(batch, visible_BVP, patch_size=patch_size, device=device)


def validation_micro_batch(batch: Batch, *, patch_size: int, device: torch.device) -> MicroBatch:
    """Hide the horizon of ``batch``, known covariates apart; only the horizon counts."""
    rows, num_variates, num_steps = batch.target.shape
    num_patches = num_steps // patch_size
    hidden_P = np.arange(num_patches) >= num_patches - batch.horizon // patch_size
    visible_BVP = np.broadcast_to(~hidden_P, (rows, num_variates, num_patches))
    return _micro_batch(
        batch, visible_BVP | batch.known[..., None], patch_size=patch_size, device=device
    )


def _micro_batch(
    batch: Batch, visible_BVP: np.ndarray, *, patch_size: int, device: torch.device
) -> MicroBatch:
    target_mask = torch.from_numpy(batch.target_mask).to(device)
    cpm_mask = torch.from_numpy(visible_BVP.repeat(patch_size, axis=2)).to(device)
    return MicroBatch(
        target=torch.from_numpy(batch.target).to(device),
        target_mask=target_mask,
        cpm_mask=cpm_mask,
        series_ids=torch.from_numpy(batch.series_ids).to(device),
        weight=target_weights(
            target_mask,
            cpm_mask,
            torch.from_numpy(batch.known).to(device),
            patch_size=patch_size,
            horizon=batch.horizon,
        ),
        items=batch.items,
    )


def loss_sum(
    model: nn.Module, micro_batch: MicroBatch, settings: TrainSettings
) -> Float[Tensor, ""]:
    """Sum the loss of a micro-batch over its weighted targets.

    The last patch is a target only: it predicts none, and no other patch sees it.

    The gradients are those of ``loss_scale`` times the sum of the losses of all outputs, where the
    loss of a target is their mean. So each output's gradient is of order one, whatever their
    number and the size of the batch, which unit scaling asks for (docs/recipe.md).
    """
    read = slice(None, -micro_batch.weight.shape[-1])
    output = model(
        micro_batch.target[..., read],
        micro_batch.target_mask[..., read],
        micro_batch.cpm_mask[..., read],
        micro_batch.series_ids,
    )
    loss = objective_sum(output, micro_batch.target, micro_batch.weight, settings)
    return scale_grad(loss, settings.loss_scale * num_outputs(output))


def accumulate_gradients(
    model: nn.Module, micro_batches: Sequence[MicroBatch], settings: TrainSettings
) -> float:
    """Add the gradients of ``loss_sum`` over all micro-batches of all processes.

    Returns:
        The mean loss over all their weighted targets together.
    """
    total_weight = _total_weight(micro_batches)
    return summed(_add_gradients(model, micro_batches, settings, total_weight=total_weight))


def _add_gradients(
    model: nn.Module,
    micro_batches: Sequence[MicroBatch],
    settings: TrainSettings,
    *,
    total_weight: float,
) -> float:
    loss = 0.0
    for left, micro_batch in zip(reversed(range(len(micro_batches))), micro_batches, strict=True):
        if settings.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()
        with averaging(model, now=left == 0):
            part = loss_sum(model, micro_batch, settings)
            (part * world_size()).backward()  # gradients are averaged over the processes
        loss += part.item() / total_weight
    return loss


@torch.no_grad()
def mean_loss(
    model: nn.Module, micro_batches: Sequence[MicroBatch], settings: TrainSettings
) -> float:
    """Mean loss over the weighted targets of all processes' micro-batches, without gradients.

    Raises:
        TrainingError: if it is not finite.
    """
    total = summed(sum(loss_sum(model, m, settings).item() for m in micro_batches))
    if not math.isfinite(total):
        raise TrainingError(
            f"train: validation loss = {total}, a finite number is needed; lower train.lr"
        )
    return total / _total_weight(micro_batches)


def gradient_norm(parameters: Sequence[nn.Parameter]) -> float:
    """Euclidean norm of all gradients together."""
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    return whole({"norm": norm})["norm"].item()


def clip_gradients(parameters: Sequence[nn.Parameter], *, norm: float, max_norm: float) -> None:
    """Shrink all gradients, whose joint norm is ``norm``, to ``max_norm`` if they are larger."""
    if norm > max_norm:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, torch.tensor(norm))


def refuse_non_finite(
    model: nn.Module,
    micro_batches: Sequence[MicroBatch],
    settings: TrainSettings,
    *,
    step: int,
    loss: float,
    norm: float,
) -> None:
    """Stop before the optimiser moves if the loss or the gradient is not finite.

    Raises:
        TrainingError: with the step, the value and the items of the rows that cause it, each row
            having been tried by itself.
    """
    if math.isfinite(loss) and math.isfinite(norm):
        return
    name, value = ("gradient norm", norm) if math.isfinite(loss) else ("loss", loss)
    items = _faulty_items(model, micro_batches, settings)
    rest = f" and {len(items) - _NAMED_ITEMS} more" if len(items) > _NAMED_ITEMS else ""
    named = f"look at the items {', '.join(items[:_NAMED_ITEMS])}{rest}, or " if items else ""
    raise TrainingError(
        f"train: step {step}: {name} = {value}, a finite number is needed; {named}lower train.lr"
    )


def _faulty_items(
    model: nn.Module, micro_batches: Sequence[MicroBatch], settings: TrainSettings
) -> list[str]:
    """Items of the rows whose loss or gradient, by itself, is not finite, sorted.

    Sharded processes each try a row at a time together, and name all of these.
    """
    items: set[str] = set()
    parameters = list(model.parameters())
    for micro_batch in micro_batches:
        for index in range(len(micro_batch.items)):
            model.zero_grad()
            row = [micro_batch.row(index)]
            loss = _add_gradients(model, row, settings, total_weight=max(1.0, _weight(row)))
            if not math.isfinite(loss + gradient_norm(parameters)):
                items |= set(micro_batch.items[index])
    return sorted(set(gathered(list(items))))


@contextmanager
def fitting_in_memory(settings: TrainSettings, device: torch.device) -> Iterator[None]:
    """Say in one line that a batch is too large.

    Raises:
        BatchTooLargeError: in place of the allocator's errors.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _is_cpu_oom(error):
            raise
        raise BatchTooLargeError(
            f"train: batch_size = {settings.batch_size} rows of {settings.num_variates} variates, "
            f"fewer are needed to fit the memory of {device}; lower train.batch_size and raise "
            "train.accumulation"
        ) from None


def _is_cpu_oom(error: Exception) -> bool:
    return "DefaultCPUAllocator" in str(error)  # torch has no class for it


def _total_weight(micro_batches: Sequence[MicroBatch]) -> float:
    # At least 1: a step in which nothing is observed has loss 0, not 0 / 0.
    return max(1.0, summed(_weight(micro_batches)))


def _weight(micro_batches: Sequence[MicroBatch]) -> float:
    return sum(m.weight.sum(dtype=torch.float64).item() for m in micro_batches)
