"""Which forecasts are shown."""

from datetime import UTC, datetime, timedelta

import polars as pl

from toto_core.report.fans import BEST, KINDS, REST, SINGLE, TYPICAL, WORST, choose_fans


def losses(skills):
    """One series for each list of skills, one origin for each skill."""
    frames = []
    for name, values in skills.items():
        origins = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(len(values))]
        frames += [
            pl.DataFrame(
                {
                    "item_id": name,
                    "group": name,
                    "variate": "x",
                    "held_out": name == "s0",
                    "origin": origins,
                    "forecaster": forecaster,
                    "source": "candidate",
                    "cov80": 0.8,
                    "sql": [1.0 - value if forecaster == "model" else 1.0 for value in values],
                }
            )
            for forecaster in ("model", "naive")
        ]
    return pl.concat(frames)


def chosen(table):
    """Fans of whole series, without the single largest errors."""
    return [fan for fan in choose_fans(table) if fan.kind != SINGLE]


def test_choose_fans_adds_the_largest_single_errors_once_for_each_series():
    table = losses({"a": [0.5, -7.0, -8.0], "b": [0.1, 0.2, 0.3], "c": [-2.0, 0.9, 0.9]})
    worst = [fan for fan in choose_fans(table, per_kind=2) if fan.kind == SINGLE]
    assert [(fan.item_id, fan.origin.day, fan.loss, fan.naive) for fan in worst] == [
        ("a", 3, 9.0, 1.0),
        ("c", 1, 3.0, 1.0),
    ]
    assert [round(fan.skill, 3) for fan in worst] == [-4.833, -0.067]


def test_choose_fans_ranks_series_by_skill():
    fans = chosen(losses({f"s{n}": [n / 20] * 3 for n in range(15)}))
    assert [fan.item_id for fan in fans if fan.kind == BEST] == ["s14", "s13", "s12", "s11"]
    assert [fan.item_id for fan in fans if fan.kind == TYPICAL] == ["s9", "s8", "s7", "s6"]
    assert [fan.item_id for fan in fans if fan.kind == WORST] == ["s3", "s2", "s1", "s0"]
    assert [fan.held_out for fan in fans if fan.item_id == "s0"] == [True]


def test_choose_fans_shows_a_series_where_it_is_as_good_as_usual():
    (fan,) = chosen(losses({"only": [0.9, 0.1, -3.0, 0.12, 0.9]}))
    assert fan.origin == datetime(2026, 1, 2, tzinfo=UTC)
    assert round(fan.skill, 3) == -0.196


def test_choose_fans_shows_no_series_twice():
    for num_series in range(1, 14):
        fans = chosen(losses({f"s{n:02d}": [n / 20] for n in range(num_series)}))
        names = [fan.item_id for fan in fans]
        assert REST not in [fan.kind for fan in fans]
        assert len(set(names)) == len(names)
        assert len(names) == min(12, num_series if num_series < 3 else num_series // 3 * 3)


def test_choose_fans_shows_every_variate():
    table = losses({f"s{n:02d}": [n / 40] * 3 for n in range(30)}).with_columns(
        variate=pl.when(pl.col("item_id").is_in(["s05", "s06", "s07", "s20"]))
        .then(pl.when(pl.col("item_id") == "s20").then(pl.lit("w")).otherwise(pl.lit("z")))
        .otherwise(pl.lit("x"))
    )
    fans = chosen(table)
    assert {fan.variate for fan in fans if fan.kind in KINDS} == {"x"}
    rest = [(fan.item_id, fan.variate) for fan in fans if fan.kind == REST]
    assert rest == [("s06", "z"), ("s20", "w")]


def test_choose_fans_of_very_many_variates_adds_the_lowest():
    table = losses({f"s{n:02d}": [n / 50] for n in range(40)})
    table = table.with_columns(variate=pl.col("item_id"))
    rest = [fan.variate for fan in chosen(table) if fan.kind == REST]
    assert rest == [f"s{n:02d}" for n in range(4, 16)]


def test_choose_fans_without_a_usable_series_is_empty():
    table = losses({"a": [0.1]}).with_columns(pl.lit(None, pl.Float64).alias("sql"))
    assert choose_fans(table) == []
