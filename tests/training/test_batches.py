"""Batches drawn ahead are those that are drawn when they are needed."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import torch
from tiny_model import PATCH_SIZE, TinyWindows, make_settings

from toto_core.training.batches import drawn

HERE = Path(__file__).parent
CPU = torch.device("cpu")


def feed(*, workers=0, first_step=0, accumulation=2, max_steps=6, windows=None):
    return drawn(
        windows or TinyWindows(),
        make_settings(data_workers=workers, accumulation=accumulation, max_steps=max_steps),
        patch_size=PATCH_SIZE,
        seed=0,
        first_step=first_step,
        device=CPU,
    )


def tensors(steps):
    return [
        value.tolist()
        for micro_batches in steps
        for part in micro_batches
        for value in (part.target, part.target_mask, part.cpm_mask, part.series_ids, part.weight)
    ]


def test_number_of_workers_does_not_change_the_batches():
    expected = list(feed())
    assert [len(parts) for parts in expected] == [2] * 6
    for workers in (1, 3):
        found = list(feed(workers=workers))
        assert tensors(found) == tensors(expected)
        assert [[p.items for p in s] for s in found] == [[p.items for p in s] for s in expected]


@pytest.mark.parametrize("workers", [0, 3])
def test_batches_begin_with_any_step(workers):
    assert tensors(feed(workers=workers, first_step=4)) == tensors(list(feed())[4:])


def test_workers_begin_with_the_first_batch_and_end_with_the_iterator():
    before = set(psutil.Process().children())
    with closing(feed(workers=2, max_steps=1000)) as parts:
        assert set(psutil.Process().children()) == before
        next(parts)
        workers = set(psutil.Process().children()) - before
        assert len(workers) == 2
        for worker in workers:
            worker.send_signal(signal.SIGINT)  # as Ctrl-C on a terminal does
        for _ in range(10):
            next(parts)
    gone, alive = psutil.wait_procs(workers, timeout=60)
    assert len(gone) == 2
    assert alive == []


class BrokenWindows(TinyWindows):
    def batch(self, step):
        if step == 3:
            raise ValueError("no such window")
        return super().batch(step)


def test_error_in_a_worker_is_the_error_of_the_run():
    with pytest.raises(ValueError, match="no such window"):
        list(feed(workers=2, windows=BrokenWindows()))


@pytest.mark.slow
def test_workers_end_with_a_killed_run():
    code = "import test_batches; p = test_batches.feed(workers=2, max_steps=10**6); "
    code += "next(p); print('drawn', flush=True); list(p)"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parents[1]}"},
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"drawn\n"
        workers = psutil.Process(process.pid).children()
        assert len(workers) == 2
        process.kill()
    end = time.monotonic() + 60
    while any(worker.is_running() for worker in workers):
        assert time.monotonic() < end
