"""What the correction of quantiles does out of sample, by method, unit and number of origins.

python benchmarks/calibration.py PROJECT [PROJECT ...] [--model DIR]

A PROJECT is a folder in which the pipeline has run as far as `train`. Its candidate, or another
model, forecasts every validation and test origin of the items that training may see. Two designs:
`split` learns at the validation origins and is measured at all test origins, as the pipeline does;
`rolling` learns at some consecutive origins and is measured at the next 16, again and again through
both periods. Gains are of the mean scaled quantile loss, in percent of that without a correction,
positive is better; `off` is the mean distance of coverage and level over the nine levels.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from flows import paths
from toto_core.config import load_params
from toto_core.data.splits import Splits, to_us
from toto_core.data.tables import TARGET, read_items
from toto_core.evaluation.backtest import asked, backtest_tables
from toto_core.evaluation.baselines import item_season, seasonal_error
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.conformal.learning import learn
from toto_core.evaluation.metrics import MODEL, QUANTILE_LEVELS, SERIES_KEYS, cell_losses
from toto_core.inference import Forecaster

LEVELS = np.array(QUANTILE_LEVELS)
BEYOND = (0.01, 0.025, 0.05, 0.95, 0.975, 0.99)
LEARNT_AT, MEASURED_AT = (14, 24), 16  # origins of the rolling design
SPEED_SHAPE = (10_000, 48)

Correct = Callable[[pl.DataFrame], Float[np.ndarray, "N Q"]]
Cells = tuple[pl.DataFrame, pl.DataFrame]  # to learn from, to be measured on


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("projects", nargs="+", type=Path)
    parser.add_argument("--model", type=Path, help="instead of each project's candidate")
    given = parser.parse_args()
    print_speed()
    for root in given.projects:
        cells, splits = forecasts(root, given.model or root / paths.CANDIDATE)
        model = given.model.name if given.model else "its candidate"
        print(f"\n{root.name}, {model}: {cells.height} cells")
        start = pl.lit(splits.test_start)
        whole = [(cells.filter(pl.col("origin") < start), cells.filter(pl.col("origin") >= start))]
        print_methods("split", whole)
        for num in LEARNT_AT:
            print_methods(f"rolling, {num} origins", list(rolling(cells, num)))
        print_tails(whole[0])


def forecasts(root: Path, model: Path) -> tuple[pl.DataFrame, Splits]:
    """Forecast all origins; with the scale of each series, observed cells only."""
    params, splits = load_params(root / paths.PARAMS), Splits.load(root / paths.SPLITS)
    context_length = params.model.context_length
    forecaster = Forecaster.load(model, context_length=context_length)
    predict = partial(
        forecaster.predict,
        prediction_length=splits.prediction_length,
        quantile_levels=QUANTILE_LEVELS,
    )
    items = [i for i in read_items(root / paths.VALID) if i.item_id in splits.train_items]
    start_us = to_us(splits.test_start)
    scales = [
        (item.item_id, variate, seasonal_error(values[item.timestamps < start_us], season))
        for item in items
        for season in [item_season(item, params.evaluate.seasonality, before_us=start_us)]
        for variate, role, values in zip(item.variates, item.roles, item.values, strict=True)
        if role == TARGET
    ]
    pieces = backtest_tables(
        items,
        np.concatenate([splits.validation_origins_us, splits.test_origins_us]),
        splits,
        {MODEL: asked(predict, splits.prediction_length, context_length)},
        context_length=context_length,
        params=params.evaluate.model_copy(update={"baselines": ()}),
    )
    scale = pl.DataFrame(scales, schema=[*SERIES_KEYS, "scale"], orient="row")
    cells = pl.concat(pieces).join(scale, on=SERIES_KEYS, maintain_order="left")
    return cells.filter(pl.col("target").is_not_null(), pl.col("scale") > 0), splits


def rolling(cells: pl.DataFrame, num: int) -> Iterator[Cells]:
    """Yield what to learn from and what to measure on, through all origins."""
    origins = cells["origin"].unique().sort()
    for first in range(0, len(origins) - num - MEASURED_AT + 1, MEASURED_AT):
        learnt, measured = (
            cells.filter(pl.col("origin").is_in(part.to_list()))
            for part in (origins[first : first + num], origins[first + num :][:MEASURED_AT])
        )
        if learnt.height and measured.height:
            yield learnt, measured


def methods(learnt: pl.DataFrame) -> dict[str, Correct]:
    """Return what can be done with the cells learnt from, by name."""
    found: dict[str, Correct] = {"none": lambda cells: numbers(cells, MODEL)}
    for method in ("pooled", "per_step"):
        for shrinkage in (False, True):
            calibration = learn_from(learnt, method, shrinkage=shrinkage)
            name = f"{method}{', shrunk' if shrinkage else ''}"
            found[name] = partial(corrected, calibration)
    kept = calibration.model_copy(
        update={"shifts": tuple((*row[:4], 0.0, *row[5:]) for row in calibration.shifts)}
    )
    found["per_step, shrunk, median kept"] = partial(corrected, kept)
    found["pooled, unit: half-spread of the side"] = shifted(learnt, of_side)
    found["pooled, unit: seasonal error"] = shifted(learnt, of_scale)
    return found


def learn_from(cells: pl.DataFrame, method: str, *, shrinkage: bool) -> Calibration:
    """Return the project's own correction."""
    return learn(
        cells,
        method=method,  # pyright: ignore[reportArgumentType]
        shrinkage=shrinkage,
        prediction_length=int(cells["step"].max()),  # pyright: ignore[reportArgumentType]
        min_origins=2,
        min_scores=50,
        before_us=int(cells["timestamp"].to_physical().max()) + 1,  # pyright: ignore
        candidate="",
    )


