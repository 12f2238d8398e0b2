"""Training steps of this project and of the reference package, timed in turn in one run.

python benchmarks/training.py                                (CPU: 4m, three shapes)
python benchmarks/training.py --device cuda --sizes 4m 22m 313m 1b --shapes 64x32 --context 4096

Each variant runs in a process of its own, and they take their steps in turn, so that all share
what disturbs the machine. A step is forward, loss, backward, clipping and fused AdamW, on one batch
drawn from a corpus; all get the same batch, masks, weights, loss and threads. The reference (toto-2
and dd-unit-scaling) is left out where it is not installed. ``of the roof`` is the share of the
measured speed of a large matrix product that the products of the step attain, in the format that
the variant computes in (MFU on a GPU).
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import multiprocessing
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from loader import PATCH_SIZE, noise_windows, settings_of
from torch import Tensor, nn

from toto_core.model import SIZES, Output, Toto2, for_context
from toto_core.model.sizes import QUANTILE_LEVELS
from toto_core.training.compiled import compiled
from toto_core.training.device import keep_memory
from toto_core.training.flops import pass_flops
from toto_core.training.losses import objective_sum
from toto_core.training.machine import matrix_rate, peak_bytes
from toto_core.training.settings import TrainSettings
from toto_core.training.step import (
    MicroBatch,
    clip_gradients,
    gradient_norm,
    loss_sum,
    training_micro_batch,
)

_WARM_UP = 3  # steps that are not counted; graphs are captured in the second


@dataclass(frozen=True)
class Variant:
    """One way to compute a step; ``compile`` and ``cuda_graphs`` as in ``params.yaml``."""

    name: str
    dtype: torch.dtype
    compile: str = "none"
    cuda_graphs: bool = False


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant("reference", torch.float32),
        Variant("float32", torch.float32),
        Variant("float32 compiled", torch.float32, "default"),
        Variant("bfloat16", torch.bfloat16),
        Variant("bfloat16 compiled", torch.bfloat16, "default"),
        Variant("bfloat16 max-autotune", torch.bfloat16, "max-autotune"),
        Variant("bfloat16 compiled, graphs", torch.bfloat16, "default", cuda_graphs=True),
    )
}
RATES: dict[torch.dtype, float] = {}  # operations per second of a large product, the best seen
ON_CPU = ("reference", "float32", "float32 compiled", "bfloat16", "bfloat16 compiled")
ON_CUDA = ("bfloat16", "bfloat16 compiled", "bfloat16 compiled, graphs")


def main() -> None:
    """Print one row for each size, shape and variant."""
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    names = list(arguments.variants or (ON_CUDA if device.type == "cuda" else ON_CPU))
    if "reference" in names and importlib.util.find_spec("toto2") is None:
        print("The package toto-2 is not installed: no reference.")
        names.remove("reference")
    print(f"{processor(device)}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    titles = ("step, ms", "points/s", "times the first", "of the roof", "peak, GiB")
    print(f"\n| size | rows x variates | variant | {' | '.join(titles)} |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    for size in arguments.sizes:
        for shape in arguments.shapes:
            compare(size, shape, [VARIANTS[name] for name in names], arguments)
    for dtype, rate in RATES.items():
        print(f"Roof of {dtype}: {rate / 1e9:,.0f} GFLOP/s")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=["4m"], choices=list(SIZES))
    parser.add_argument("--shapes", nargs="+", default=["16x4", "64x1", "256x1"])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS))
    parser.add_argument("--context", type=int, default=512, help="steps")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="0: as torch decides")
    parser.add_argument("--repeats", type=int, default=11)
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time, for a busy machine and one thread; the roof is then too low",
    )
    return parser.parse_args()


def processor(device: torch.device) -> str:
    """Name the processor."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def compare(size: str, shape: str, variants: list[Variant], arguments: argparse.Namespace) -> None:
    """Time all variants on one batch: in turn on a CPU, one after the other on a GPU."""
    device, context = torch.device(arguments.device), arguments.context
    rows, num_variates = map(int, shape.split("x"))
    note_rates(device, variants)
    # On a GPU nothing else disturbs the clock, and each variant needs the memory for itself.
    turns = [variants] if device.type == "cpu" else [[variant] for variant in variants]
    seconds: dict[str, float] = {}
    peaks: dict[str, str] = {}
    for turn in turns:
        with contextlib.ExitStack() as stack:
            workers = {v.name: stack.enter_context(worker(v, size, shape, arguments)) for v in turn}
            seconds |= timed_in_turn(workers, arguments.repeats)
            peaks |= {name: ask(process, "peak") for name, process in workers.items()}
    note_rates(device, variants)
    model = Toto2(for_context(SIZES[size], context), seed=None).to("meta")
    flops = pass_flops(
        model, rows=rows, num_variates=num_variates, num_patches=context // PATCH_SIZE - 1
    ).total
    points = rows * num_variates * context
    for variant in variants:
        step_s = seconds[variant.name]
        print(
            f"| {size} | {rows} x {num_variates} | {variant.name} | {1e3 * step_s:.1f} "
            f"| {points / step_s:,.0f} | {seconds[variants[0].name] / step_s:.2f} "
            f"| {100 * flops / step_s / RATES[variant.dtype]:.0f} % | {peaks[variant.name]} |",
            flush=True,
        )


