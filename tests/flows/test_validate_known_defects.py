"""Files whose defects are written down: each is found by a rule or a repair, without exceptions.

The settings are those of a user who knows the kind of the data, not its faults: nothing here names
a file, a date or a value of it, except to say what must come out.
"""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows import ingest, paths, validate
from toto_core.config import load_params
from toto_core.data.tables import read_items

PROJECT = Path(__file__).parents[2]
DATA = PROJECT / "../shared/data"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the shared data are not here")


def found_in(root, folder, *, example="params.yaml", columns=None, **rules):
    """Ingest and validate a folder; return the metrics and the valid items by name."""
    params = load_params(PROJECT / example)
    section = params.validate_.model_dump() | {"bounds": {}} | rules
    source = params.ingest.model_dump() | {"source": "files", "paths": (str(DATA / folder),)}
    params = params.model_copy(
        update={
            "ingest": type(params.ingest).model_validate(source | (columns or {})),
            "validate_": type(params.validate_).model_validate(section),
        }
    )
    ingest.run(params, root)
    validate.run(params, root)
    metrics = json.loads((root / paths.METRICS / "validate.json").read_text())
    return metrics, {item.item_id: item for item in read_items(root / paths.VALID)}


def hits(metrics):
    """Quarantined rows by rule, rules without any aside."""
    return {rule: n["rows"] for rule, n in metrics["rules"].items() if n["rows"] or n["series"]}


def repairs(metrics):
    return {name: n for name, n in metrics["repairs"].items() if n}


def test_cloudwatch_hours_that_clocks_skip_are_numbered_and_gaps_stay_gaps(tmp_path):
    metrics, items = found_in(tmp_path, "nab_aws", example="examples/cloudwatch.yaml")
    assert metrics["rows_in"] == metrics["rows_valid"] == 89_822
    assert hits(metrics) == {}
    assert repairs(metrics) == {"gap_fill": 19, "renumber_dst": 36}
    assert {item.freq for item in items.values()} == {"5min"}
    missing = {name: int(np.isnan(item.values).sum()) for name, item in items.items()}
    assert {name: n for name, n in missing.items() if n} == {
        "ec2_cpu_utilization_825cc2": 2,
        "ec2_cpu_utilization_ac20cd": 5,
        "ec2_network_in_257a54": 2,
        "ec2_request_latency_system_failure": 1,
        "elb_request_count_8c0756": 8,
        "rds_cpu_utilization_cc0c53": 1,
    }
    assert metrics["series_mostly_zero"] == 2  # the two disk_write_bytes
    for name in ("ec2_disk_write_bytes_1ef3de", "ec2_network_in_5abac7"):
        assert set(np.diff(items[name].timestamps)) == {300_000_000}


def test_cloudwatch_bursts_and_quantised_values_raise_no_alarm(tmp_path):
    metrics, _ = found_in(tmp_path, "nab_aws", max_repeats={"value": 288})
    assert hits(metrics) == {}


def test_stocks_keep_their_trading_days_and_lose_the_unfinished_one(tmp_path):
    metrics, items = found_in(tmp_path, "yahoo_daily", example="examples/stocks.yaml")
    assert hits(metrics) == {"not_final": 52 * 5}
    assert repairs(metrics) == {}  # no holiday was filled, no news day taken for a split
    assert metrics["missing"] == 0
    assert {item.freq for item in items.values()} == {"1B"}
    lengths = {name: len(item.timestamps) for name, item in items.items()}
    assert (lengths["AEM"], lengths["ARM"], lengths["SOUN"]) == (1559, 628, 974)
    newest = max(int(item.timestamps[-1]) for item in items.values())
    assert np.datetime64(newest, "us").astype("datetime64[D]") == np.datetime64("2026-03-17")


