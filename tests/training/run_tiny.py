"""
Train the tiny network in a process of its own, to be killed in various ways.

Arguments: folder of the store, file for the final weights, and how to end: ``never``, or
``term:N`` (SIGTERM itself after step N).
"""

import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from tiny_model import TinyModel, TinyWindows, make_batch, make_settings

from toto_core.errors import TotoError
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import final_weights, train

MAX_STEPS = 40


def main(folder, result, ending):
    _, _, when = ending.partition(":")

    def log(record):
        if "message" in record:
            sys.stdout.write(f"{record['message']}\n")
            sys.stdout.flush()
        elif str(record["step"]) == when:
            os.kill(os.getpid(), signal.SIGTERM)

    torch.set_num_threads(1)
    store = CheckpointStore(Path(folder), interval_s=0.0)
    state = train(
        TinyModel(),
        TinyWindows(),
        [make_batch(10**6, horizon=8)],
        make_settings(max_steps=MAX_STEPS, accumulation=2),
        seed=0,
        store=store,
        device=torch.device("cpu"),
        log=log,
    )
    save_file(final_weights(state, store) | {"last": state.model.weight}, result)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except TotoError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
