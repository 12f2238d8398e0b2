"""The stage writes what passed and what did not, and refuses data that are mostly faults."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flows import paths, validate
from toto_core.config import load_params
from toto_core.data import rules
from toto_core.data.shards import REJECTED_FILE, REJECTED_SCHEMA, write_items, write_shard
from toto_core.data.tables import SORT_KEYS, read_items
from toto_core.errors import ConfigError, DataError

PROJECT = Path(__file__).parents[2]
SHARED = PROJECT / "../shared/data"
START_US = 1_700_000_000_000_000


def params(**changes):
    loaded = load_params(PROJECT / "params.yaml")
    section = {"bounds": {}, "min_length": 10, **changes}
    checked = type(loaded.validate_).model_validate(loaded.validate_.model_dump() | section)
    return loaded.model_copy(update={"validate_": checked})


def fleet(num_items=4, num_steps=60, seed=0):
    """Hourly items of two variates each."""
    rng = np.random.default_rng(seed)
    frames = [
        pl.DataFrame(
            {
                "item_id": f"s{item}",
                "variate": variate,
                "timestamp": pl.Series(START_US + np.arange(num_steps) * 3_600_000_000),
                "value": rng.standard_normal(num_steps).astype(np.float32),
            }
        )
        for item in range(num_items)
        for variate in ("cpu", "memory")
    ]
    return pl.concat(frames).cast({"timestamp": pl.Datetime("us", "UTC")})


def write_series(root, *shards, freq="1h", more_items=(), rejected=None):
    directory = root / paths.SERIES
    directory.mkdir(parents=True)
    for index, shard in enumerate(shards):
        write_shard(directory, index, shard)
    items = pl.concat(shards).select("item_id", "variate").unique()
    extra = pl.DataFrame(list(more_items), schema=items.schema, orient="row")
    write_items(
        directory,
        pl.concat([items, extra]).with_columns(
            role=pl.lit("target"),
            freq=pl.lit(freq),
            group=pl.col("item_id"),
            source=pl.lit("test"),
        ),
    )
    table = pl.DataFrame(list(rejected or ()), schema=REJECTED_SCHEMA, orient="row")
    table.write_parquet(directory / REJECTED_FILE)


def metrics(root):
    return json.loads((root / paths.METRICS / "validate.json").read_text())


def quarantine(root, name="rows"):
    return pl.read_parquet(root / paths.QUARANTINE / f"{name}.parquet")


def set_value(table, item, variate, step, value):
    number = pl.int_range(pl.len()).over("item_id", "variate")
    here = (pl.col("item_id") == item) & (pl.col("variate") == variate) & (number == step)
    return table.with_columns(
        value=pl.when(here).then(pl.lit(value, pl.Float32)).otherwise("value")
    )


def test_stage_leaves_items_on_their_grids_and_the_rest_in_quarantine(tmp_path):
    table = set_value(fleet(), "s1", "cpu", 5, float("inf"))
    table = table.with_columns(
        value=pl.when((pl.col("item_id") == "s2") & (pl.col("variate") == "memory"))
        .then(1.0)
        .otherwise("value")
        .cast(pl.Float32)
    )
    write_series(
        tmp_path,
        table,
        more_items=[("empty", "cpu")],
        rejected=[("s0", "cpu", "soon", "3", "unparsable_timestamp", "a.csv")],
    )
    summary = validate.run(params(max_quarantined=0.2), tmp_path)
    items = {item.item_id: item for item in read_items(tmp_path / paths.VALID)}
    assert list(items) == ["s0", "s1", "s2", "s3"]
    assert items["s2"].variates == ("cpu",)
    assert items["s1"].values.shape == (2, 60)
    assert np.flatnonzero(np.isnan(items["s1"].values[0])).tolist() == [5]
    found = metrics(tmp_path)
    assert {name: found[name] for name in found if name.startswith(("rows", "series"))} == {
        "rows_in": 481,
        "rows_valid": 419,
        "rows_quarantined": 62,
        "rows_repaired": 0,
        "rows_without_value": 0,
        "series_in": 9,
        "series_valid": 7,
        "series_quarantined": 2,
        "series_mostly_zero": 0,
    }
    assert set(found["rules"]) == {*rules.ROW_RULES, *rules.SERIES_RULES}
    assert found["rules"]["too_short"] == {"rows": 0, "series": 1}
    assert found["rules"]["constant"] == {"rows": 60, "series": 1}
    assert found["rules"]["infinite_value"] == {"rows": 1, "series": 1}
    assert found["rules"]["unparsable_timestamp"] == {"rows": 1, "series": 1}
    assert {name: n for name, n in found["repairs"].items() if n} == {"gap_fill": 1}
    assert set(found["repairs"]) == set(rules.REPAIRS)
    assert quarantine(tmp_path).schema == rules.QUARANTINED_ROWS
    assert quarantine(tmp_path).height == 62
    assert quarantine(tmp_path, "series").select("item_id", "variate", "rule").rows() == [
        ("empty", "cpu", "too_short"),
        ("s2", "memory", "constant"),
    ]
    plot = pl.read_csv(tmp_path / paths.PLOTS / "quarantine.csv")
    assert plot.columns == ["rule", "rows", "series"]
    assert plot["rule"].to_list() == sorted(found["rules"])
    assert plot.rows(named=True) == list(summary.tables["quarantine-counts"])
    assert summary.text == (
        "419 of 481 rows and 7 of 9 series are valid, 62 rows in quarantine; repairs: gap_fill 1"
    )


def test_stage_writes_the_same_bytes_again(tmp_path):
    table = set_value(fleet(), "s1", "cpu", 5, float("inf"))
    found = []
    for name in ("first", "second"):
        write_series(tmp_path / name, table)
        validate.run(params(drop_last=1), tmp_path / name)
        outs = sorted(p for p in (tmp_path / name).rglob("*") if p.is_file())
        found.append({p.relative_to(tmp_path / name): p.read_bytes() for p in outs})
    assert found[0] == found[1]
    assert len(found[0]) == 10


def test_untouched_shard_is_copied_as_it_lies(tmp_path):
    write_series(tmp_path, fleet(), set_value(fleet(6)[-120:], "s5", "cpu", 5, float("inf")))
    sources = sorted((tmp_path / paths.SERIES).glob("part-*"))
    validate.run(params(), tmp_path)
    written = [tmp_path / paths.VALID / source.name for source in sources]
    assert [a.read_bytes() == b.read_bytes() for a, b in zip(sources, written, strict=True)] == [
        True,
        False,
    ]
    assert written[0].stat().st_nlink == 1
    assert pl.read_parquet(written[1])["value"].is_nan().sum() == 1
    for source in sources:  # written otherwise, to tell a copy from what was written again
        pl.read_parquet(source).write_parquet(source, compression="lz4")
    validate.run(params(), tmp_path)
    assert written[0].read_bytes() == sources[0].read_bytes()


@pytest.mark.parametrize("cut", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_outcome_does_not_depend_on_the_shards(seed, cut, tmp_path):
    rng = np.random.default_rng(seed)
    table = fleet(seed=seed).filter(pl.Series(rng.random(480) > 0.05))
    table = pl.concat([table, table.sample(20, seed=seed)]).sort(SORT_KEYS, maintain_order=True)
    outcomes = []
    is_early = pl.col("item_id") < f"s{cut}"
    for name, shards in {
        "one": [table],
        "two": [table.filter(is_early), table.filter(~is_early)],
    }.items():
        root = tmp_path / name
        write_series(root, *shards, freq="1B")
        validate.run(params(max_quarantined=1, min_length=1, max_irregular_share=1), root)
        valid = pl.concat([pl.read_parquet(p) for p in sorted((root / paths.VALID).glob("part-*"))])
        outcomes.append((valid, quarantine(root), metrics(root)))
    assert outcomes[0][0].equals(outcomes[1][0], null_equal=True)
    assert outcomes[0][1].equals(outcomes[1][1])
    assert outcomes[0][2] == outcomes[1][2]


def test_too_many_faults_end_the_stage_and_keep_the_valid_series_of_before(tmp_path):
    table = fleet()
    for step in range(30):
        table = set_value(table, "s0", "cpu", step, float("inf"))
        table = set_value(table, "s1", "cpu", step + 1, 1e6) if step < 20 else table
    write_series(tmp_path, table)
    valid = tmp_path / paths.VALID
    valid.mkdir(parents=True)
    (valid / "before").touch()
    changed = params(bounds={"cpu": (-10, 10)}, max_missing_share=1, max_quarantined=0.1)
    with pytest.raises(DataError) as refused:
        validate.run(changed, tmp_path)
    assert str(refused.value) == (
        "validate: quarantined = 0.1042 of 480 rows, at most validate.max_quarantined = 0.1; "
        "the worst rules are infinite_value (30 rows), out_of_bounds (20 rows), for example in "
        "s0/cpu: value = inf, a finite number is needed; see reports/validation.html, or the "
        "column reason of data/quarantine/rows.parquet, mend the data or params.yaml: validate"
    )
    assert refused.value.exit_code == 3
    assert quarantine(tmp_path).height == 50
    assert '<h3 class="rule">out_of_bounds</h3>' in (tmp_path / paths.VALIDATION_REPORT).read_text()
    assert [path.name for path in valid.iterdir()] == ["before"]


def test_points_that_are_not_final_are_no_faults(tmp_path):
    write_series(tmp_path, fleet())
    validate.run(params(drop_last=30, max_quarantined=0.01), tmp_path)
    assert metrics(tmp_path)["rules"]["not_final"] == {"rows": 240, "series": 8}


def test_no_valid_series_ends_the_stage(tmp_path):
    table = fleet(num_items=2, num_steps=3)
    table = table.with_columns(value=pl.lit(1.0, pl.Float32))
    write_series(tmp_path, table)
    with pytest.raises(DataError) as refused:
        validate.run(params(min_length=4), tmp_path)
    assert str(refused.value) == (
        "validate: valid series = 0 of 4, at least 1 is needed; the worst rules are "
        "too_short (4 series), for example in s0/cpu: 3 points, at least 4; see "
        "reports/validation.html, or the column reason of data/quarantine/rows.parquet and "
        "series.parquet, mend the data or params.yaml: validate"
    )


def test_all_constant_series_end_the_stage(tmp_path):
    write_series(tmp_path, fleet().with_columns(value=pl.lit(1.0, pl.Float32)))
    with pytest.raises(DataError, match=r"valid series = 0 of 8, .* constant \(8 series\), for"):
        validate.run(params(), tmp_path)


def test_too_many_items_are_refused_before_anything_is_read(tmp_path):
    write_series(tmp_path, fleet())
    (tmp_path / paths.SERIES / "part-00000.parquet").unlink()
    with pytest.raises(DataError) as refused:
        validate.run(params(max_items=3), tmp_path)
    assert str(refused.value) == (
        "validate: items = 4, from 's0' to 's3', at most validate.max_items = 3; a label such as "
        "a request id makes every value an item of its own: leave it out of the source, or raise "
        "the limit"
    )
    assert refused.value.exit_code == 3


def test_run_at_the_limit_of_items_passes(tmp_path):
    write_series(tmp_path, fleet())
    assert validate.run(params(max_items=4), tmp_path).metrics["series_valid"] == 8


def test_what_the_settings_ask_to_set_aside_is_no_fault(tmp_path):
    rising = fleet().with_columns(pl.col("value").abs().cum_sum().over("item_id", "variate"))
    write_series(tmp_path, rising)
    changes = {"counters": ["cpu"], "max_quarantined": 0.0}
    validate.run(params(**changes), tmp_path)
    assert metrics(tmp_path)["rules"]["counter_start"] == {"rows": 4, "series": 4}
    assert metrics(tmp_path)["repairs"]["counter_increments"] == 4 * 59


def test_checksums_of_the_shards_add_up_to_that_of_the_whole(tmp_path):
    table = set_value(fleet(), "s1", "cpu", 5, float("inf"))
    found = []
    early = pl.col("item_id") < "s2"
    for name, shards in {
        "one": [table],
        "two": [table.filter(early), table.filter(~early)],
    }.items():
        write_series(tmp_path / name, *shards)
        validate.run(params(), tmp_path / name)
        found.append(metrics(tmp_path / name)["checksums"])
    assert found[0] == found[1]
    total = (int(found[0]["valid"], 16) + int(found[0]["quarantined"], 16)) % 2**64
    assert total == int(found[0]["rows_in"], 16) != 0


def test_unknown_variate_in_the_bounds_is_refused(tmp_path):
    write_series(tmp_path, fleet())
    with pytest.raises(ConfigError, match=r"validate.bounds.cpuu names no variate, the variates"):
        validate.run(params(bounds={"cpuu": (0, 1)}), tmp_path)


def test_missing_series_say_what_must_run_first(tmp_path):
    with pytest.raises(DataError, match=r"items.parquet: not found, the stage that writes it"):
        validate.run(params(), tmp_path)


@pytest.mark.parametrize("name", ["part-00000", "items", "rejected"])
def test_torn_series_are_named(tmp_path, name):
    write_series(tmp_path, fleet())
    path = tmp_path / paths.SERIES / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=rf"{name}.parquet: \d+ bytes without the marks of a whole"):
        validate.run(params(), tmp_path)
    assert not (tmp_path / paths.VALID).exists()


def raw(folder, freq, root):
    frames = []
    for path in sorted((SHARED / folder).glob("*.csv")):
        table = pl.read_csv(path, try_parse_dates=True)
        table = table.rename({table.columns[0]: "timestamp"}).with_columns(
            pl.col("timestamp").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        )
        for name in table.columns[1:]:
            frames.append(
                table.select(
                    item_id=pl.lit(path.stem),
                    variate=pl.lit(name),
                    timestamp="timestamp",
                    value=pl.col(name).cast(pl.Float32),
                )
            )
    table = pl.concat(frames).sort(SORT_KEYS, maintain_order=True)
    write_series(root, table, freq=freq)
    return table


needs = pytest.mark.skipif
CLOUD, STOCKS = "nab_aws", "yahoo_daily"


@needs(not (SHARED / CLOUD).exists(), reason="the CloudWatch files are not here")
def test_cloudwatch_series_are_repaired_and_kept(tmp_path):
    raw(CLOUD, "5min", tmp_path)
    validate.run(params(min_length=128), tmp_path)
    found = metrics(tmp_path)
    assert found["rows_valid"] == found["rows_in"] == 89_822
    assert found["series_valid"] == 19
    assert {name: n for name, n in found["repairs"].items() if n} == {
        "gap_fill": 19,
        "renumber_dst": 36,
    }
    assert found["series_mostly_zero"] == 2
    items = {item.item_id: item for item in read_items(tmp_path / paths.VALID)}
    missing = {name: int(np.isnan(item.values).sum()) for name, item in items.items()}
    assert {name: n for name, n in missing.items() if n} == {
        "ec2_cpu_utilization_825cc2": 2,
        "ec2_cpu_utilization_ac20cd": 5,
        "ec2_network_in_257a54": 2,
        "ec2_request_latency_system_failure": 1,
        "elb_request_count_8c0756": 8,
        "rds_cpu_utilization_cc0c53": 1,
    }


@needs(not (SHARED / STOCKS).exists(), reason="the stock files are not here")
def test_stock_bars_raise_no_alarm(tmp_path):
    table = raw(STOCKS, "1B", tmp_path)
    names = ("open", "high", "low", "close", "volume")
    validate.run(params(drop_last=1, ohlc={n: n for n in names}, min_length=128), tmp_path)
    found = metrics(tmp_path)
    assert {rule: n["rows"] for rule, n in found["rules"].items() if n["rows"]} == {
        "not_final": 260
    }
    assert found["missing"] == found["rows_repaired"] == 0
    last = table["timestamp"].max()
    valid = pl.read_parquet(tmp_path / paths.VALID / "part-00000.parquet")
    assert valid.equals(table.filter(pl.col("timestamp") < last))
