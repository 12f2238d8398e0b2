"""Speed of forecasts: milliseconds of one call, against the reference package where it imports.

All variants of a row are called in turn within one process, and the medians are compared.

python benchmarks/inference.py --threads 2
python benchmarks/inference.py --size 22m --device cuda --batches 1 64 --horizons 96

The reference, toto-2 2.0.0, asks for Python 3.12; on 3.11 ``pip install --no-deps
--ignore-requires-python toto-2==2.0.0 dd-unit-scaling==0.1.0`` and the packages that it imports.
"""

import argparse
import copy
import platform
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from toto_core.model import SIZES, Toto2, for_context

Call = Callable[[], object]
BLOCKS = "again, no keys kept"


def main() -> None:
    """Print what was measured on what, then one row for each case."""
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = Toto2(for_context(SIZES[arguments.size], arguments.context)).to(arguments.device)
    reference = None if arguments.no_reference else reference_of(model)
    print(about(arguments))
    cases = [(horizon, None) for horizon in arguments.horizons]
    cases += [(max(arguments.horizons), block) for block in arguments.blocks]
    for number, (horizon, block) in enumerate(cases):
        for batch in arguments.batches:
            calls = variants(model, reference, batch, horizon, block, arguments)
            if number == 0 and batch == arguments.batches[0]:
                print(f"| batch | horizon | block | {' | '.join(calls)} |")
                print("|---" * (len(calls) + 3) + "|")
            times = medians(calls, arguments)
            print(f"| {batch} | {horizon} | {block or '-'} | {cells(times)} |", flush=True)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="4m", choices=list(SIZES))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch decides")
    parser.add_argument("--context", type=int, default=1024, help="steps")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 512])
    parser.add_argument("--horizons", type=int, nargs="+", default=[96, 720], help="steps")
    parser.add_argument("--blocks", type=int, nargs="*", default=[96], help="of the last horizon")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--no-reference", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-float32", action="store_true")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of one thread, which a busy machine disturbs less"
    )
    return parser.parse_args()


def about(arguments: argparse.Namespace) -> str:
    """The conditions: versions, commit, machine and its matrix rates."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    rates = ", ".join(
        f"{str(dtype).removeprefix('torch.')} {matrix_rate(dtype, arguments.device):,.0f}"
        for dtype in (torch.float32, torch.bfloat16)
    )
    return (
        f"{arguments.size}, context {arguments.context}; commit {commit}, torch "
        f"{torch.__version__}, {arguments.device}, {torch.get_num_threads()} threads, "
        f"{platform.machine()}; matrix products reach {rates} GFLOP/s; milliseconds "
        f"{'of processor time ' if arguments.cpu_time else ''}of a call, medians\n"
    )


def matrix_rate(dtype: torch.dtype, device: str) -> float:
    """GFLOP/s of products of the shape that most of the time goes to."""
    left, right = torch.randn(2048, 256, dtype=dtype), torch.randn(768, 256, dtype=dtype)
    left, right = left.to(device), right.to(device)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        left @ right.t()
        synchronise(device)
        times.append(time.perf_counter() - start)
    return 2 * left.numel() * len(right) / min(times) / 1e9


def reference_of(model: Toto2) -> Any | None:  # noqa: ANN401
    """The same weights in the reference package, or None where it is not installed."""
    warnings.filterwarnings("ignore")
    try:
        import toto2  # noqa: PLC0415  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        print(f"reference left out: {error}")
        return None
    with tempfile.TemporaryDirectory() as directory:
        model.save_pretrained(directory)
        return toto2.Toto2Model.from_pretrained(directory).to(model.device).eval()


def variants(
    model: Toto2,
    reference: Any,  # noqa: ANN401
    batch: int,
    horizon: int,
    block: int | None,
    arguments: argparse.Namespace,
) -> Mapping[str, Call]:
    """What is compared: a name and a call for each."""
    target = torch.randn(batch, 1, arguments.context, generator=torch.Generator().manual_seed(0))
    target = target.cumsum(-1).to(arguments.device)
    mask = torch.ones_like(target, dtype=torch.bool)
    ids = torch.zeros(batch, 1, dtype=torch.int64, device=arguments.device)

    def by_reference() -> object:
        inputs = {"target": target, "target_mask": mask, "series_ids": ids}
        with torch.inference_mode():
            return reference.forecast(
                inputs, horizon=horizon, decode_block_size=block or 0, has_missing_values=False
            )

    def ours(dtype: torch.dtype, *, compiled: bool = False) -> Call:
        # One for each: a model keeps its prepared weights for one dtype at a time.
        mine = copy.deepcopy(model).to_compute(dtype, compiled=compiled)
        return lambda: mine.forecast(target, mask, ids, horizon, decode_block_size=block)

    anew = copy.deepcopy(model).to_compute(torch.bfloat16)

    def again() -> object:
        return without_keys(anew, target, horizon, block or horizon)

    half = torch.bfloat16
    calls: dict[str, Call] = {} if reference is None else {"reference": by_reference}
    if not arguments.no_float32:
        calls["float32"] = ours(torch.float32)
        if not arguments.no_compile:
            calls["float32 compiled"] = ours(torch.float32, compiled=True)
    calls["bfloat16"] = ours(half)
    if not arguments.no_compile:
        calls["bfloat16 compiled"] = ours(half, compiled=True)
    calls[BLOCKS] = again if block else lambda: None
    return calls


def without_keys(model: Toto2, target: Tensor, horizon: int, block: int) -> Tensor:
    """Decoding in blocks by forecasting anew from the context and all medians so far."""
    found = []
    for _ in range(0, horizon, block):
        seen = torch.ones_like(target, dtype=torch.bool)
        ids = torch.zeros(target.shape[:2], dtype=torch.int64, device=target.device)
        found.append(model.forecast(target, seen, ids, block))
        target = torch.cat([target, found[-1][4]], -1)
    return torch.cat(found, -1)[..., :horizon]


def medians(calls: Mapping[str, Call], arguments: argparse.Namespace) -> Mapping[str, float]:
    """Seconds of each call; the calls take turns, after two to warm up."""
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in calls}
    for repeat in range(arguments.repeats + 2):
        for name, call in calls.items():
            synchronise(arguments.device)
            start = clock()
            call()
            synchronise(arguments.device)
            if repeat >= 2:
                times[name].append(clock() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def cells(times: Mapping[str, float]) -> str:
    """Milliseconds, and how many times faster than the reference."""
    whole = times.get("reference")
    ratio = {name: f" ({whole / value:.1f}x)" if whole else "" for name, value in times.items()}
    return " | ".join(
        "-" if value < 1e-5 else f"{1e3 * value:.2f}{'' if name == 'reference' else ratio[name]}"
        for name, value in times.items()
    )


def synchronise(device: str) -> None:
    """Wait for the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
