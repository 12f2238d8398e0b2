"""The micro-batches of a run in their order, drawn ahead in processes of their own if asked for.

A micro-batch is a function of the seed and its number, so the number of these processes changes
nothing but the time, and a run may begin with any step.
"""

import itertools
import multiprocessing
import signal
import warnings
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch.utils.data import DataLoader, Dataset

from toto_core.training.distributed import micro_batch_indices
from toto_core.training.settings import TrainSettings
from toto_core.training.step import Batch, MicroBatch, training_micro_batch


@runtime_checkable
class Windows(Protocol):
    """An endless source of training batches: the same number gives the same batch."""

    def batch(self, step: int) -> Batch:
        """Draw batch ``step``, from 0 on."""
        ...


@dataclass(frozen=True)
class _Drawn(Dataset[MicroBatch]):
    windows: Windows
    settings: TrainSettings
    patch_size: int
    seed: int
    device: torch.device

    def __getitem__(self, index: int) -> MicroBatch:
        return training_micro_batch(
            self.windows.batch(index),
            self.settings,
            patch_size=self.patch_size,
            seed=(self.seed, index),
            device=self.device,
        )


def drawn(
    windows: Windows,
    settings: TrainSettings,
    *,
    patch_size: int,
    seed: int,
    first_step: int,
    device: torch.device,
) -> Generator[list[MicroBatch]]:
    """Yield this process' masked micro-batches of each step, from ``first_step`` to the last.

    ``settings.data_workers`` processes draw ahead, two micro-batches each. They begin with the
    first step that is asked for and end with the iterator or this process.
    """
    ahead = settings.data_workers > 0
    source = _Drawn(windows, settings, patch_size, seed, torch.device("cpu") if ahead else device)
    steps = range(first_step, settings.max_steps)
    indices = (index for step in steps for index in micro_batch_indices(step, settings))
    parts = _ahead(source, indices, device) if ahead else map(source.__getitem__, indices)
    for step in steps:
        own = len(micro_batch_indices(step, settings))
        yield [part.to(device) for part in itertools.islice(parts, own)]


def _ahead(source: _Drawn, indices: Iterator[int], device: torch.device) -> Iterator[MicroBatch]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")  # as the user asked
        # Python 3.12 warns of forks beside threads; those of torch and numpy hold no lock that a
        # worker, which copies and masks arrays, would wait for.
        warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
        loader = DataLoader(
            source,
            batch_size=None,
            sampler=indices,  # pyright: ignore[reportArgumentType]  (any iterable will do)
            num_workers=source.settings.data_workers,
            worker_init_fn=_leave_ctrl_c_to_the_run,
            pin_memory=device.type == "cuda",
            # Forked workers share the mapped corpus; others would each be sent a copy of it.
            multiprocessing_context="fork" if _can_fork() else None,
        )
        iterator = iter(loader)
    yield from iterator


def _can_fork() -> bool:
    return "fork" in multiprocessing.get_all_start_methods()


def _leave_ctrl_c_to_the_run(_worker: int) -> None:
    """Go on after Ctrl-C, which reaches all processes of a terminal: the run finishes its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
