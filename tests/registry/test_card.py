"""The model card: licences, worst series and text for readers."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from toto_core.registry.card import _limits_of_bases, bases, licence_of, worst_series


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
    [
        ("demo", "none"),
        ("data/raw/nab/a.csv", "MIT"),
        ("data/raw/a.csv", "broad"),
        ("data/raw/nab/sub/a.csv", "deepest"),
        ("data/rawer/a.csv", "not stated"),
        ("data/raw/cloudwatch/x.csv", "CC0"),
        ("data/raw/cloudwatch/deep/x.csv", "CC0"),
        ("data/raw/cloudwatch", "CC0"),
        ("data/raw/cloudwatcher/x.csv", "broad"),
        ("other/cloudwatch/y.csv", "its own"),
        ("demo-2/x.csv", "not stated"),
    ],
)
def test_licence_of_a_source_is_that_of_its_folder(source, licence):
    licences = {
        "data/raw/nab/": "MIT",
        "demo": "none",
        "data/raw": "broad",
        "cloudwatch": "CC0",
        "sub": "deepest",
        "cloudwatch/y.csv": "its own",
    }
    assert licence_of(source, licences) == licence


def test_every_base_of_unknown_training_data_is_a_limit():
    first = {"init": "owner/base", "last_training_time": None, "base": None}
    second = {"init": "models/mine", "last_training_time": "2025-01-01T00:00:00Z", "base": first}
    assert [base["init"] for base in bases({"base": second})] == ["models/mine", "owner/base"]
    [line] = _limits_of_bases({"base": second})
    assert line.startswith("Fine-tuned from owner/base, of whose training data nothing is known")
    assert _limits_of_bases({"base": None}) == _limits_of_bases({}) == []
