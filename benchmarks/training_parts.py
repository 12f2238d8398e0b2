"""Where the time of a training step goes: medians of each part, with windows drawn from a corpus.

``products`` is what of a step on a CPU is spent within matrix products, by torch's profiler.

python benchmarks/training_parts.py --sizes nano 1m --dtypes bfloat16 float32
python benchmarks/training_parts.py --rates nano     (which optimiser moves what, and at which rate)
"""

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from loader import PATCH_SIZE, noise_windows, settings_of
from torch import nn
from torch.profiler import ProfilerActivity, profile

from toto_core.data.windows import TrainingWindows
from toto_core.model import SIZES, Toto2, for_context
from toto_core.optim.build import rates_table
from toto_core.training.compiled import compiled
from toto_core.training.device import choose_device
from toto_core.training.settings import TrainSettings
from toto_core.training.state import TrainState
from toto_core.training.step import clip_gradients, gradient_norm, loss_sum, training_micro_batch

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PARTS = ("windows", "masks", "forward", "backward", "clip", "optimiser", "average")
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm")
_WARM_UP = 3  # steps that are not counted
_PROFILED = 5  # steps


def main() -> None:
    """Print one row for each size and dtype."""
    arguments = parse()
    settings = settings_of(arguments.batch, arguments.num_variates, compile=arguments.compile)
    if arguments.rates:
        print(rates_table(Toto2(SIZES[arguments.rates]), settings))
        return
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {choose_device()}, {torch.get_num_threads()} threads, ms")
    print(f"| size | dtype | {' | '.join(PARTS)} | step | points/s | products |")
    print("|---" * (len(PARTS) + 5) + "|")
    with tempfile.TemporaryDirectory() as folder:
        windows = noise_windows(Path(folder) / "corpus", settings, arguments.context)
        for size in arguments.sizes:
            for dtype in arguments.dtypes:
                print(row(size, dtype, windows, settings, arguments), flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["nano", "1m"], choices=list(SIZES))
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--compile", default="none", choices=["none", "default", "max-autotune"])
    parser.add_argument("--threads", type=int, default=0, help="0: as torch decides")
    parser.add_argument("--batch", type=int, default=16, help="rows")
    parser.add_argument("--num-variates", type=int, default=4)
    parser.add_argument("--context", type=int, default=512, help="steps")
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--rates", choices=list(SIZES), help="print the rates of this size instead")
    return parser.parse_args()


def row(
    size: str,
    dtype: str,
    windows: TrainingWindows,
    settings: TrainSettings,
    arguments: argparse.Namespace,
) -> str:
    """Time the parts of a step of one size in one dtype."""
    device = choose_device()
    config = for_context(SIZES[size], arguments.context)
    model = Toto2(config).to(device).to_compute(DTYPES[dtype])
    model.set_global_tokens(math.prod(windows.batch(0).target.shape) // PATCH_SIZE)
    state = TrainState.start(model, settings)
    network = compiled(model, settings, device)
    seconds: dict[str, list[float]] = {part: [] for part in PARTS}
    for step in range(_WARM_UP + arguments.repeats):
        one_step(state, network, windows, step, lambda part, s: seconds[part].append(s))
    counted = [seconds[part][_WARM_UP:] for part in PARTS]
    medians = [statistics.median(values) for values in counted]
    total = statistics.median(map(sum, zip(*counted, strict=True)))
    points = settings.batch_size * settings.num_variates * arguments.context
    cells = " | ".join(f"{1e3 * s:.2f}" for s in [*medians, total])
    products_s = in_products(lambda step: one_step(state, network, windows, step, lambda *_: None))
    return f"| {size} | {dtype} | {cells} | {points / total:,.0f} | {1e3 * products_s:.1f} |"


def in_products(take: Callable[[int], None]) -> float:
    """Seconds of a step within matrix products on the CPU: no way to fuse the rest saves these."""
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for step in range(_PROFILED):
            take(step)
    spent_us = [
        event.self_cpu_time_total for event in profiled.key_averages() if event.key in PRODUCTS
    ]
    return sum(spent_us) / _PROFILED / 1e6


def one_step(
    state: TrainState,
    network: nn.Module,
    windows: TrainingWindows,
    step: int,
    note: Callable[[str, float], None],
) -> None:
    """Take a step as the loop does, noting the seconds of each part."""
    settings, parameters = state.settings, list(state.model.parameters())
    device = parameters[0].device

    def timed(part: str, action: Callable[[], Any]) -> Any:  # noqa: ANN401
        start_s = time.perf_counter()
        result = action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        note(part, time.perf_counter() - start_s)
        return result

    batch = timed("windows", lambda: windows.batch(step))
    micro_batch = timed(
        "masks",
        lambda: training_micro_batch(
            batch, settings, patch_size=PATCH_SIZE, seed=(0, step), device=device
        ),
    )
    loss = timed("forward", lambda: loss_sum(network, micro_batch, settings))
    timed("backward", loss.backward)
    timed(
        "clip",
        lambda: clip_gradients(
            parameters, norm=gradient_norm(parameters), max_norm=settings.max_grad_norm
        ),
    )
    timed("optimiser", lambda: [(o.step(), o.zero_grad()) for o in state.optimisers])
    timed("average", lambda: state.average.update(step))


if __name__ == "__main__":
    main()
