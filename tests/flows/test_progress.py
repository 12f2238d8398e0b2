"""What a run shows: a line now and then, and its use of the machine once that is known."""

import pytest

from flows import progress
from flows.progress import shown


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when a step is shown: one each."""
    now = {"s": 0.0}

    def monotonic():
        now["s"] += 1.0
        return now["s"]

    monkeypatch.setattr(progress.time, "monotonic", monotonic)
    return now


def show(records, *, max_steps=4, every=2):
    tracked = []
    with shown(
        "train", max_steps=max_steps, every=every, track=lambda v, s: tracked.append((s, v))
    ) as log:
        for record in records:
            log(record)
    return tracked


def steps(count):
    return [
        {"step": n, "loss": 0.5, "lr": 0.1, "grad_norm": 1.0, "points": 1e6}
        for n in range(1, count + 1)
    ]


def test_utilisation_is_the_share_of_what_the_machine_could_do(clock, caplog):
    caplog.set_level("INFO", logger="flows.progress")
    facts = {"flops_per_step": 3e9, "matrix_rate": 1e10}
    tracked = show([facts, *steps(4)])
    # One look at the clock for the rate, one for the speed: two seconds after the first step.
    assert tracked[1][1]["mfu"] == pytest.approx(3e9 / 2 / 1e10)
    assert ", MFU " in caplog.messages[0]


def test_without_facts_on_the_machine_nothing_is_said_of_utilisation(caplog):
    caplog.set_level("INFO", logger="flows.progress")
    tracked = show(steps(4))
    assert all("mfu" not in values for _, values in tracked)
    assert all("MFU" not in message for message in caplog.messages)


def test_number_of_steps_that_time_allows_takes_the_place_of_the_limit(caplog):
    caplog.set_level("INFO", logger="flows.progress")
    tracked = show([{"message": "2 fit", "max_steps": 2}, *steps(2)], max_steps=1000, every=100)
    assert caplog.messages[0] == "2 fit"
    assert caplog.messages[1].startswith("train: step 2/2, ")
    assert [step for step, _ in tracked] == [1, 2]
