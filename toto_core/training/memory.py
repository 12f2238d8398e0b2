"""Memory of a training step: what it will take, what there is, and what it took."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn

from toto_core.errors import BatchTooLargeError
from toto_core.model import Toto2
from toto_core.optim.groups import parameter_rates
from toto_core.optim.normuon import STACK_ELEMENTS
from toto_core.training.distributed import sharded_blocks, world_size
from toto_core.training.machine import available_bytes, peak_bytes, used_bytes
from toto_core.training.rehearsal import Activations, rehearse
from toto_core.training.settings import TrainSettings
from toto_core.training.step import fitting_in_memory

_GB = 1e9
_BYTES_A_POINT = 4 + 1 + 1 + 4  # of a micro-batch: target, its mask, the hidden part, weight
# Of each element of a stack of matrices in NorMuon: four copies in bfloat16 while it is made
# orthogonal, then three in float32.
_BYTES_OF_A_MOVE = 4 * 2 + 3 * 4
# What a process on a CPU holds beyond its tensors (docs/performance.md has the measurements):
# libraries and kernels that the first step loads, and what the allocator keeps between tensors.
_CPU_LIBRARIES = {torch.float32: 0.06e9, torch.bfloat16: 0.1e9}
_CPU_ALLOCATOR = 1.3

Log = Callable[[Mapping[str, float | str]], None]


@dataclass(frozen=True)
class StepMemory:
    """Bytes that one process needs at the peak of a training step.

    Attributes:
        parameters: the weights, float32.
        average: their moving average.
        optimiser: the optimisers' state.
        gradients: of the weights.
        gathered: weights that fsdp2 has put together for the moment, or DDP's buckets.
        activations: of one micro-batch.
        data: of all micro-batches of a step.
        moving: what the optimisers work with while they move the weights.
        accumulates: whether gradients of an earlier micro-batch are there already; else they
            grow on the way back while the activations go.
        overhead: of the process and its allocator.
    """

    parameters: int
    average: int
    optimiser: int
    gradients: int
    gathered: int
    activations: int
    data: int
    moving: int
    accumulates: bool
    overhead: int = 0

    @property
    def total(self) -> int:
        """All of it together, at the peak."""
        backward = self.activations + (self.gradients if self.accumulates else 0)
        passing = max(backward, self.gradients + self.moving)
        lasting = self.parameters + self.average + self.optimiser + self.gathered + self.data
        return lasting + passing + self.overhead

    def __str__(self) -> str:
        """The total and its main parts."""
        states = self.parameters + self.average + self.optimiser + self.gradients
        return (
            f"{self.total / _GB:.2f} GB (weights, gradients, optimiser and average "
            f"{states / _GB:.2f}, activations {self.activations / _GB:.2f})"
        )


def estimate(
    model: Toto2,
    settings: TrainSettings,
    activations: Activations,
    *,
    num_steps: int,
    processes: int,
    on_cpu: bool,
) -> StepMemory:
    """Estimate the peak of one of ``processes`` that train ``model`` together.

    Args:
        model: on any device, the meta device included; not sharded yet.
        activations: see ``rehearse``.
        num_steps: T, time steps of a row.
    """
    shards = processes if settings.parallel == "fsdp2" else 1
    weights = sum(p.nbytes for p in model.parameters())
    gradients = sum(p.nbytes for p in model.parameters() if p.requires_grad) // shards
    own_micro_batches = max(1, settings.accumulation // processes)
    points = settings.batch_size * settings.num_variates * num_steps * own_micro_batches
    needed = activations.of(settings.batch_size)
    memory = StepMemory(
        parameters=weights // shards,
        average=weights // shards,
        optimiser=_optimiser_bytes(model, settings) // shards,
        gradients=gradients,
        gathered=_gathered_bytes(model, settings, processes=processes),
        activations=needed,
        data=points * _BYTES_A_POINT,
        moving=_moving_bytes(model, settings),
        accumulates=own_micro_batches > 1,
    )
    if not on_cpu:
        return memory
    overhead = round(_CPU_LIBRARIES[model.compute_dtype] + (_CPU_ALLOCATOR - 1) * memory.total)
    return replace(memory, overhead=overhead)


@contextmanager
def watched(
    model: Toto2, settings: TrainSettings, *, num_steps: int, device: torch.device, log: Log
) -> Iterator[None]:
    """Tell the peak of a step before the training inside and after it.

    An estimate above what is available is said and not refused: it is no better than a factor of
    1.4, and a run that does not fit ends in a line of its own.

    Raises:
        BatchTooLargeError: with the number of rows that fit, by the estimate.
    """
    at_start, on_cpu = used_bytes(device), device.type == "cpu"
    with fitting_in_memory(settings, device):
        activations = rehearse(model, settings, num_steps=num_steps)

    def memory_of(settings: TrainSettings) -> StepMemory:
        given = {"num_steps": num_steps, "processes": world_size(), "on_cpu": on_cpu}
        return estimate(model, settings, activations, **given)

    def total_of(rows: int) -> int:
        many = 2 * world_size()  # smaller micro-batches are to be accumulated
        return memory_of(replace(settings, batch_size=rows, accumulation=many)).total

    expected = memory_of(settings)
    # The weights are there already.
    available = available_bytes(device) + expected.parameters
    log({"message": f"train: memory of a step, estimated: {expected}"})
    if expected.total > available:
        log({"message": f"train: {_shortage(expected, available, settings, device)}"})
    try:
        yield
    except BatchTooLargeError as error:
        rows = _fitting_rows(total_of, settings, available=available)
        more = "" if settings.activation_checkpointing else ", more with activation_checkpointing"
        raise BatchTooLargeError(f"{error}; by the estimate {rows} rows fit{more}") from None
    took = peak_bytes(device) - at_start + expected.parameters
    log({"message": f"train: memory of a step, measured: {took / _GB:.2f} GB"})


def _optimiser_bytes(model: nn.Module, settings: TrainSettings) -> int:
    """AdamW has two moments of each weight; NorMuon a momentum and a moment of each row."""
    total = 0
    for rate in parameter_rates(model, settings.optimizer):
        elements = math.prod(rate.shape)
        total += 2 * elements if rate.optimiser == "adamw" else elements + rate.shape[0]
    return 4 * total


def _moving_bytes(model: nn.Module, settings: TrainSettings) -> int:
    """NorMuon's working copies of the matrices of one shape that it moves together."""
    elements: Counter[tuple[int, ...]] = Counter()
    for rate in parameter_rates(model, settings.optimizer):
        if rate.optimiser == "normuon":
            elements[rate.shape] += math.prod(rate.shape)
    stacks = (min(total, max(STACK_ELEMENTS, math.prod(s))) for s, total in elements.items())
    return _BYTES_OF_A_MOVE * max(stacks, default=0)