def test_stocks_that_did_not_trade_break_a_bound(tmp_path):
    metrics, _ = found_in(
        tmp_path,
        "yahoo_daily",
        example="examples/stocks.yaml",
        bounds={"volume": (1, 1e12)},
    )
    assert hits(metrics) == {"not_final": 52 * 5, "out_of_bounds": 29}
    bad = pl.read_parquet(tmp_path / paths.QUARANTINE / "rows.parquet")
    assert bad.filter(rule="out_of_bounds")["item_id"].unique().to_list() == ["HIMS"]


def test_shells_whose_price_stands_still_are_stale(tmp_path):
    metrics, _ = found_in(
        tmp_path, "yahoo_daily", example="examples/stocks.yaml", max_repeats={"close": 4}
    )
    bad = pl.read_parquet(tmp_path / paths.QUARANTINE / "rows.parquet")
    stale = bad.filter(rule="stale")["item_id"].unique().sort().to_list()
    assert "HIMS" in stale
    assert metrics["rules"]["stale"]["rows"] < 100
    assert set(stale) <= {"HIMS", "GRAB", "RKLB", "IONQ"}  # the former shells, nobody else


def test_crypto_hours_lack_what_the_source_lacks(tmp_path):
    volume = {"volume": (1e-12, 1e12)}  # hours without a trade, of which there are many
    metrics, items = found_in(tmp_path, "crypto_hourly", bounds=volume, max_quarantined=0.1)
    missing = {name: np.isnan(item.values).sum(axis=1) for name, item in items.items()}
    uni = items["UNIUSD"]
    assert missing["UNIUSD"].tolist() == [15] * (uni.values.shape[0])
    assert {item.freq for item in items.values()} == {"1h"}
    bad = pl.read_parquet(tmp_path / paths.QUARANTINE / "rows.parquet")
    zeros = bad.filter(rule="out_of_bounds").group_by("item_id").len().sort("item_id")
    assert dict(zeros.iter_rows()) == {
        "BTCUSD": 1,
        "ETHUSD": 13,
        "LINKUSD": 339,
        "SOLUSD": 81,
        "UNIUSD": 588,
    }
    whole = pl.read_parquet(tmp_path / paths.QUARANTINE / "series.parquet")
    assert whole.select("item_id", "variate", "rule").rows() == [
        ("UNIUSD", "volume", "too_many_gaps")
    ]
    assert metrics["rows_in"] == metrics["rows_valid"] + metrics["rows_quarantined"]


def test_crypto_days_are_clean(tmp_path):
    metrics, items = found_in(tmp_path, "crypto_daily")
    assert hits(metrics) == repairs(metrics) == {}
    (item,) = items.values()
    assert (item.freq, len(item.timestamps)) == ("1D", 781)


def test_raw_prices_are_adjusted_at_each_split(tmp_path):
    names = {name: name.title() for name in ("open", "high", "low", "close", "volume")}
    metrics, items = found_in(
        tmp_path,
        "other_daily",
        columns={"targets": tuple(names.values())},
        ohlc=names,
        splits="adjust",
    )
    assert hits(metrics) == {}
    table = pl.read_csv(DATA / "other_daily/WIKI-AAPL.csv").sort("Date")
    last = table.with_row_index().filter(pl.col("Split Ratio") != 1)["index"].to_list()[-1]
    assert repairs(metrics) == {"split_adjust": 5 * last}
    (item,) = items.values()
    assert item.freq == "1B"
    close = item.values[item.variates.index("Close")].astype(float)
    factor = table.select(
        pl.col("Split Ratio").shift(-1, fill_value=1.0).reverse().cum_prod().reverse()
    )
    expected = table["Close"].to_numpy() / factor.to_series().to_numpy()
    np.testing.assert_allclose(close, expected, rtol=3e-7)
    # Without the repair the price falls by six sevenths in a night; with it never by more than
    # the news of 2000-09-29, which is no split.
    fall = np.log(close[:-1] / close[1:])
    assert np.exp(-fall.max()) == pytest.approx(0.48, abs=0.01)
