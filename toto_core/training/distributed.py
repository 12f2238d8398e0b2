"""One run on several processes: who does what, and how they agree.

Started by torchrun, one process per GPU or share of the CPU's cores. Every function here also
works without a process group, as the only process, and then does nothing.

The small agreements (sums, flags, paths) are CPU tensors and go through gloo; gradients and
weights go through the backend of their device.
"""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from toto_core.errors import ConfigError
from toto_core.training.settings import TrainSettings

# Of any wait for the others; the longest one is for process 0 to check a checkpoint's hashes.
PATIENCE = timedelta(minutes=10)

Value = TypeVar("Value")


@contextmanager
def joined(device: torch.device, *, timeout: timedelta = PATIENCE) -> Iterator[None]:
    """Be one of the processes that torchrun started: its environment says which one.

    Args:
        device: of the run; cuda: each process takes the GPU of its local rank.
        timeout: of every wait for the others; then the run fails instead of hanging.

    Raises:
        ConfigError: if there are fewer GPUs than processes.
    """
    if device.type == "cuda":
        local, found = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if local >= found:
            raise ConfigError(
                f"torchrun: processes of this machine = {os.environ['LOCAL_WORLD_SIZE']}, at most "
                f"{found} (its GPUs) are allowed; lower train.processes, or set train.device to cpu"
            )
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, timeout=timeout)
    try:
        yield
    finally:
        dist.destroy_process_group()


def is_lost_peer(error: Exception) -> bool:
    """Whether ``error`` says that another process has gone or does not answer."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)  # gloo has no class for it


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _is_joined() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _is_joined() else 1


def _is_joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def summed(value: float | int) -> float | int:
    """Sum of every process' ``value``."""
    return _reduced([value], dist.ReduceOp.SUM)[0] if _is_joined() else value


def largest(*values: int) -> tuple[int, ...]:
    """Return the largest that any process has, for each of ``values``."""
    return tuple(map(int, _reduced(values, dist.ReduceOp.MAX))) if _is_joined() else values


def _reduced(values: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, operation)
    return tensor.tolist()


def told(value: Value) -> Value:
    """Give the ``value`` that process 0 has."""
    if not _is_joined():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def gathered(values: Sequence[Value]) -> list[Value]:
    """Every process' ``values``, one after the other."""
    if not _is_joined():
        return list(values)
    parts: list[Sequence[Value]] = [()] * world_size()
    dist.all_gather_object(parts, values)
    return [value for part in parts for value in part]


def micro_batch_indices(step: int, settings: TrainSettings) -> range:
    """Return the numbers of this process' micro-batches of ``step``.

    All processes together draw those that a single one would draw.

    Raises:
        ConfigError: if ``accumulation`` cannot be shared out evenly.
    """
    if settings.accumulation % world_size():
        raise ConfigError(
            f"train: accumulation = {settings.accumulation}, a multiple of the {world_size()} "
            "processes is allowed; change train.accumulation or train.processes"
        )
    first = step * settings.accumulation
    return range(first + rank(), first + settings.accumulation, world_size())


def shard(network: nn.Module, settings: TrainSettings) -> nn.Module:
    """Leave each process its share of every parameter, in place, where ``parallel`` is fsdp2.

    The blocks of the network's lists of modules are gathered one at a time, the rest together.
    """
    if world_size() > 1 and settings.parallel == "fsdp2":
        # The quantiles are a view of the head's output; nobody changes them in place.
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
        device = next(network.parameters()).device
        mesh = init_device_mesh(device.type, (world_size(),))
        for block in [*sharded_blocks(network), network]:
            fully_shard(block, mesh=mesh, reshard_after_forward=True)
    return network


def sharded_blocks(network: nn.Module) -> list[nn.Module]:
    """Return the modules that FSDP2 gathers one at a time: the members of every module list."""
    # Not of its subclasses: the list of a weight's parametrizations lies within a block.
    lists = [part for part in network.modules() if type(part) is nn.ModuleList]
    return [block for blocks in lists for block in blocks]


def replicated(network: nn.Module, settings: TrainSettings) -> nn.Module:
    """Wrap ``network`` so that its gradients are averaged over all processes (parallel: ddp).

    Other networks come back as they are: fsdp2 averages by itself.
    """
    if world_size() == 1 or settings.parallel != "ddp":
        return network
    # Also finds a lone variate's query gain, which has no gradient. Mainly, it keeps the buckets
    # as they are first laid out. DDP would otherwise lay them out anew after its first step, and
    # from three processes on the order of a sum, hence its last bit, depends on the layout: a
    # resumed run, whose first step comes later, would differ.
    return DistributedDataParallel(network, forward_sync_buffers=False, find_unused_parameters=True)


@contextmanager
def averaging(network: nn.Module, *, now: bool) -> Iterator[None]:
    """Average the gradients of the backward pass inside only if ``now``; else just add them up."""
    network = getattr(network, "_orig_mod", network)  # what torch.compile wraps
    if isinstance(network, FSDPModule):
        network.set_requires_gradient_sync(now)
        yield
    elif isinstance(network, DistributedDataParallel) and not now:
        with network.no_sync():
            yield
    else:
        yield


def whole(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put sharded tensors together, on the CPU; others stay as they are. All must call it."""
    return {
        name: tensor.full_tensor().cpu() if isinstance(tensor, DTensor) else tensor
        for name, tensor in tensors.items()
    }
