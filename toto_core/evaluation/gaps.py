"""Losses of forecasts with gaps: each gap stays in the table, where the gate sees it."""

from collections.abc import Iterable, Iterator, Sequence

import polars as pl

from toto_core.evaluation.faults import Faults
from toto_core.evaluation.metrics import MODEL, ORIGIN_KEYS, Profile, Tally

_LOSSES = (
    *("sql", "mase", "mae", "ql", "mse", "cov80"),
    *("smape", "width80", "winkler80"),
)


def losses_with_gaps(
    tables: Iterable[pl.DataFrame],
    facts: pl.DataFrame,
    *,
    baselines: Sequence[str],
    source: str,
    faults: Faults,
) -> tuple[pl.DataFrame, Profile]:
    """Score forecasts of which some are missing, or whose truth was revised.

    Where the model gave no forecast (its quantiles are NaN) its losses are null: the gate fails a
    model that does not answer. Where the truth was revised the scaled losses of the baselines are
    null: the gate leaves the pair out for all and counts it as excluded.

    Args:
        tables: pieces of ``backtest_tables``, each series and origin whole.
        facts: as for ``Tally``.

    Returns:
        the table of ``Tally.losses``, and the profile of the pairs without a gap.
    """
    names = (MODEL, *baselines)
    whole, revised = (Tally(facts, forecasters=names, source=source) for _ in range(2))
    unanswered = Tally(facts, forecasters=baselines, source=source)
    schema = {"item_id": pl.String, "variate": pl.String, "origin": pl.Int64}
    pairs = pl.DataFrame(faults.revised, schema=schema, orient="row").with_columns(
        pl.from_epoch("origin", "us").dt.replace_time_zone("UTC")
    )
    for table in tables:
        is_gap = pl.col(MODEL).arr.first().is_nan()
        unanswered.add(table.filter(is_gap))
        answered = table.filter(~is_gap)
        revised.add(answered.join(pairs, on=ORIGIN_KEYS, how="semi", maintain_order="left"))
        whole.add(answered.join(pairs, on=ORIGIN_KEYS, how="anti", maintain_order="left"))
    of_baselines = unanswered.losses()
    of_model = of_baselines.filter(pl.col("forecaster") == baselines[0]).with_columns(
        *(pl.lit(None, pl.Float64).alias(name) for name in _LOSSES), forecaster=pl.lit(MODEL)
    )
    is_model = pl.col("forecaster") == MODEL
    left_out = revised.losses().with_columns(
        pl.when(is_model).then(pl.col(name)).alias(name) for name in ("sql", "mase")
    )
    losses = pl.concat([whole.losses(), of_baselines, of_model, left_out])
    return losses.sort(*ORIGIN_KEYS, "forecaster"), whole.profile


def answered_forecasts(tables: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Yield the rows of forecasts that the model gave."""
    for table in tables:
        yield table.filter(pl.col(MODEL).arr.first().is_not_nan())


def answered(losses: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of the pairs of series and origin that have a loss of every forecaster."""
    gaps = losses.filter(pl.col("sql").is_null()).select(ORIGIN_KEYS).unique()
    return losses.join(gaps, on=ORIGIN_KEYS, how="anti", maintain_order="left")
