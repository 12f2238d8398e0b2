"""Processor time and memory of judging a large panel, beside fev's and GluonTS's evaluators.

The panel is judged as the stage ``evaluate`` does: forecasts of the model and of three baselines
come in chunks of items, and give the losses of each series and origin, all metrics (pooled, by
item, origin, step, hour, level) and all tests. The forecasts themselves are made up between the
measurements. "baselines" is what it takes to make the three naive baselines of the same panel.

What it must cost at least: each of the four forecasters is items x origins x steps x 9 float32
numbers, read once.

The peers need an environment of their own, as they pin other versions:

    python -m venv peers; peers/bin/pip install fev==0.10.0 gluonts==0.17.0 "pandas<3"
    python -m benchmarks.evaluation --peer-python peers/bin/python

They score a part of the same panel, one forecaster, by MASE, SQL, WQL, MQL, MAE, RMSE and sMAPE;
time is scaled up linearly to the panel and the four forecasters, and their figures are compared
with this project's on that part. GluonTS has no MQL; what it has for the others is taken.
"""

import argparse
import json
import resource
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl

from toto_core.config import load_params
from toto_core.evaluation.baselines import DRIFT, NAIVE, SEASONAL_NAIVE
from toto_core.evaluation.baselines.panel import Series, panel_quantiles
from toto_core.evaluation.metrics import (
    MODEL,
    QUANTILE_LEVELS,
    Tally,
    origin_losses,
    pooled_scores,
    scores,
    seasonal_errors,
)
from toto_core.evaluation.scores import CANDIDATE, evaluation_report, item_scores, origin_scores

FORECASTERS = (MODEL, NAIVE, DRIFT, SEASONAL_NAIVE)
CHUNK_ITEMS = 100
SEASON, HISTORY, CONTEXT, WINDOW = 24, 1000, 512, 250  # steps
HOUR_US = 3_600_000_000
FIRST = np.datetime64(datetime(2024, 1, 1, tzinfo=UTC).replace(tzinfo=None), "us")
GIB = 2**30


class Panel:
    """Items whose values wander with a daily season; forecasts are made up, not calculated."""

    def __init__(self, items: int, origins: int, steps: int) -> None:
        self.items, self.origins, self.steps = items, origins, steps
        rng = np.random.default_rng(0)
        cells = CHUNK_ITEMS * origins * steps
        self._noise = rng.standard_normal(cells).astype(np.float32)
        self._quantiles = {
            name: np.sort(rng.standard_normal((cells, len(QUANTILE_LEVELS))), axis=1).astype("f4")
            for name in FORECASTERS
        }

    def names(self, first: int) -> list[str]:
        """Return the items of the chunk that begins with item ``first``."""
        return [f"item-{n:06d}" for n in range(first, min(first + CHUNK_ITEMS, self.items))]

    def series(self, number: int) -> np.ndarray:
        """Return the values of one item: history, and the test period."""
        rng = np.random.default_rng([1, number])
        time_ = np.arange(HISTORY + self.origins * self.steps)
        wander = rng.standard_normal(len(time_)).cumsum()
        return (wander + 5 * np.sin(2 * np.pi * time_ / SEASON)).astype(np.float32)

    def forecasts(self) -> Iterator[pl.DataFrame]:
        """Yield the tables of forecasts, each of some items."""
        for first in range(0, self.items, CHUNK_ITEMS):
            names = self.names(first)
            count = len(names) * self.origins * self.steps
            origin = FIRST + np.arange(self.origins) * (self.steps * np.timedelta64(1, "h"))
            step = np.arange(1, self.steps + 1, dtype=np.int32)
            level = np.float32(100 + first % 977)
            yield pl.DataFrame(
                {
                    "item_id": np.repeat(names, self.origins * self.steps),
                    "variate": pl.repeat("load", count, eager=True),
                    "origin": np.tile(np.repeat(origin, self.steps), len(names)),
                    "step": np.tile(step, len(names) * self.origins),
                    "target": level + self._noise[:count],
                    **{name: level + q[:count] for name, q in self._quantiles.items()},
                }
            ).with_columns(
                pl.col("origin").dt.replace_time_zone("UTC"),
                timestamp=(pl.col("origin") + pl.duration(hours=pl.col("step") - 1))
                .dt.cast_time_unit("us")
                .dt.replace_time_zone("UTC"),
            )

    def facts(self) -> pl.DataFrame:
        """Return what is known of each series."""
        names = [f"item-{n:06d}" for n in range(self.items)]
        return pl.DataFrame({"item_id": names}).with_columns(
            variate=pl.lit("load"), group="item_id", held_out=pl.lit(value=False), scale=pl.lit(1.3)
        )