@contextlib.contextmanager
def worker(
    variant: Variant, size: str, shape: str, arguments: argparse.Namespace
) -> Iterator[Connection]:
    """A process that has a variant ready to take steps, at the other end of the connection."""
    context = multiprocessing.get_context("spawn")
    pair: tuple[Connection, Connection] = context.Pipe()  # pyright: ignore[reportAssignmentType]
    here, there = pair
    process = context.Process(target=serve, args=(there, variant, size, shape, arguments))
    process.start()
    there.close()
    try:
        yield here
    finally:
        here.close()
        process.join()


def ask(process: Connection, what: str) -> Any:  # noqa: ANN401
    """Send a worker a request and wait for its answer."""
    process.send(what)
    return process.recv()


def serve(
    requests: Connection, variant: Variant, size: str, shape: str, arguments: argparse.Namespace
) -> None:
    """Answer ``step`` with its seconds and ``peak`` with the most memory, until nobody asks."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if variant.name != "reference":
        keep_memory()  # as ``train`` does
    rows, num_variates = map(int, shape.split("x"))
    device, settings = torch.device(arguments.device), settings_of(rows, num_variates)
    with tempfile.TemporaryDirectory() as folder:
        batch = noise_windows(Path(folder) / "corpus", settings, arguments.context).batch(0)
    step = stepper(
        variant,
        size=size,
        micro_batch=training_micro_batch(
            batch, settings, patch_size=PATCH_SIZE, seed=(0, 0), device=device
        ),
        settings=settings,
    )
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    with contextlib.suppress(EOFError):
        while True:
            if requests.recv() == "peak":
                requests.send(f"{peak_bytes(device) / 2**30:.2f}")
                continue
            start_s = clock()
            step()
            requests.send(clock() - start_s)


def note_rates(device: torch.device, variants: list[Variant]) -> None:
    """Measure the speed of matrix products again, and keep the best so far."""
    for dtype in {variant.dtype for variant in variants}:
        RATES[dtype] = max(RATES.get(dtype, 0.0), matrix_rate(device, dtype))


def timed_in_turn(workers: dict[str, Connection], repeats: int) -> dict[str, float]:
    """Median seconds of a step of each; the turns share what disturbs the machine."""
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    for process in workers.values():
        for _ in range(_WARM_UP):
            ask(process, "step")
    for _ in range(repeats):
        for name, process in workers.items():
            seconds[name].append(ask(process, "step"))
    return {name: statistics.median(values) for name, values in seconds.items()}


def stepper(
    variant: Variant, *, size: str, micro_batch: MicroBatch, settings: TrainSettings
) -> Callable[[], None]:
    """Build the network of a variant and a function that takes one step with it."""
    device, num_steps = micro_batch.target.device, micro_batch.target.shape[-1]
    model: Any = Toto2(for_context(SIZES[size], num_steps)).to(device).to_compute(variant.dtype)
    model.set_global_tokens(micro_batch.target.numel() // PATCH_SIZE)
    loss_of: Callable[..., Tensor] = loss_sum
    if variant.name == "reference":
        network = model = reference_of(model)
        loss_of = reference_loss
    else:
        wanted = dataclasses.replace(settings, compile=variant.compile)
        wanted = dataclasses.replace(wanted, cuda_graphs=variant.cuda_graphs)
        network = compiled(model, wanted, device)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    parameters = list(model.parameters())

    def step() -> None:
        if variant.cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()
        loss = loss_of(network, micro_batch, settings)
        loss.backward()
        norm = gradient_norm(parameters)
        clip_gradients(parameters, norm=norm, max_norm=settings.max_grad_norm)
        optimiser.step()
        optimiser.zero_grad(set_to_none=not variant.cuda_graphs)
        loss.item()  # waits for a GPU

    return step


def reference_of(model: Toto2) -> nn.Module:
    """The reference network with the weights of ``model``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import toto2  # noqa: PLC0415  # pyright: ignore[reportMissingImports]

    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return toto2.Toto2Model.from_pretrained(folder).to(model.device).train()


def reference_loss(model: nn.Module, part: MicroBatch, settings: TrainSettings) -> Tensor:
    """The loss of this project on the reference's quantiles, all patches computed."""
    read = slice(None, -PATCH_SIZE)
    quantiles, loc, scale = model(part.target, part.target_mask, part.cpm_mask, part.series_ids)
    output = Output(quantiles[..., :-1, :], loc[..., read], scale[..., read], QUANTILE_LEVELS)
    return objective_sum(output, part.target, part.weight, settings)


if __name__ == "__main__":
    # Kernels are compiled with as many processes as there are cores.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", str(os.cpu_count() or 1))
    main()
