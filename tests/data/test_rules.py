"""Settings that would check nothing are refused, and each row breaks one rule."""

import polars as pl
import pytest

from toto_core.config import ValidateParams
from toto_core.data import rules, shards
from toto_core.data.tables import SERIES_SCHEMA
from toto_core.errors import ConfigError, DataError

PARAMS = ValidateParams(
    min_length=1,
    max_missing_share=1,
    max_irregular_share=1,
    max_items=None,
    max_variates=None,
    bounds={},
    max_repeats={},
    max_spike={},
    counters=(),
    ohlc=None,
    splits=None,
    drop_last=0,
    max_quarantined=1,
)


def test_bounds_and_bars_that_name_no_variate_are_refused_together():
    params = PARAMS.model_validate(
        {
            **PARAMS.model_dump(),
            "bounds": {"cpuu": (0, 100), "memory": (0, 100)},
            "ohlc": {"open": "cpu", "high": "High", "low": "cpu", "close": "cpu"},
        }
    )
    with pytest.raises(ConfigError) as refused:
        rules.check_names(params, {"memory", "cpu"})
    assert str(refused.value).splitlines() == [
        "params.yaml: validate.bounds.cpuu names no variate, the variates are cpu, memory; "
        "mend the name or remove it",
        "params.yaml: validate.ohlc.high = 'High' names no variate, the variates are cpu, memory; "
        "mend the name or remove it",
    ]


def test_other_rules_that_name_no_variate_are_refused_together():
    params = PARAMS.model_copy(
        update={"max_repeats": {"cpuu": 3}, "max_spike": {"mem": 9.0}, "counters": ("req", "cpu")}
    )
    with pytest.raises(ConfigError) as refused:
        rules.check_names(params, {"cpu"})
    assert str(refused.value).splitlines() == [
        f"params.yaml: validate.{key} names no variate, the variates are cpu; "
        "mend the name or remove it"
        for key in ("max_repeats.cpuu", "max_spike.mem", "counters = 'req'")
    ]


def test_counters_and_volumes_have_a_floor():
    params = PARAMS.model_copy(update={"counters": ("hits",)})
    limits = rules.limits(params, pl.Series(["cpu", "hits"]))
    assert limits["floor"].to_list() == [-float("inf"), 0.0]
    assert rules.has_limits(params)
    assert not rules.has_limits(PARAMS)


def test_rules_of_ingest_are_rules_of_validation():
    found = (shards.UNPARSABLE_TIMESTAMP, shards.NOT_A_NUMBER, shards.MISSING_ITEM_ID)
    assert found == rules.ROW_RULES[:3]


def test_names_that_exist_are_accepted():
    rules.check_names(PARAMS.model_copy(update={"bounds": {"cpu": (0, 0)}}), {"cpu"})


def table(values, timestamps):
    return pl.DataFrame(
        {"timestamp": timestamps, "value": values},
        schema={"timestamp": pl.Int64, "value": SERIES_SCHEMA["value"]},
    ).cast({"timestamp": SERIES_SCHEMA["timestamp"]})


def test_row_that_breaks_several_rules_is_counted_for_the_first():
    rows = table([float("inf"), float("inf"), -5.0, 2.0], [None, 1, 2, 3]).with_columns(
        pl.Series("lowest", [0.0] * 4, pl.Float32),
        pl.Series("highest", [1.0] * 4, pl.Float32),
        pl.Series("floor", [0.0] * 4, pl.Float32),
    )
    assert rules.row_faults(rows, bounded=True).rows() == [
        (0, "missing_timestamp"),
        (1, "infinite_value"),
        (2, "negative_volume"),
        (3, "out_of_bounds"),
    ]


def test_missing_value_breaks_no_rule():
    rows = table([float("nan"), None], [1, 2]).with_columns(
        pl.Series("lowest", [0.0] * 2, pl.Float32),
        pl.Series("highest", [1.0] * 2, pl.Float32),
        pl.Series("floor", [0.0] * 2, pl.Float32),
    )
    assert rules.row_faults(rows, bounded=True).is_empty()


def test_columns_of_another_type_are_refused():
    rows = table([1.0], [1]).cast({"value": pl.Float64})
    with pytest.raises(DataError, match=r"data/series: columns fail dtype\('Float32'\), the lay"):
        rules.row_faults(rows, bounded=False)
