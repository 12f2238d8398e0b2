"""Speed of the network: training steps (forward and backward) and forecasts, in medians.

python benchmarks/model_speed.py --sizes nano 1m 4m
python benchmarks/model_speed.py --sizes 4m 22m --device cuda --batch 64 --num-variates 32
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from toto_core.inference import Forecaster
from toto_core.model import SIZES, Toto2, for_context

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def main() -> None:
    """Print one row for each size and dtype."""
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    print(f"torch {torch.__version__}, {arguments.device}, {torch.get_num_threads()} threads")
    print("| size | dtype | training step, ms | points/s | forecast of 64 x 1, ms | of 1, ms |")
    print("|---|---|---|---|---|---|")
    for size in arguments.sizes:
        for dtype in arguments.dtypes:
            print(row(size, dtype, arguments), flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["nano", "1m"], choices=list(SIZES))
    parser.add_argument("--dtypes", nargs="+", default=list(DTYPES), choices=list(DTYPES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch decides")
    parser.add_argument("--batch", type=int, default=16, help="rows")
    parser.add_argument("--num-variates", type=int, default=4)
    parser.add_argument("--context", type=int, default=512, help="steps")
    parser.add_argument("--horizon", type=int, default=24, help="steps of each forecast")
    parser.add_argument("--repeats", type=int, default=15)
    return parser.parse_args()


def row(size: str, dtype: str, arguments: argparse.Namespace) -> str:
    """Time one size in one dtype."""
    config = for_context(SIZES[size], arguments.context)
    model = Toto2(config).to(arguments.device).to_compute(DTYPES[dtype])
    shape = (arguments.batch, arguments.num_variates, arguments.context)
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(shape, generator=generator).cumsum(-1).to(arguments.device)
    mask = torch.ones(shape, dtype=torch.bool, device=arguments.device)
    ids = torch.zeros(shape[:2], dtype=torch.int64, device=arguments.device)

    def step() -> None:
        model.zero_grad()
        model(target, mask, mask, ids).quantiles.square().mean().backward()

    step_s = median(step, arguments)
    forecaster = Forecaster(model)
    series = list(np.random.default_rng(0).normal(size=(64, arguments.context)).cumsum(-1))
    many_s = median(lambda: forecaster.predict(series, arguments.horizon), arguments)
    one_s = median(lambda: forecaster.predict(series[:1], arguments.horizon), arguments)
    return (
        f"| {size} | {dtype} | {1e3 * step_s:.1f} | {target.numel() / step_s:,.0f} "
        f"| {1e3 * many_s:.1f} | {1e3 * one_s:.2f} |"
    )


def median(call: Callable[[], object], arguments: argparse.Namespace) -> float:
    """Seconds, after three calls to warm up."""
    times = []
    for repeat in range(arguments.repeats + 3):
        start = time.perf_counter()
        call()
        if arguments.device.startswith("cuda"):
            torch.cuda.synchronize()
        if repeat >= 3:
            times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    main()
