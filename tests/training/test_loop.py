"""The loop learns, stops, keeps, refuses and resumes as it promises."""

import hashlib
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import run_tiny
import torch
from safetensors.torch import save
from tiny_model import TinyModel, TinyWindows, make_batch, make_settings

from toto_core.errors import TrainingError
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import final_weights, train
from toto_core.training.signals import StoppedError, TerminatedError, deferred_signals, stopped_by
from toto_core.training.step import (
    loss_sum,
    mean_loss,
    training_micro_batch,
    validation_micro_batch,
)

CPU = torch.device("cpu")
VALIDATION = [make_batch(10**6, horizon=8), make_batch(10**6 + 1, horizon=8)]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(folder, *, windows=None, validation=None, seed=0, log=None, interval_s=0.0, **changes):
    store = CheckpointStore(Path(folder), interval_s=interval_s)
    state = train(
        TinyModel(),
        windows or TinyWindows(),
        VALIDATION if validation is None else validation,
        make_settings(**changes),
        seed=seed,
        store=store,
        device=CPU,
        log=log or (lambda record: None),
    )
    return state, store


def digest(state, store):
    """Everything that two equal runs have in common, as one hash."""
    snapshot = state.snapshot()
    content = save({k: v.contiguous() for k, v in snapshot.tensors.items()})
    content += save(final_weights(state, store)) + repr(snapshot.values).encode()
    return hashlib.sha256(content).hexdigest()


def test_loss_falls(tmp_path):
    state, _ = run(tmp_path, max_steps=60, interval_s=3600.0)
    losses = [point.loss for point in state.curve if point.split == "train"]
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])


