"""The backtest asks the model for the judged pairs only, shows it the past only, and aligns."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.config import EvaluateParams
from toto_core.data.splits import Splits
from toto_core.data.tables import Item
from toto_core.errors import DataError
from toto_core.evaluation.backtest import backtest, forecasts_schema
from toto_core.evaluation.metrics import QUANTILE_LEVELS
from toto_core.evaluation.verdict import MANDATORY

START = datetime(2024, 1, 1, tzinfo=UTC)
H, NUM_STEPS, CONTEXT = 4, 60, 20
HOUR_US = 3_600_000_000


def hour(index):
    return START + timedelta(hours=index)


def splits(**changes):
    values = {
        "prediction_length": H,
        "stride": H,
        "overlap": 1,
        "freq": "1h",
        "step_us": HOUR_US,
        "validation_start": hour(20),
        "test_start": hour(40),
        "test_end": hour(NUM_STEPS),
        "test_origins": tuple(hour(k) for k in (40, 44, 48, 52, 56)),
        "validation_origins": (hour(30),),
        "min_context": 10,
        "held_out_groups": (),
        "held_out_items": (),
        "train_items": ("a", "b"),
        "folds": (),
    }
    return Splits(**(values | changes))


def item(name="a", *, roles=("target",), num_steps=NUM_STEPS, first=0, seed=0):
    rng = np.random.default_rng([seed, ord(name[0])])
    values = 10 + rng.standard_normal((len(roles), num_steps)).cumsum(axis=1)
    start_us = int(START.timestamp() * 1e6) + first * HOUR_US
    return Item(
        item_id=name,
        freq="1h",
        group=name,
        source="test",
        timestamps=start_us + HOUR_US * np.arange(num_steps, dtype=np.int64),
        values=values.astype(np.float32),
        variates=tuple(f"v{k}" for k in range(len(roles))),
        roles=roles,
    )


def last_value(contexts, known_future=None):
    """No change with a spread of one, for every variate."""
    spread_QH = np.repeat(np.arange(-4.0, 5.0)[:, None], H, axis=1)
    return [np.nan_to_num(context[:, -1])[:, None, None] + spread_QH for context in contexts]


def run(items, predict=last_value, *, baselines=MANDATORY):
    params = EvaluateParams(
        baselines=baselines,
        seasonality=None,
        naive_window=30,
        moving_window=5,
        auto_budget=9.0,
        batch_size=8,
    )
    return backtest(
        items, splits().test_origins_us, splits(), predict, context_length=CONTEXT, params=params
    )


def test_table_has_one_row_for_each_series_origin_and_step():
    table = run([item("b", roles=("target", "past_covariate", "target")), item("a")])
    assert table.schema == forecasts_schema(("model", *MANDATORY))
    assert table.height == 3 * 5 * H
    keys = table.select("item_id", "variate", "origin", "step")
    assert keys.equals(keys.sort(keys.columns))
    assert set(keys.filter(pl.col("item_id") == "b")["variate"]) == {"v0", "v2"}


def test_targets_and_quantiles_stand_at_their_time():
    series = item("a")
    table = run([series])
    for row in table.iter_rows(named=True):
        ahead = timedelta(hours=row["step"] - 1)
        assert row["timestamp"] == row["origin"] + ahead
        index = int((row["timestamp"] - START) / timedelta(hours=1))
        position = index - row["step"] + 1
        assert row["target"] == series.values[0, index]
        expected = series.values[0, position - 1] + np.arange(-4, 5)
        np.testing.assert_allclose(row["model"], expected, rtol=1e-6)
        assert row["naive"][4] == series.values[0, position - 1]


def test_model_sees_the_newest_context_before_the_origin_and_nothing_else():
    series, seen = item("a", roles=("target", "past_covariate")), []

    def predict(contexts):
        seen.extend(contexts)
        return last_value(contexts)

    run([series], predict)
    assert len(seen) == 5
    for context, position in zip(seen, (40, 44, 48, 52, 56), strict=True):
        np.testing.assert_array_equal(context, series.values[:, position - CONTEXT : position])


def test_only_variates_known_ahead_show_their_future():
    series, seen = item("a", roles=("target", "past_covariate", "known_covariate")), []

    def predict(contexts, *, known_future):
        seen.extend(known_future)
        return last_value(contexts)

    run([series], predict)
    assert len(seen) == 5
    assert np.isnan(seen[0][:2]).all()
    np.testing.assert_array_equal(seen[0][2], series.values[2, 40:44])


def test_changing_the_future_changes_no_forecast():
    series = item("a", roles=("target", "past_covariate"))
    values = series.values.copy()
    values[:, 48:] += 100
    changed = Item(**{**series.__dict__, "values": values})
    before, after = run([series]), run([changed])
    early = pl.col("origin") <= hour(48)
    names = ("model", "naive", "drift", "seasonal_naive")
    assert before.filter(early).select(names).equals(after.filter(early).select(names))
    assert not before.filter(~early).select(names).equals(after.filter(~early).select(names))


def test_pairs_without_enough_past_or_future_are_not_judged():
    late = item("a", first=36, num_steps=24)
    table = run([late, item("b", num_steps=50)])
    origins = {
        name: rows["origin"].unique().sort().to_list()
        for (name,), rows in table.partition_by("item_id", as_dict=True).items()
    }
    assert origins == {"a": [hour(48), hour(52), hour(56)], "b": [hour(40), hour(44)]}


def test_missing_targets_are_null_and_a_variate_without_a_past_is_left_out():
    series = item("a", roles=("target", "target"))
    series.values[0, 41] = np.nan
    series.values[1, :46] = np.nan
    table = run([series])
    first = table.filter((pl.col("variate") == "v0") & (pl.col("origin") == hour(40)))
    assert first["target"].is_null().to_list() == [False, True, False, False]
    second = table.filter(pl.col("variate") == "v1")
    assert second["origin"].unique().sort().to_list() == [hour(48), hour(52), hour(56)]


def test_chunks_of_contexts_do_not_change_the_table(monkeypatch):
    items = [item(name) for name in "abc"]
    whole, sizes = run(items), []

    def predict(contexts):
        sizes.append(len(contexts))
        return last_value(contexts)

    monkeypatch.setattr("toto_core.evaluation.backtest.MAX_CONTEXTS", 6)
    assert run(items, predict).equals(whole)
    assert sizes == [10, 5]


def test_nothing_to_judge_gives_an_empty_table():
    table = run([item("a", num_steps=30)])
    assert table.height == 0
    assert table.schema == forecasts_schema(("model", *MANDATORY))


def spoil(change):
    def predict(contexts):
        return [change(answer) for answer in last_value(contexts)]

    return predict


def with_nan(answer):
    answer[0, 3, 2] = np.nan
    return answer


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        pytest.param(
            spoil(with_nan),
            "quantiles of a/v0 are not finite at 5 of 5 origins, first at 2024-01-02T16:00:00",
            id="NaN",
        ),
        pytest.param(
            spoil(lambda answer: answer[:, ::-1]),
            "quantiles of a/v0 are crossing at 5 of 5 origins",
            id="crossing",
        ),
        pytest.param(
            spoil(lambda answer: answer[:, :, 1:]),
            r"quantiles of a have shape \(1, 9, 3\), \(1, 9, 4\) \(variates, levels, steps\)",
            id="shape",
        ),
        pytest.param(
            lambda contexts: last_value(contexts)[1:],
            "the model gave 4 forecasts for 5 contexts",
            id="count",
        ),
    ],
)
def test_impossible_quantiles_are_refused_and_never_mended(predict, message):
    with pytest.raises(DataError, match=message):
        run([item("a")], predict)


def test_the_baselines_that_are_asked_for_stand_in_the_table():
    more = (*MANDATORY, "moving_average", "naive_gaussian")
    table = run([item("a")], baselines=more)
    assert table.schema == forecasts_schema(("model", *more))
    assert table.drop("moving_average", "naive_gaussian").equals(run([item("a")]))
    mean = item("a").values[0, 35:40].mean()
    np.testing.assert_allclose(table["moving_average"].to_numpy()[0, 4], mean, rtol=1e-6)


def test_level_order_is_rising():
    table = run([item("a")])
    for name in ("model", "naive", "drift", "seasonal_naive"):
        quantiles = table[name].to_numpy()
        assert quantiles.shape[1] == len(QUANTILE_LEVELS)
        assert (np.diff(quantiles, axis=1) >= 0).all()
