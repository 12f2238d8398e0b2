"""One of the processes that train together, under torchrun: ``python -m flows.worker train``.

It leaves the finished state in the run's scratch; the stage takes it from there and writes the
outputs. The stages start their workers by themselves on one machine; on several machines, run
torchrun on each of them first (docs/distributed.md).
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from flows import crossval, paths, train
from flows.fitting import Job, base_of, hash_data, prepare, store_of
from flows.launch import follow_lifeline, is_relayed, relay
from flows.progress import shown
from flows.terminal import log_to_terminal, one_line, warn
from toto_core.config import load_params
from toto_core.errors import ConfigError, TotoError
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.device import choose_device
from toto_core.training.distributed import is_lost_peer, joined, rank, told, world_size
from toto_core.training.supervision import supervised

_LONGEST_MESSAGE = 2000  # characters; a write to a pipe is whole up to 4096 bytes

Log = Callable[[Mapping[str, float | str]], None]


def work(job: Job) -> None:
    """Take part in training ``job`` until it is over.

    Raises:
        ConfigError: if torchrun started another number of processes than ``train.processes``.
        TotoError: as ``flows.fitting.fit``.
    """
    wanted = job.params.train.processes
    if world_size() != wanted:
        raise ConfigError(
            f"torchrun: processes = {world_size()}, train.processes = {wanted} is needed; start as "
            "many, or change params.yaml"
        )
    base = base_of(job)
    # Process 0 names the data by its hash and checks it; one is enough.
    own = store_of(job, base, hash_data(job.root)).directory if rank() == 0 else Path()
    store = CheckpointStore(told(own), interval_s=job.params.train.checkpoint_interval_s)
    prepared = prepare(job, base)
    with _log(job, prepared.settings.validate_every) as log:
        supervised(
            prepared.model,
            prepared.windows,
            prepared.validation,
            prepared.settings,
            seed=job.params.seed,
            store=store,
            device=prepared.device,
            log=log,
        )


def _log(job: Job, every: int) -> AbstractContextManager[Log]:
    if rank():
        return nullcontext(lambda record: None)
    if is_relayed():
        return nullcontext(lambda record: relay("record", record=dict(record)))
    return shown(job.name, max_steps=job.max_steps, every=every, track=lambda values, step: None)


def main() -> None:
    """Train with the other processes; ends at once, with the exit code of what went wrong."""
    parser = argparse.ArgumentParser(prog="python -m flows.worker")
    parser.add_argument("stage", choices=("train", "crossval"))
    parser.add_argument("--fold", type=int, default=0, help="number of the fold, from 0")
    arguments = parser.parse_args()
    log_to_terminal()
    number = int(os.environ.get("RANK", "0"))
    if is_relayed():
        follow_lifeline()
    try:
        params, root = load_params(paths.PARAMS), Path()
        job = train.job(params, root)
        if arguments.stage == "crossval":
            job = crossval.job(params, root, fold=arguments.fold)
        with joined(choose_device(params.train.device)):
            work(job)
    except TotoError as error:
        _end(number, type(error).__name__, str(error), error.exit_code)
    except Exception as error:
        if not is_lost_peer(error):
            traceback.print_exc()
        _end(number, type(error).__name__, one_line(error), 1)


def _end(number: int, kind: str, message: str, code: int) -> None:
    if is_relayed():
        relay(kind, rank=number, message=message[:_LONGEST_MESSAGE])
    else:
        warn(message if number == 0 else f"process {number}: {message}")
    sys.stderr.flush()
    os._exit(code)  # a lost peer would be waited for at an ordinary end


if __name__ == "__main__":
    main()
