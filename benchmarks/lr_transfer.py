"""Whether the best learning rate of a narrow network stays the best of a wide one, as u-muP says.

python benchmarks/lr_transfer.py --out docs/lr_transfer.svg     (15 minutes on one idle core)

Networks of three layers train for a few hundred steps on the same stream of synthetic series, once
for each rate, width and optimiser. The validation loss is that of the averaged weights over the
last patches of series that were not trained on. ``normuon`` varies train.normuon.lr beside the
train.lr of params.yaml; ``normuon-transfer`` does so with that width rule.
"""

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toto_core.config import load_params
from toto_core.data.synthetic import FAMILIES, generate
from toto_core.data.windows import Batch
from toto_core.model import ModelConfig, Toto2
from toto_core.model.sizes import attention_ratio
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.device import choose_dtype
from toto_core.training.loop import train
from toto_core.training.settings import TrainSettings

SWEEPS = {
    "adamw": (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8),
    "normuon": (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
    "normuon-transfer": (0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6),
}
LAYERS, ROWS, VARIATES, CONTEXT, HORIZON = 3, 8, 2, 256, 64
SERIES_LENGTH, TRAINED, JUDGED = 1024, 2000, 256
COLOURS = ("#1b6ca8", "#c8553d", "#4f8a3c", "#7a5195")
CPU = torch.device("cpu")


class SharedWindows:
    """Windows of a fixed set of synthetic series; the same number gives every run the same."""

    def __init__(self, seed: int, count: int) -> None:
        weights = dict.fromkeys(FAMILIES, 1.0)
        made = generate(seed, count, length=SERIES_LENGTH, weights=weights)
        self.series = np.stack([values[0] for _, values in made if np.isfinite(values).all()])

    def batch(self, step: int, *, horizon: int = 0) -> Batch:
        """Draw batch ``step``: each slot another series, fully observed."""
        rng = np.random.default_rng([step, 17])
        starts = rng.integers(0, SERIES_LENGTH - CONTEXT + 1, ROWS * VARIATES)
        chosen = rng.integers(0, len(self.series), ROWS * VARIATES)
        rows = [self.series[n, s : s + CONTEXT] for n, s in zip(chosen, starts, strict=True)]
        target = np.stack(rows).reshape(ROWS, VARIATES, CONTEXT)
        return Batch(
            target=target,
            target_mask=np.ones(target.shape, np.bool_),
            series_ids=np.tile(np.arange(VARIATES), (ROWS, 1)),
            known=np.zeros((ROWS, VARIATES), np.bool_),
            horizon=horizon,
            items=((f"step-{step}",),) * ROWS,
        )


def main() -> None:
    """Train every run, print the tables and write the plot."""
    arguments = parse()
    torch.set_num_threads(1)
    windows, judged = SharedWindows(0, TRAINED), SharedWindows(1, JUDGED)
    validation = [judged.batch(n, horizon=HORIZON) for n in range(JUDGED // ROWS)]
    losses: dict[str, dict[int, dict[float, list[float]]]] = {}
    for seed in range(arguments.seeds):
        for optimiser in arguments.optimisers:
            for width in arguments.widths:
                curve = losses.setdefault(optimiser, {}).setdefault(width, {})
                for lr in SWEEPS[optimiser]:
                    loss = run(optimiser, width, lr, arguments.steps, seed, windows, validation)
                    curve.setdefault(lr, []).append(loss)
                    print(f"seed {seed} {optimiser} {width} {lr:g}: {loss:.4f}", flush=True)
    means = {
        optimiser: {
            width: {lr: float(np.mean(found)) for lr, found in curve.items()}
            for width, curve in curves.items()
        }
        for optimiser, curves in losses.items()
    }
    for optimiser, curves in means.items():
        print(table(optimiser, curves))
    if arguments.out:
        arguments.out.write_text(plot(means), encoding="utf-8")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--optimisers", nargs="+", default=list(SWEEPS), choices=list(SWEEPS))
    parser.add_argument("--widths", nargs="+", type=int, default=[64, 256])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="the plot, an SVG file")
    return parser.parse_args()


def run(
    optimiser: str,
    width: int,
    lr: float,
    steps: int,
    seed: int,
    windows: SharedWindows,
    validation: Sequence[Batch],
) -> float:
    """Validation loss after a whole run."""
    settings = settings_of(optimiser, lr, steps)
    config = ModelConfig(
        d_model=width,
        num_heads=width // 64,
        num_groups=width // 64,
        num_layers=LAYERS,
        layer_group_size=LAYERS,
        d_ff=8 * -(-width // 3),
        residual_attn_ratio=attention_ratio(CONTEXT),
    )
    model = Toto2(config, seed=seed).to_compute(choose_dtype("auto", CPU))
    records: list[Mapping[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        store = CheckpointStore(Path(folder), interval_s=1e9)
        train(
            model,
            windows,
            validation,
            settings,
            seed=seed,
            store=store,
            device=CPU,
            log=records.append,
        )
    return records[-1]["val_loss"]


def settings_of(optimiser: str, lr: float, steps: int) -> TrainSettings:
    """Settings of params.yaml, with the rate and the length of one run."""
    values = load_params(Path("params.yaml")).train.model_dump()
    changes: dict[str, Any] = {"max_steps": steps, "validate_every": steps, "accumulation": 1}
    if optimiser == "adamw":
        changes |= {"optimizer": "adamw", "lr": lr}
    else:
        rule = "transfer" if optimiser == "normuon-transfer" else "published"
        own = values["normuon"] | {"lr": lr, "width_rule": rule}
        changes |= {"optimizer": "normuon", "normuon": own}
    return TrainSettings.from_mapping(values | changes)


def table(optimiser: str, curves: Mapping[int, Mapping[float, float]]) -> str:
    """Write the losses of one optimiser, the best of each width in bold, as Markdown."""
    rates = list(next(iter(curves.values())))
    lines = [
        f"\n| {optimiser}, d_model | {' | '.join(f'{lr:g}' for lr in rates)} |",
        "|---" * (len(rates) + 1) + "|",
    ]
    for width, curve in curves.items():
        best = min(curve.values())
        cells = [f"**{x:.4f}**" if x == best else f"{x:.4f}" for x in curve.values()]
        lines.append(f"| {width} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(means: Mapping[str, Mapping[int, Mapping[float, float]]]) -> str:
    """Draw a panel for each optimiser: loss over rate (log 2), a line for each width."""
    across, height, left, top = 250, 220, 46, 30
    width = left + len(means) * (across + 34)
    finite = [x for curves in means.values() for curve in curves.values() for x in curve.values()]
    low = min(finite)
    high = min(max(finite), 1.25 * low)  # what diverged would squeeze the rest
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 72}" '
        'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{width}" height="{height + 72}" fill="#fff"/>',
    ]
    for place, (optimiser, curves) in enumerate(means.items()):
        rates = list(next(iter(curves.values())))
        x0 = left + place * (across + 34)
        xs = [x0 + across * n / (len(rates) - 1) for n in range(len(rates))]
        parts += frame(optimiser, rates, xs, (low, high), (x0, top, across, height))
        for n, (size, curve) in enumerate(curves.items()):
            share = [(min(loss, high) - low) / (high - low) for loss in curve.values()]
            ys = [top + height * (1 - s) for s in share]
            colour, best = COLOURS[n % len(COLOURS)], int(np.argmin(list(curve.values())))
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys, strict=True))
            parts += [
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
                f'<circle cx="{xs[best]:.1f}" cy="{ys[best]:.1f}" r="5" fill="{colour}"/>',
                f'<text x="{x0 + 8 + 90 * n}" y="{top + height + 38}" fill="{colour}">'
                f"d_model {size}</text>",
            ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def frame(
    title: str,
    rates: Sequence[float],
    xs: Sequence[float],
    span: tuple[float, float],
    box: tuple[int, int, int, int],
) -> list[str]:
    """Title, axes and labels of one panel; ``box`` is left, top, width and height."""
    x0, top, across, height = box
    parts = [
        f'<text x="{x0}" y="{top - 12}" font-weight="bold">{title}: validation loss</text>',
        f'<path d="M{x0} {top}V{top + height}H{x0 + across}" fill="none" stroke="#999"/>',
    ]
    for x, lr in zip(xs, rates, strict=True):
        parts.append(
            f'<text x="{x:.1f}" y="{top + height + 16}" text-anchor="middle">{lr:g}</text>'
        )
    for share in (0.0, 0.5, 1.0):
        value, y = span[0] + share * (span[1] - span[0]), top + height * (1 - share)
        parts.append(f'<text x="{x0 - 4}" y="{y + 4:.1f}" text-anchor="end">{value:.3f}</text>')
    return parts


if __name__ == "__main__":
    main()