def test_steps_are_those_written_out_by_hand(tmp_path):
    """Draw, mask, clip, Adam with bias correction, schedule, average and validation in the open."""
    settings = make_settings(max_steps=8, validate_every=4, max_grad_norm=75.0)
    model, average = TinyModel(), TinyModel()
    moments = {name: (0.0, 0.0) for name, _ in model.named_parameters()}
    losses, val_losses = [], []
    for step in range(8):
        part = training_micro_batch(
            TinyWindows().batch(step), settings, patch_size=4, seed=(0, step), device=CPU
        )
        loss = loss_sum(model, part, settings)
        losses.append((loss / part.weight.sum()).item())
        parameters = dict(model.named_parameters())
        grads = torch.autograd.grad(loss, list(parameters.values()))
        norm = sum(grad.square().sum() for grad in grads).sqrt()
        factor = min(1.0, (step + 1) / 1, (8 - step) / 4)  # warm-up of 1 step, decay of 4
        for (name, parameter), grad in zip(parameters.items(), grads, strict=True):
            clipped = grad * min(1.0, (75.0 / norm).item())
            first, second = moments[name]
            first, second = 0.9 * first + 0.1 * clipped, 0.98 * second + 0.02 * clipped**2
            moments[name] = first, second
            root = (second / (1 - 0.98 ** (step + 1))).sqrt()
            direction = first / (1 - 0.9 ** (step + 1)) / (root + 1e-8)
            rate = 8**-0.5 if parameter.ndim == 2 else 1.0
            lag = min(0.9, (1 + step) / (10 + step))
            with torch.no_grad():
                parameter.sub_(0.05 * factor * rate * direction)
                followed = dict(average.named_parameters())[name]
                followed.copy_(lag * followed + (1 - lag) * parameter)
        if step in (3, 7):
            parts = [validation_micro_batch(b, patch_size=4, device=CPU) for b in VALIDATION]
            val_losses.append(mean_loss(average, parts, settings))

    records = []
    state, _ = run(tmp_path, log=records.append, max_steps=8, validate_every=4, max_grad_norm=75.0)
    assert min(r["grad_norm"] for r in records) < 75 < max(r["grad_norm"] for r in records)
    assert [r["loss"] for r in records] == pytest.approx(losses, rel=1e-4)
    found = [r["val_loss"] for r in records if "val_loss" in r]
    assert found == pytest.approx(val_losses, rel=1e-4)
    torch.testing.assert_close(state.model.weight, model.weight, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(state.average.model.weight, average.weight, rtol=1e-3, atol=1e-4)


def test_two_runs_end_in_the_same_bytes(tmp_path):
    assert digest(*run(tmp_path / "a")) == digest(*run(tmp_path / "b"))


def test_seed_changes_the_result(tmp_path):
    assert digest(*run(tmp_path / "a")) != digest(*run(tmp_path / "b", seed=1))


def test_time_of_checkpoints_does_not_change_the_result(tmp_path):
    often, never = run(tmp_path / "a"), run(tmp_path / "b", interval_s=3600.0)
    assert not list((tmp_path / "b").glob("state-*"))
    assert digest(*often) == digest(*never)


class KilledError(Exception):
    pass


def killer(step):
    def log(record):
        if record.get("step") == step:
            raise KilledError

    return log


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("stops", [(1,), (7, 8, 15), (20,)])
def test_broken_run_resumes_to_the_bytes_of_a_whole_one(tmp_path, stops, accumulation):
    whole = run(tmp_path / "whole", accumulation=accumulation)
    for stop in stops:
        with pytest.raises(KilledError):
            run(tmp_path / "broken", accumulation=accumulation, log=killer(stop))
    resumed = run(tmp_path / "broken", accumulation=accumulation)
    assert digest(*resumed) == digest(*whole)


@pytest.mark.parametrize("optimizer", ["adamw", "normuon"])
def test_network_of_one_variate_resumes_to_the_bytes_of_a_whole_run(tmp_path, optimizer):
    """Its query gain over variates never has a gradient, and so no moments."""

    class OneVariate:
        def batch(self, step):
            return make_batch(step, rows=2, num_variates=1, num_patches=24)

    def run_one(folder, log=lambda record: None):
        store = CheckpointStore(folder, interval_s=0.0)
        model = Toto2(for_context(SIZES["nano"], 96))
        settings = make_settings(max_steps=4, accumulation=2, optimizer=optimizer)
        return train(
            model, OneVariate(), [], settings, seed=0, store=store, device=CPU, log=log
        ), store

    whole = run_one(tmp_path / "whole")
    with pytest.raises(KilledError):
        run_one(tmp_path / "broken", log=killer(3))
    assert digest(*run_one(tmp_path / "broken")) == digest(*whole)


def test_run_broken_within_a_stretch_of_the_curve_resumes_to_the_whole_curve(tmp_path):
    whole = run(tmp_path / "whole", max_steps=302, interval_s=3600.0)
    with pytest.raises(KilledError):
        run(tmp_path / "broken", max_steps=302, log=killer(6))  # leaves the state after step 5
    resumed = run(tmp_path / "broken", max_steps=302, interval_s=3600.0)
    assert resumed[0].curve == whole[0].curve


def test_torn_checkpoint_gives_way_to_the_one_before_it(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "torn", log=killer(12))
    newest = max((tmp_path / "torn").glob("state-*")) / "tensors.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    messages = []
    resumed = run(tmp_path / "torn", log=lambda r: messages.append(r.get("message")))
    assert str(newest) in messages[0]
    assert "it is passed over" in messages[0]
    assert messages[1] == "train: goes on from step 10"
    assert digest(*resumed) == digest(*whole)


def test_all_checkpoints_torn_start_afresh_and_say_so(tmp_path):
    whole = run(tmp_path / "whole")
    with pytest.raises(KilledError):
        run(tmp_path / "torn", log=killer(12))
    for path in (tmp_path / "torn").glob("state-*/state.json"):
        path.write_text("{")
    messages = []
    resumed = run(tmp_path / "torn", log=lambda r: messages.append(r.get("message")))
    assert messages[2] == "train: no sound checkpoint is left, it starts afresh"
    assert digest(*resumed) == digest(*whole)


def test_final_weights_are_the_best_validated_average(tmp_path):
    state, store = run(tmp_path, lr=0.5, decay_share=0.0, max_steps=40, patience=99)
    validated = {p.loss: p.step for p in state.curve if p.split == "validation"}
    assert state.kept[0].step == validated[min(validated)]
    assert [kept.val_loss for kept in state.kept] == sorted(validated)[:2]
    best = final_weights(state, store)
    stored = tmp_path / "weights" / f"{state.kept[0].step:08d}.safetensors"
    assert best.keys() == state.model.state_dict().keys()
    assert stored.is_file()


def test_patience_ends_the_run(tmp_path):
    state, _ = run(tmp_path, lr=1e-12, max_steps=200, patience=3, ema_decay=0.0)
    losses = [p.loss for p in state.curve if p.split == "validation"]
    best = losses.index(min(losses))
    assert state.step < 200
    assert state.stale == 3
    assert len(losses) == best + 1 + 3


def test_run_that_ends_within_a_stretch_of_the_curve_keeps_its_losses(tmp_path):
    changes = {"lr": 1e-12, "max_steps": 3000, "validate_every": 1, "patience": 2}
    state, _ = run(tmp_path, interval_s=3600.0, ema_decay=0.0, **changes)
    assert state.step < 10  # the length of a stretch
    assert [p.step for p in state.curve if p.split == "train"] == [state.step]


def test_ended_run_stays_ended_when_resumed(tmp_path):
    changes = {"lr": 1e-12, "max_steps": 200, "patience": 3, "ema_decay": 0.0}
    first = run(tmp_path, **changes)
    again = run(tmp_path, **changes)
    assert digest(*first) == digest(*again)


def test_without_validation_the_last_average_is_final(tmp_path):
    state, store = run(tmp_path, validation=[], patience=1)
    assert state.step == 20
    assert state.kept == []
    assert torch.equal(final_weights(state, store)["weight"], state.average.model.weight)
    assert not torch.equal(state.average.model.weight, state.model.weight)


def test_last_step_is_validated_whatever_the_interval(tmp_path):
    state, _ = run(tmp_path, max_steps=7)
    assert [p.step for p in state.curve if p.split == "validation"] == [5, 7]


def test_curve_holds_the_mean_of_each_stretch(tmp_path):
    seen = []
    state, _ = run(
        tmp_path,
        max_steps=601,
        validation=[],
        log=lambda r: seen.append(r["loss"]),
        interval_s=3600.0,
    )
    curve = [p for p in state.curve if p.split == "train"]
    assert [p.step for p in curve][:2] == [3, 6]
    assert curve[-1].step == 601
    assert curve[0].loss == pytest.approx(sum(seen[:3]) / 3)
    assert curve[-1].loss == seen[-1]


def test_records_hold_the_step_and_its_numbers(tmp_path):
    records = []
    run(tmp_path, log=records.append)
    assert [record["step"] for record in records] == list(range(1, 21))
    assert records[0]["lr"] == pytest.approx(0.05 / 2)
    assert [r["step"] for r in records if "val_loss" in r] == [5, 10, 15, 20]
    assert records[3]["points"] == TinyWindows().batch(3).target_mask.sum()


def test_model_learns_how_many_tokens_a_step_has(tmp_path):
    state, _ = run(tmp_path, accumulation=3, max_steps=1)
    assert state.model.num_tokens == 3 * 4 * 2 * 5  # micro-batches, rows, variates, patches read


def test_non_finite_loss_stops_before_the_optimiser_moves(tmp_path):
    sound, _ = run(tmp_path / "sound", max_steps=7, decay_share=0.0, warmup_share=0.0)
    seen = []
    with pytest.raises(
        TrainingError, match=r"step 7: loss = nan, a finite number .* look at the items item-7-1,"
    ):
        run(
            tmp_path / "broken",
            windows=TinyWindows(broken_from=7),
            log=seen.append,
            max_steps=9,
            decay_share=0.0,
            warmup_share=0.0,
        )
    assert len(seen) == 7
    saved, _ = CheckpointStore(tmp_path / "broken", interval_s=0.0).load()
    assert torch.equal(saved.tensors["model.weight"], sound.model.weight)


@pytest.mark.parametrize(
    ("number", "error", "code"),
    [(signal.SIGINT, StoppedError, 130), (signal.SIGTERM, TerminatedError, 143)],
)
def test_signal_finishes_the_step_saves_and_says_how_to_go_on(tmp_path, number, error, code):
    before = signal.getsignal(number)
    whole = run(tmp_path / "whole")

    def log(record):
        if record.get("step") == 6:
            signal.raise_signal(number)

    with pytest.raises(
        error,
        match=r"^train: stopped after step 6 of 20, the state is saved; run dvc repro to go on$",
    ) as raised:
        run(tmp_path / "stopped", log=log, interval_s=3600.0)
    assert raised.value.exit_code == code
    assert signal.getsignal(number) is before
    assert digest(*run(tmp_path / "stopped")) == digest(*whole)


def test_second_signal_acts_at_once():
    with deferred_signals() as pending:
        signal.raise_signal(signal.SIGINT)
        assert stopped_by(pending.number) is StoppedError
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_training_outside_the_main_thread_leaves_signals_alone(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    results = []
    thread = threading.Thread(target=lambda: results.append(run(tmp_path)))
    thread.start()
    thread.join()
    assert results[0][0].step == 20
    assert signal.getsignal(signal.SIGINT) is before


@contextmanager
def started(folder, result, ending):
    script = Path(__file__).with_name("run_tiny.py")
    with subprocess.Popen(
        [sys.executable, str(script), str(folder), str(result), ending],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": f"{Path(__file__).parent}:{Path(__file__).parents[2]}"},
    ) as process:
        yield process


def finish(*arguments):
    """Run to the end: exit code, standard output, standard error."""
    with started(*arguments) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def kill_while_writing(*arguments):
    """SIGKILL a run in the middle of writing a checkpoint after its thirteenth step."""
    with started(*arguments) as process:
        while process.poll() is None:
            if any(path.name > ".state-00000013" for path in arguments[0].glob(".state-*.tmp")):
                process.kill()
    assert process.returncode == -signal.SIGKILL


def test_killed_process_resumes_to_the_bytes_of_a_whole_run(tmp_path, capsys):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    run_tiny.main(tmp_path / "a", whole, "never")

    kill_while_writing(tmp_path / "b", killed, "never")
    code, out, err = finish(tmp_path / "b", killed, "term:35")
    assert code == 143
    assert "goes on from step" in out
    assert err == "train: stopped after step 35 of 40, the state is saved; run dvc repro to go on\n"
    assert not killed.exists()

    run_tiny.main(tmp_path / "b", killed, "never")
    assert capsys.readouterr().out == "train: goes on from step 35\n"
    assert killed.read_bytes() == whole.read_bytes()