class Clock:
    """Processor and wall time of the parts that are measured."""

    def __init__(self) -> None:
        self.parts: dict[str, tuple[float, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to that of ``name``."""
        before = time.process_time(), time.perf_counter()
        yield
        spent = time.process_time() - before[0], time.perf_counter() - before[1]
        total = self.parts.get(name, (0.0, 0.0))
        self.parts[name] = total[0] + spent[0], total[1] + spent[1]

    def total(self) -> tuple[float, float]:
        """Return the sum over all parts."""
        processor, wall = zip(*self.parts.values(), strict=True)
        return sum(processor), sum(wall)


def judge(panel: Panel) -> Clock:
    """Judge the panel and say what it took."""
    clock = Clock()
    tally = Tally(panel.facts(), forecasters=FORECASTERS, source=CANDIDATE)
    for table in panel.forecasts():
        with clock.part("one pass over the forecasts"):
            tally.add(table)
    with clock.part("losses of origins"):
        losses = tally.losses()
    with clock.part("pooled metrics and tests"):
        evaluation_report(
            losses,
            tally.profile,
            overlap=1,
            exclusions=[],
            outside=[],
            seasonality={"1h": SEASON},
        )
    with clock.part("by item, group, origin, step, hour, level"):
        item_scores(losses)
        origin_scores(losses)
        for key in ("item_id", "group", "variate", "origin"):
            scores(losses, [key])
        tally.profile.by_step(), tally.profile.by_hour()
        tally.profile.coverage(), tally.profile.pit()
    return clock


def make_baselines(panel: Panel) -> Clock:
    """Make the naive baselines of every item, chunk by chunk."""
    clock = Clock()
    params = load_params(Path("params.yaml")).evaluate.model_copy(
        update={"baselines": FORECASTERS[1:], "naive_window": WINDOW}
    )
    positions = HISTORY + np.arange(panel.origins) * panel.steps
    for first in range(0, panel.items, CHUNK_ITEMS):
        numbers = range(first, min(first + CHUNK_ITEMS, panel.items))
        series = [Series(panel.series(number), positions, SEASON) for number in numbers]
        with clock.part("naive baselines"):
            panel_quantiles(
                series, prediction_length=panel.steps, context_length=CONTEXT, params=params
            )
    return clock


def write_part(panel: Panel, path: Path, items: int) -> dict[str, float]:
    """Write the model's forecasts of some items for the peers, and score them here.

    Every window has the same history of its item before it, so that all scale alike.
    """
    table = next(panel.forecasts()).filter(pl.col("item_id").is_in(panel.names(0)[:items]))
    pasts = np.stack([panel.series(n)[:HISTORY] for n in range(items)])
    shape = (items * panel.origins, panel.steps)
    np.savez(
        path,
        past=np.repeat(pasts, panel.origins, axis=0),
        target=table["target"].to_numpy().reshape(shape),
        quantiles=table[MODEL].to_numpy().reshape(*shape, -1),
        levels=QUANTILE_LEVELS,
        season=SEASON,
    )
    start_us = int(FIRST.astype(np.int64)) - HISTORY * HOUR_US
    series = pl.DataFrame(
        {
            "item_id": np.repeat(panel.names(0)[:items], HISTORY),
            "variate": pl.repeat("load", items * HISTORY, eager=True),
            "timestamp": np.tile(start_us + np.arange(HISTORY) * HOUR_US, items),
            "value": pasts.ravel(),
        }
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    seasons = series.select("item_id").unique().with_columns(season=SEASON)
    scales = seasonal_errors(series.lazy(), seasons, before_us=int(FIRST.astype(np.int64)))
    facts = panel.facts().drop("scale").join(scales, on=["item_id", "variate"])
    return pooled_scores(origin_losses(table, facts, forecasters=[MODEL], source=""))[MODEL]


def compare_peers(panel: Panel, python: Path, items: int, own_s: float) -> None:
    """Print what the peers take, and how far their figures are from this project's."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "part.npz"
        own = write_part(panel, path, items)
        script = Path(__file__).with_name("evaluation_peers.py")
        command = [python, script, path]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    factor = len(FORECASTERS) * panel.items / items
    print(f"\n| evaluator | {items} items, s | scaled up, s | times this | largest difference |")
    print("|---|---|---|---|---|")
    for name, found in json.loads(done.stdout.splitlines()[-1]).items():
        seconds = found["processor_s"] * factor
        difference = max(abs(own[key] / value - 1) for key, value in found["scores"].items())
        print(
            f"| {name} | {found['processor_s']:.2f} | {seconds:.0f} | {seconds / own_s:.0f} "
            f"| {difference:.1e} |"
        )


def print_clock(parts: Mapping[str, tuple[float, float]]) -> None:
    """Print one row for each part."""
    for name, (processor, wall) in parts.items():
        print(f"| {name} | {processor:.2f} | {wall:.2f} |")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--origins", type=int, default=60)
    parser.add_argument("--steps", type=int, default=48)
    parser.add_argument("--peer-python", type=Path, help="of an environment with fev and gluonts")
    parser.add_argument("--peer-items", type=int, default=50, help=f"at most {CHUNK_ITEMS}")
    parser.add_argument("--skip-baselines", action="store_true")
    options = parser.parse_args()
    panel = Panel(options.items, options.origins, options.steps)
    numbers = options.items * options.origins * options.steps * len(QUANTILE_LEVELS)
    print(f"{numbers:,} numbers, {4 * numbers / GIB:.2f} GiB for each of {len(FORECASTERS)}\n")
    print("| part | processor, s | wall, s |\n|---|---|---|")
    judged = judge(panel)
    print_clock({**judged.parts, "in all": judged.total()})
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB
    print(f"| peak memory, GiB | {peak:.2f} | |")
    if not options.skip_baselines:
        clock = make_baselines(panel)
        print_clock({"naive baselines": clock.parts["naive baselines"]})
    if options.peer_python:
        compare_peers(panel, options.peer_python, options.peer_items, judged.total()[0])


if __name__ == "__main__":
    main()
