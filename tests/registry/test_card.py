"""The model card: licences, worst series and text for readers."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from toto_core.registry.card import licence_of, worst_series


def losses(skills, held_out=()):
    frames = [
        pl.DataFrame(
            {
                "item_id": name,
                "group": name,
                "variate": "x",
                "held_out": name in held_out,
                "origin": [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(3)],
                "forecaster": forecaster,
                "source": "candidate",
                "sql": 2.0 * (1 - skill if forecaster == "model" else 1),
            }
        )
        for name, skill in skills.items()
        for forecaster in ("model", "naive")
    ]
    return pl.concat(frames)


def test_worst_series_come_lowest_first_and_say_what_is_held_out():
    table = losses({"good": 0.5, "bad": -4.0, "middle": 0.1}, held_out=["middle"])
    found = worst_series(table)
    assert [row["item_id"] for row in found] == ["bad", "middle", "good"]
    assert found[0]["skill"] == pytest.approx(-4)
    assert [row["held_out"] for row in found] == [False, True, False]
    assert found[0]["num_origins"] == 3


def test_worst_series_are_at_most_ten():
    assert len(worst_series(losses({f"s{n:02d}": n / 100 for n in range(15)}))) == 10


@pytest.mark.parametrize(
    ("source", "licence"),
    [("demo", "none"), ("data/raw/nab/a.csv", "MIT"), ("data/rawer/a.csv", "not stated")],
)
def test_licence_of_a_source_is_that_of_its_folder(source, licence):
    licences = {"demo": "none", "data/raw": "wrong", "data/raw/nab/": "MIT"}
    assert licence_of(source, licences) == licence