def corrected(calibration: Calibration, cells: pl.DataFrame) -> Float[np.ndarray, "N Q"]:
    """Return the quantiles after a correction."""
    steps = cells["step"].to_numpy().astype(np.int64)
    return calibration.corrected(cells[MODEL].to_numpy(), steps).astype(np.float64)


def shifted(learnt: pl.DataFrame, unit_of: Callable[[pl.DataFrame], np.ndarray]) -> Correct:
    """Return a pooled correction in another unit, without shrinkage."""
    unit = unit_of(learnt)
    score = np.divide(
        numbers(learnt, "target")[:, None] - numbers(learnt, MODEL),
        unit,
        out=np.full(unit.shape, np.nan),
        where=unit > 0,
    )
    shift = [np.nanquantile(score[:, n], level) for n, level in enumerate(LEVELS)]
    return lambda cells: np.sort(numbers(cells, MODEL) + shift * unit_of(cells), axis=1)


def of_side(cells: pl.DataFrame) -> np.ndarray:
    """The distance of median and outermost quantile on the level's own side."""
    z = numbers(cells, MODEL)
    low, high = z[:, 4] - z[:, 0], z[:, 8] - z[:, 4]
    return np.stack([low] * 4 + [(low + high) / 2] + [high] * 4, axis=1)


def of_scale(cells: pl.DataFrame) -> np.ndarray:
    """The seasonal error of the series."""
    return np.repeat(numbers(cells, "scale")[:, None], len(LEVELS), axis=1)


def numbers(cells: pl.DataFrame, name: str) -> np.ndarray:
    """Return a column in double precision."""
    return cells[name].to_numpy().astype(np.float64)


def print_methods(title: str, designs: list[Cells]) -> None:
    """Print gain and distance of each method, summed over the blocks of a design."""
    if not designs:
        return
    losses: dict[str, list[float]] = {}
    offs: dict[str, list[float]] = {}
    for learnt, measured in designs:
        target, scale = numbers(measured, "target"), numbers(measured, "scale")
        for name, correct in methods(learnt).items():
            quantiles = correct(measured)
            loss = (cell_losses(target, quantiles).ql / scale).mean()
            off = np.abs((target[:, None] <= quantiles).mean(axis=0) - LEVELS).mean()
            losses.setdefault(name, []).append(float(loss))
            offs.setdefault(name, []).append(float(off))
    print(f"\n| {title}, {len(designs)} blocks | gain, % | worse in | off | nearer in |")
    print("|---|--:|--:|--:|--:|")
    for name, found in losses.items():
        gain = 100 * (1 - sum(found) / sum(losses["none"]))
        worse = sum(own > base for own, base in zip(found, losses["none"], strict=True))
        nearer = sum(own < base for own, base in zip(offs[name], offs["none"], strict=True))
        print(f"| {name} | {gain:+.2f} | {worse} | {np.mean(offs[name]):.4f} | {nearer} |")


def print_tails(cells: Cells) -> None:
    """Print how often the truth lies below levels beyond the nine."""
    learnt, measured = cells
    calibration = learn_from(learnt, "per_step", shrinkage=True)
    lowest, highest = calibration.range
    levels = [level for level in BEYOND if lowest <= level <= highest]
    quantiles = calibration.at_levels(corrected(calibration, measured).astype(np.float32), levels)
    shares = (numbers(measured, "target")[:, None] <= quantiles).mean(axis=0)
    told = ", ".join(f"{q:g}: {share:.4f}" for q, share in zip(levels, shares, strict=True))
    print(f"\ncoverage beyond the nine, {lowest:.4f} to {highest:.4f} can be asked for: {told}")


def print_speed() -> None:
    """Print the processor time of a correction and of two levels beyond."""
    size = np.random.default_rng(0).random((*SPEED_SHAPE, 1), dtype=np.float32)
    quantiles = size * np.arange(len(LEVELS), dtype=np.float32)
    shifts = np.random.default_rng(1).normal(scale=0.05, size=(SPEED_SHAPE[1], len(LEVELS)))
    calibration = Calibration(
        method="per_step",
        reason="",
        levels=QUANTILE_LEVELS,
        shifts=tuple(map(tuple, np.sort(shifts).tolist())),
        weights=(1.0, 1.0),
        lower=None,
        upper=None,
        num_scores=1,
        num_forecasts=1,
        num_origins=1,
        candidate="",
    )
    spent = []
    for _ in range(5):
        started = time.process_time()
        calibration.corrected(quantiles, np.arange(1, SPEED_SHAPE[1] + 1))
        spent.append(time.process_time() - started)
    series, steps = SPEED_SHAPE
    print(f"{series:,} series x {steps} steps corrected in {min(spent):.2f} s of processor time")


if __name__ == "__main__":
    main()
