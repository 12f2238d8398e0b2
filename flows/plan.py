"""What a training run would take, worked out from params.yaml alone: ``toto plan``."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from flows import paths
from flows.fitting import model_config
from toto_core.config import Params, load_params
from toto_core.model import PATCH_SIZE, Toto2
from toto_core.optim.build import rates_table
from toto_core.training.device import choose_dtype
from toto_core.training.distributed import sharded_blocks
from toto_core.training.finetune import choose_learners, num_learning
from toto_core.training.flops import pass_flops
from toto_core.training.machine import matrix_rate
from toto_core.training.memory import StepMemory, estimate
from toto_core.training.rehearsal import rehearse_unbuilt
from toto_core.training.settings import TrainSettings

_CPU = torch.device("cpu")
_PARTS = ("parameters", "gradients", "optimiser", "average", "gathered", "activations", "total")


def plan_text(
    root: Path, *, size: str | None, processes: int | None, mfu: float, tflops: float | None
) -> str:
    """Write the plan of the project in ``root`` as Markdown.

    The network is built without contents, so that any size fits any machine.

    Args:
        size: in place of ``model.size``.
        processes: in place of ``train.processes``.
        mfu: share of the matrix rate that training will use, 0 to 1.
        tflops: matrix rate of one process, 1e12 operations per second; None: measured here.

    Raises:
        ConfigError: if params.yaml is at fault or the size is unknown.
    """
    params = load_params(root / paths.PARAMS)
    chosen = params.model.model_copy(update={"size": size or params.model.size})
    params = params.model_copy(update={"model": chosen})
    settings = TrainSettings.from_mapping(params.train.model_dump())
    settings = _shared_out(replace(settings, processes=processes or settings.processes))
    on_cpu = settings.device == "cpu"
    # Where training will be is not known: GPUs compute in bfloat16.
    dtype = choose_dtype(settings.precision, _CPU) if on_cpu else torch.bfloat16
    if settings.precision != "auto":
        dtype = choose_dtype(settings.precision, _CPU)
    with torch.device("meta"):
        model = Toto2(model_config(params.model), seed=None).to_compute(dtype)
        if settings.init is not None:
            choose_learners(model, settings.finetune, seed=params.seed)
    rate = tflops * 1e12 if tflops else matrix_rate(_CPU, dtype)
    where = "given" if tflops else "measured on this CPU"
    return "\n\n".join(
        [
            _heading(params, model, settings),
            rates_table(model, settings),
            *_memory_part(params, model, settings, on_cpu=on_cpu),
            *_units_part(model, settings.processes),
            _time_part(params, model, settings, rate=rate, where=where, mfu=mfu),
        ]
    )


def _shared_out(settings: TrainSettings) -> TrainSettings:
    """Raise ``accumulation`` to the next number that the processes can share out."""
    share = -(-settings.accumulation // settings.processes)
    return replace(settings, accumulation=share * settings.processes)


def _heading(params: Params, model: Toto2, settings: TrainSettings) -> str:
    config, asked = model.config, params.train.accumulation
    raised = f" (train.accumulation = {asked} is to be raised)"
    learning = f" {num_learning(model):,} of them learn ({settings.finetune.method})."
    return (
        f"{params.model.size}: {model.num_parameters():,} parameters in {config.num_layers} layers "
        f"of width {config.d_model}.{learning if settings.init else ''}\n\n"
        f"A step of {settings.processes} processes has {settings.accumulation} micro-batches"
        f"{raised if settings.accumulation > asked else ''} of {settings.batch_size} rows, "
        f"{settings.num_variates} variates and {params.model.context_length} time steps, in "
        f"{str(model.compute_dtype).removeprefix('torch.')}."
    )


def _memory_part(
    params: Params, model: Toto2, settings: TrainSettings, *, on_cpu: bool
) -> Iterable[str]:
    """Compare ways to share the work out, each with activations kept and computed again."""
    num_steps = params.model.context_length
    columns: dict[str, StepMemory] = {}
    for again in (False, True):
        own = replace(settings, activation_checkpointing=again)
        activations = rehearse_unbuilt(
            model.config, own, num_steps=num_steps, dtype=model.compute_dtype
        )
        ways = ("ddp", "fsdp2") if settings.processes > 1 else ("ddp",)
        for way in ways:
            name = f"{way} x {settings.processes}" if settings.processes > 1 else "one process"
            columns[name + (", checkpointing" if again else "")] = estimate(
                model,
                replace(own, parallel=way),
                activations,
                num_steps=num_steps,
                processes=settings.processes,
                on_cpu=on_cpu,
            )
    rows = [
        (part, *(f"{getattr(memory, part) / 1e9:.2f}" for memory in columns.values()))
        for part in _PARTS
    ]
    yield "Memory of each process at the peak of a step, GB:"
    yield _table(("", *columns), rows)


def _units_part(model: Toto2, processes: int) -> Iterable[str]:
    """List what fsdp2 gathers at one time."""
    blocks = sharded_blocks(model)
    inside = {id(parameter) for block in blocks for parameter in block.parameters()}
    names = {id(module): name for name, module in model.named_modules()}
    units = [(names[id(block)], _size(block.parameters())) for block in blocks]
    ends = " and ".join(name for name, part in model.named_children() if not _within(part, inside))
    units.append((ends, _size(p for p in model.parameters() if id(p) not in inside)))
    rows = [
        (name, f"{count:,}", f"{4 * count / 1e6:.1f}", f"{4 * count / processes / 1e6:.2f}")
        for name, count in _merged(units)
    ]
    yield "What fsdp2 gathers at one time (the rest of a network as one unit):"
    yield _table(("unit", "parameters", "MB", f"MB in each of {processes}"), rows)


def _within(part: nn.Module, inside: set[int]) -> bool:
    return all(id(parameter) in inside for parameter in part.parameters())


def _size(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)


def _merged(units: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """Write neighbours of one size as a range: first to last."""
    runs: list[list[tuple[str, int]]] = []
    for unit in units:
        if runs and runs[-1][0][1] == unit[1]:
            runs[-1].append(unit)
        else:
            runs.append([unit])
    return [
        (run[0][0] if len(run) == 1 else f"{run[0][0]} to {run[-1][0].rpartition('.')[2]}, each",
         run[0][1])
        for run in runs
    ]  # fmt: skip


def _time_part(
    params: Params,
    model: Toto2,
    settings: TrainSettings,
    *,
    rate: float,
    where: str,
    mfu: float,
) -> str:
    counted = pass_flops(
        model,
        rows=settings.batch_size,
        num_variates=settings.num_variates,
        num_patches=params.model.context_length // PATCH_SIZE - 1,  # the last is a target only
    )
    flops = counted.total * settings.accumulation
    step_s = flops / (rate * settings.processes * mfu)
    return (
        f"A step is {flops:.3g} operations: at {rate / 1e12:.3g} TFLOP/s ({where}) in each of "
        f"{settings.processes} processes and MFU {mfu:.0%} it takes {step_s:.3g} s, and "
        f"{settings.max_steps} steps take {settings.max_steps * step_s / 3600:.3g} hours."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
