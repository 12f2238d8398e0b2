"""Skill within parts of the test period, against hand-computed values and the evaluation's own."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.scores import compare
from toto_core.report.segments import (
    by_fold,
    by_segment,
    differential,
    origin_table,
    skill_with_interval,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = [START + timedelta(days=n) for n in range(20)]


def losses(model, naive, *, source="candidate", held_out=False, item="a"):
    return pl.concat(
        pl.DataFrame(
            {
                "item_id": item,
                "variate": "x",
                "origin": DAYS[: len(values)],
                "forecaster": name,
                "source": source,
                "held_out": held_out,
                "sql": np.asarray(values, dtype=np.float64),
            }
        )
        for name, values in (("model", model), ("naive", naive))
    )


def test_origin_table_averages_the_seen_series_of_one_source():
    table = origin_table(
        pl.concat(
            [
                losses([1.0, 2.0], [4.0, 4.0]),
                losses([3.0, 4.0], [4.0, 8.0], item="b"),
                losses([9.0, 9.0], [9.0, 9.0], held_out=True, item="c"),
                losses([7.0, 7.0], [7.0, 7.0], source="crossval"),
            ]
        ),
        source="candidate",
    )
    assert table["origin"].to_list() == DAYS[:2]
    assert table["model"].to_list() == [2.0, 3.0]
    assert table["naive"].to_list() == [4.0, 6.0]
    assert differential(table, "naive")[1].tolist() == [-2.0, -3.0]
    assert differential(table, "drift")[0] == []


def test_by_segment_cuts_the_origins_into_five():
    table = origin_table(losses([1.0] * 10 + [3.0] * 10, [2.0] * 20), source="candidate")
    rows = by_segment(table, "naive", overlap=1)
    assert [row["n"] for row in rows] == [4] * 5
    assert [row["skill"] for row in rows] == [0.5, 0.5, 0.0, -0.5, -0.5]
    assert (rows[1]["first"], rows[1]["last"]) == (DAYS[4], DAYS[7])


def test_by_fold_takes_the_origins_that_each_refit_was_asked_at():
    table = origin_table(losses([1.0] * 6 + [3.0] * 4, [2.0] * 10), source="candidate")
    origins = [[t.isoformat() for t in DAYS[:6]], [t.isoformat() for t in DAYS[6:10]], []]
    folds = [{"fold": n, "origins": part} for n, part in enumerate(origins)]
    assert [row["skill"] for row in by_fold(table, "naive", folds, overlap=1)] == [0.5, -0.5]


def test_skill_with_interval_is_that_of_the_evaluation():
    rng = np.random.default_rng(0)
    model, naive = rng.uniform(0.5, 1.5, (2, 20))
    rows = losses(model, naive).with_columns(
        pl.lit("g").alias("group"), pl.lit(1.0).alias("scale"), num_steps=pl.lit(1)
    )
    expected = compare(rows, "naive", overlap=2)
    found = skill_with_interval(model, naive, overlap=2)
    for key in ("skill", "lower", "upper", "p_value", "n"):
        assert found[key] == pytest.approx(expected[key], rel=1e-12, nan_ok=True), key


def test_skill_with_interval_of_too_little_is_not_a_number():
    found = skill_with_interval(np.array([1.0]), np.array([2.0]), overlap=1)
    assert found["skill"] == 0.5
    assert np.isnan([found["lower"], found["p_value"]]).all()
    assert np.isnan(skill_with_interval(np.ones(3), np.zeros(3), overlap=1)["skill"])
