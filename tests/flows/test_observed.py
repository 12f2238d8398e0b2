"""What a stage shows in Prefect's UI."""

import pytest

from flows.observed import artifact_key, shown


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        pytest.param(0.5225530850262785, 0.5226, id="share"),
        pytest.param(7.2488e-10, 7.249e-10, id="p value"),
        pytest.param(46700123.0, 46700123.0, id="count in a float"),
        pytest.param(643522, 643522, id="count"),
        pytest.param("PASS", "PASS", id="text"),
    ],
)
def test_table_shows_the_digits_that_count(value: object, seen: object) -> None:
    assert shown(value) == seen


def test_artifact_key_names_the_stage_once_and_holds_what_prefect_allows() -> None:
    assert artifact_key("crossval@0", "metrics") == "crossval-0-metrics"
    assert artifact_key("train", "train-Loss_Curve") == "train-loss-curve"
