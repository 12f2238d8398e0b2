"""A limit of time becomes a number of steps, and the run that it gives can be repeated."""

import json

import pytest
import torch
from safetensors.torch import save
from tiny_model import TinyModel, TinyWindows, make_batch, make_settings

from toto_core.errors import ConfigError
from toto_core.training.budget import within_budget
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import final_weights, train

CPU = torch.device("cpu")
VALIDATION = [make_batch(10**6, horizon=8)]


class Clock:
    """Seconds that pass only where something takes them."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


class SlowWindows(TinyWindows):
    """The first batch takes 10 seconds, each other one a second."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def batch(self, step):
        self.clock.now_s += 10.0 if step == 0 else 1.0
        return super().batch(step)


def planned(folder, *, windows=None, validation=(), validation_s=0.0, records=None, **changes):
    """The settings that come out, and the model, which the trial must leave alone."""
    clock, model = Clock(), TinyModel()
    windows = windows or SlowWindows(clock)

    def trial(model, settings, store, log):
        def slow_to_validate(record):
            clock.now_s += validation_s * ("val_loss" in record)
            log(record)

        given = {"seed": 0, "store": store, "device": CPU, "log": slow_to_validate}
        train(model, windows, validation, settings, **given)

    settings = within_budget(
        model,
        make_settings(**changes),
        CheckpointStore(folder, interval_s=3600.0),
        trial=trial,
        log=(records if records is not None else []).append,
        clock=clock,
    )
    return settings, model


def test_without_a_limit_nothing_is_tried(tmp_path):
    settings = make_settings(max_steps=20)
    store = CheckpointStore(tmp_path / "run", interval_s=0.0)
    given = within_budget(TinyModel(), settings, store, trial=pytest.fail, log=pytest.fail)
    assert given is settings
    assert not (tmp_path / "run").exists()


def test_steps_fill_what_the_trial_leaves_of_the_time(tmp_path):
    """5 minutes - 29 s of the trial - 14 s of warming up again = 257 s at a second a step."""
    records = []
    settings, _ = planned(tmp_path, max_steps=10_000, max_minutes=5.0, records=records)
    assert settings.max_steps == 300 - 29 - 14
    assert records == [
        {
            "max_steps": 257,
            "message": "train: 257 of 10000 steps fit into max_minutes = 5; max_steps: 257 "
            "without it gives the same bytes",
        }
    ]


def test_validations_take_their_part_of_the_time(tmp_path):
    """10 minutes - 69 s of the trial - 14 s of warming up; a step is 1 s + 40 s / 10."""
    changes = {"max_steps": 10_000, "max_minutes": 10.0, "validate_every": 10}
    settings, _ = planned(tmp_path, validation=VALIDATION, validation_s=40.0, **changes)
    assert settings.max_steps == (600 - 69 - 14) // 5


def test_max_steps_is_not_exceeded(tmp_path):
    assert planned(tmp_path, max_steps=30, max_minutes=60.0)[0].max_steps == 30


def test_trial_leaves_weights_and_scratch_as_they_were(tmp_path):
    _, model = planned(tmp_path, max_steps=100, max_minutes=5.0)
    assert torch.equal(model.weight, TinyModel().weight)
    assert [path.name for path in tmp_path.iterdir()] == ["budget.json"]


def test_killed_run_goes_on_with_the_number_it_had(tmp_path):
    planned(tmp_path, max_steps=10_000, max_minutes=5.0)
    again, _ = planned(tmp_path, max_steps=10_000, max_minutes=5.0, windows=pytest.fail)
    assert again.max_steps == 257


def test_torn_record_is_measured_anew(tmp_path):
    (tmp_path / "budget.json").write_text('{"max_st')
    assert planned(tmp_path, max_steps=10_000, max_minutes=5.0)[0].max_steps == 257
    assert json.loads((tmp_path / "budget.json").read_text()) == {"max_steps": 257}


def test_run_within_a_limit_has_the_bytes_of_one_with_so_many_steps(tmp_path):
    limited, _ = planned(tmp_path / "a", max_steps=10_000, max_minutes=1.0)
    plain = make_settings(max_steps=limited.max_steps)
    ends = []
    for name, settings in (("a", limited), ("b", plain)):
        store = CheckpointStore(tmp_path / name, interval_s=3600.0)
        state = train(
            TinyModel(),
            TinyWindows(),
            VALIDATION,
            settings,
            seed=0,
            store=store,
            device=CPU,
            log=lambda record: None,
        )
        ends.append((save(final_weights(state, store)), state.curve))
    assert 10 < limited.max_steps == len([p for p in ends[0][1] if p.split == "train"])
    assert ends[0] == ends[1]


def test_limit_too_short_for_a_step_is_one_line(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"^train: max_minutes = 0\.5, more is needed for a single step; raise it$",
    ):
        planned(tmp_path, max_minutes=0.5)