def _gathered_bytes(model: nn.Module, settings: TrainSettings, *, processes: int) -> int:
    """DDP has a copy of the gradients in its buckets; FSDP2 a block at work and the next one."""
    if processes == 1:
        return 0
    if settings.parallel == "ddp":
        return sum(p.nbytes for p in model.parameters() if p.requires_grad)
    blocks = [sum(p.nbytes for p in block.parameters()) for block in sharded_blocks(model)]
    rest = sum(p.nbytes for p in model.parameters()) - sum(blocks)
    return rest + 2 * max(blocks, default=0)


def _fitting_rows(
    total_of: Callable[[int], int], settings: TrainSettings, *, available: int
) -> int:
    """Most rows of a micro-batch, fewer than now, by the total of a few and of some more."""
    few, more = total_of(1), total_of(2)
    return max(0, min(1 + (available - few) // (more - few), settings.batch_size - 1))


def _shortage(
    expected: StepMemory, available: int, settings: TrainSettings, device: torch.device
) -> str:
    remedies = ["lower train.batch_size and raise train.accumulation"]
    if not settings.activation_checkpointing:
        remedies.append("set train.activation_checkpointing: true")
    return (
        f"memory = {expected.total / _GB:.2f} GB estimated, {available / _GB:.2f} GB are "
        f"available on {device}; if it fails, {' or '.join(remedies)}"
    )
