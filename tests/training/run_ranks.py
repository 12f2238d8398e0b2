"""
Train a small Toto as one of several processes, under torchrun; the first process writes what came.

Argument: a file with a JSON list of jobs. Each has a ``folder`` for its store and its results, and
``changes`` of the settings; perhaps also ``from``: a folder whose store it goes on from, ``term``,
``kill`` or ``freeze``: [rank, step] to get such a signal there, and ``broken``: the micro-batch
from which on one item is infinite.
"""

import json
import os
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_model import make_batch, make_settings

from toto_core.errors import TotoError
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.distributed import joined, rank, told, whole
from toto_core.training.finetune import choose_learners
from toto_core.training.loop import train

CONTEXT = 96
ROWS = 4
SIGNALS = {"term": signal.SIGTERM, "kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class Windows:
    def __init__(self, broken=None):
        self.broken = broken

    def batch(self, step):
        batch = make_batch(step, rows=ROWS, num_patches=CONTEXT // 4)
        if self.broken is not None and step >= self.broken:
            batch.target[1, 0, :] = float("inf")
            batch.target_mask[1, 0, :] = True
        return batch


def run(job):
    """Train as the job says; returns the records of the steps and the final state."""
    records = []

    def log(record):
        records.append(dict(record))
        for key, number in SIGNALS.items():
            if [rank(), record.get("step")] == job.get(key):
                os.kill(os.getpid(), number)

    folder = Path(job["folder"])
    if rank() == 0 and "from" in job:
        shutil.copytree(Path(job["from"]) / "store", folder / "store")
    told(None)
    settings = make_settings(**job["changes"])
    model = Toto2(for_context(SIZES["nano"], CONTEXT))
    if settings.init is not None:
        choose_learners(model, settings.finetune, seed=0)
    state = train(
        model,
        Windows(job.get("broken")),
        # Not a multiple of the processes.
        [make_batch(10**6 + n, rows=2, num_patches=CONTEXT // 4, horizon=32) for n in range(3)],
        settings,
        seed=0,
        store=CheckpointStore(folder / "store", interval_s=job.get("interval_s", 0.0)),
        device=torch.device("cpu"),
        log=log,
    )
    return records, state


def write(job, records, state):
    snapshot = state.snapshot()
    tensors = {name: value.contiguous() for name, value in whole(snapshot.tensors).items()}
    if rank() == 0:
        folder = Path(job["folder"])
        save_file(tensors, folder / "tensors.safetensors")
        values = {"records": records, "values": snapshot.values}
        (folder / "records.json").write_text(json.dumps(values))


def main(path, timeout_s="60"):
    torch.set_num_threads(1)
    with joined(torch.device("cpu"), timeout=timedelta(seconds=float(timeout_s))):
        for job in json.loads(Path(path).read_text()):
            try:
                write(job, *run(job))
            except TotoError as error:
                name = f"error-{rank()}.txt"
                (Path(job["folder"]) / name).write_text(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
