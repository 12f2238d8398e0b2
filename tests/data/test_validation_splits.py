"""A split is told from a crash and from a wrong bar, and undone."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from series_rows import check, rows, values_of

DATA = Path(__file__).parents[2] / "../shared/data"
OHLC = {"open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume"}
NUM_BARS = 60


def market(seed=0, *, num_bars=NUM_BARS, item="a"):
    """Bars of a stock as columns: it moves by about 1 % a day, at a steady turnover."""
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, num_bars)))
    start = np.append(close[0], close[:-1]) * np.exp(rng.normal(0, 0.003, num_bars))
    return {
        "item": item,
        "open": start,
        "close": close,
        "high": np.maximum(start, close) * 1.004,
        "low": np.minimum(start, close) * 0.996,
        "volume": 1e6 * np.exp(rng.normal(0, 0.2, num_bars)),
    }


def split(bars, day, ratio):
    """The same market if shares had been split before ``day``: history at the old scale."""
    then = np.arange(len(bars["close"])) < day
    changed = {name: np.where(then, bars[name] * ratio, bars[name]) for name in PRICES}
    return {**bars, **changed, "volume": np.where(then, bars["volume"] / ratio, bars["volume"])}


PRICES = ("open", "high", "low", "close")


def judged(*markets, splits: str | None = "adjust", without=(), **changes):
    frames = [
        rows(bars[name].tolist(), item=bars["item"], variate=name)
        for bars in markets
        for name in OHLC
        if name not in without
    ]
    return check(*frames, ohlc=OHLC, splits=splits, **changes)


def price(checked, name="close", item="a"):
    return np.array(values_of(checked, name, item))


@pytest.mark.parametrize("ratio", [2, 3, 7, 10, 20, 1 / 10])
def test_history_before_a_split_is_adjusted(ratio):
    bars = market()
    checked = judged(split(bars, 30, ratio))
    for name in OHLC:
        np.testing.assert_allclose(price(checked, name), bars[name], rtol=3e-7)
    assert checked.counts.repairs["split_adjust"] == 5 * 30
    assert not checked.is_unchanged
    assert checked.counts.rows_repaired == 5 * 30
    assert checked.quarantined_rows.is_empty()


def test_two_splits_multiply():
    bars = market()
    checked = judged(split(split(bars, 20, 2), 40, 7))
    np.testing.assert_allclose(price(checked), bars["close"], rtol=3e-7)
    assert checked.counts.repairs["split_adjust"] == 5 * 40


def test_bars_before_a_split_can_be_quarantined_instead():
    bars = market()
    checked = judged(split(bars, 30, 2), splits="quarantine", min_length=1)
    assert checked.counts.rule_rows == {"before_split": 5 * 30}
    reasons = checked.quarantined_rows["reason"]
    assert reasons[0].endswith("before a split, prices are divided by 2.0 later")
    np.testing.assert_array_equal(price(checked), bars["close"][30:].astype(np.float32))


def test_split_of_one_item_leaves_the_others():
    a, b = market(item="a"), market(1, item="b")
    checked = judged(a, split(b, 25, 4))
    np.testing.assert_array_equal(price(checked), a["close"].astype(np.float32))
    np.testing.assert_allclose(price(checked, item="b"), b["close"], rtol=3e-7)


def test_other_variates_of_the_item_stay():
    bars = split(market(), 30, 2)
    trades = rows(np.arange(NUM_BARS).tolist(), variate="trades")
    frames = [rows(bars[name].tolist(), variate=name) for name in OHLC]
    checked = check(*frames, trades, ohlc=OHLC, splits="adjust")
    np.testing.assert_array_equal(values_of(checked, "trades"), np.arange(NUM_BARS))


def test_splits_are_left_unless_asked_for():
    bars = split(market(), 30, 2)
    checked = judged(bars, splits=None)
    np.testing.assert_array_equal(price(checked), bars["close"].astype(np.float32))


def crash(bars, day, factor, turnover):
    """Prices fall by ``factor`` and stay, while many trade."""
    now = np.arange(len(bars["close"])) >= day
    changed = {name: np.where(now, bars[name] * factor, bars[name]) for name in PRICES}
    volume = np.where(now, bars["volume"] / factor, bars["volume"])
    volume[day] *= turnover
    return {**bars, **changed, "volume": volume}


@pytest.mark.parametrize(
    "bars",
    [
        pytest.param(crash(market(), 30, 0.5, 8), id="crash by half, heavily traded"),
        pytest.param(crash(market(), 30, 2.0, 8), id="doubling, heavily traded"),
        pytest.param(crash(market(), 30, 1 / 2.45, 1), id="no whole ratio"),
        pytest.param(crash(market(), 30, 2 / 3, 1), id="3:2"),
        pytest.param(crash(market(), 57, 0.5, 1), id="too few bars after"),
        pytest.param(market(), id="nothing"),
    ],
)
def test_what_is_no_split_stays(bars):
    checked = judged(bars)
    assert checked.counts.repairs["split_adjust"] == 0
    np.testing.assert_array_equal(price(checked), bars["close"].astype(np.float32))


def test_single_bar_at_half_the_price_is_no_split_but_an_outlier():
    bars = market()
    wrong = {name: bars[name].copy() for name in PRICES}
    for name in PRICES:
        wrong[name][30] /= 2
    checked = judged({**bars, **wrong}, max_spike={name: 10.0 for name in PRICES})
    assert checked.counts.repairs["split_adjust"] == 0
    assert checked.counts.rule_rows == {"lone_outlier": 4}
    assert np.isnan(price(checked)[30])


def test_split_is_no_outlier():
    checked = judged(split(market(), 30, 7), max_spike={name: 10.0 for name in PRICES})
    assert checked.quarantined_rows.is_empty()


def test_split_is_found_across_a_day_without_a_bar():
    bars = split(market(), 30, 2)
    frames = [rows(bars[n].tolist(), variate=n) for n in OHLC]
    frames = [f.filter(pl.int_range(pl.len()) != 29) for f in frames]
    checked = check(*frames, ohlc=OHLC, splits="adjust")
    assert checked.counts.repairs["split_adjust"] == 5 * 29


@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
def test_splits_of_apple_are_found_and_nothing_else():
    table = pl.read_csv(DATA / "other_daily/WIKI-AAPL.csv", try_parse_dates=True).sort("Date")
    frames = [
        rows(table[name.title()].to_list(), times=table["Date"].to_list(), variate=name)
        for name in OHLC
    ]
    checked = check(*frames, freq="1B", ohlc=OHLC, splits="adjust")
    splits = table.filter(pl.col("Split Ratio") != 1)
    assert splits["Split Ratio"].to_list() == [2, 2, 2, 7]
    later = table.select(pl.col("Split Ratio").shift(-1, fill_value=1.0))
    factor = later.to_series().reverse().cum_prod().reverse().to_numpy()
    np.testing.assert_allclose(price(checked), table["Close"].to_numpy() / factor, rtol=3e-7)
    np.testing.assert_allclose(price(checked, "volume"), table["Volume"].to_numpy() * factor, 3e-7)
    assert checked.counts.rule_rows == {}


@pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")
def test_news_in_adjusted_prices_is_no_split():
    frames = []
    for path in sorted((DATA / "yahoo_daily").glob("*.csv")):
        table = pl.read_csv(path, try_parse_dates=True)
        times = table[table.columns[0]].to_list()
        frames += [rows(table[n].to_list(), times=times, item=path.stem, variate=n) for n in OHLC]
    checked = check(*frames, freq="1B", ohlc=OHLC, splits="adjust")
    assert checked.counts.rows_repaired == 0
    assert checked.counts.rows_quarantined == 0
