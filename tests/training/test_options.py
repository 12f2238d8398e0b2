"""Each option of the loop changes what it is for, and leaves everything else as it was, to the bit.

Options with a test file of their own: activation checkpointing, the limit of time, compilation,
processes, data workers, and those of the objective and the optimisers.
"""

from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from real_batch import real_batch
from tiny_model import TinyModel, TinyWindows, make_batch, make_settings
from torch import Tensor

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import final_weights, train

CPU = torch.device("cpu")
VALIDATION = [make_batch(10**6, horizon=8), make_batch(10**6 + 1, horizon=8)]
FLAT = {"warmup_share": 0.0, "decay_share": 0.0}


class Run(NamedTuple):
    """What can be seen of a run."""

    records: list[dict[str, float]]
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    final: dict[str, Tensor]
    kept: list[tuple[int, float]]

    def all(self, key):
        return [record[key] for record in self.records if key in record]


@pytest.fixture
def run(tmp_path):
    """Trains as the settings say; what the run was like."""
    count = iter(range(1000))

    def trained(*, model=None, windows=None, validation=VALIDATION, **changes):
        model, records = model or TinyModel(), []
        store = CheckpointStore(Path(tmp_path / str(next(count))), interval_s=3600.0)
        state = train(
            model,
            windows or TinyWindows(),
            validation,
            make_settings(**changes),
            seed=0,
            store=store,
            device=CPU,
            log=records.append,
        )
        return Run(
            records,
            copies(model),
            copies(state.average.model),
            final_weights(state, store),
            [(kept.step, kept.val_loss) for kept in state.kept],
        )

    return trained


def copies(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(ours, theirs):
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


class Halves:
    """Each batch of ``TinyWindows`` in two halves, one after the other."""

    def __init__(self):
        self.drawn = []

    def batch(self, step):
        self.drawn.append(step)
        whole = make_batch(step // 2, rows=4)
        half = slice(2 * (step % 2), 2 * (step % 2) + 2)
        parts = ("target", "target_mask", "series_ids", "known", "items")
        changes = {name: getattr(whole, name)[half] for name in parts}
        return type(whole)(**{**vars(whole), **changes})


def test_accumulation_makes_one_step_of_several_batches(run):
    """Without masks, which are drawn for each micro-batch, two halves are the same as a whole."""
    windows = Halves()
    whole = run(max_mask_rate=0.0)
    halves = run(max_mask_rate=0.0, accumulation=2, windows=windows)
    assert windows.drawn == list(range(40))
    assert halves.all("points") == whole.all("points")
    assert halves.all("lr") == whole.all("lr")
    for key in ("loss", "grad_norm", "val_loss"):
        assert halves.all(key) == pytest.approx(whole.all(key), rel=1e-4)


def test_clipping_acts_on_large_gradients_alone(run):
    free, wide = run(max_grad_norm=1e9), run(max_grad_norm=1e6)
    assert free.records == wide.records
    assert same(free.weights, wide.weights)
    norms = free.all("grad_norm")
    larger = next(step for step in range(1, 20) if norms[step] > norms[0])
    between = (max(norms[:larger]) + norms[larger]) / 2
    clipped = run(max_grad_norm=between)
    # The loss of a step tells of the steps before it; the norm is told before it is clipped.
    assert clipped.all("loss")[: larger + 1] == free.all("loss")[: larger + 1]
    assert clipped.all("grad_norm")[: larger + 1] == norms[: larger + 1]
    assert clipped.all("loss")[larger + 1] != free.all("loss")[larger + 1]
    assert clipped.all("lr") == free.all("lr")


def test_average_changes_what_is_validated_and_kept_alone(run):
    slow, none = run(ema_decay=0.9), run(ema_decay=0.0)
    for key in ("loss", "grad_norm", "lr", "points"):
        assert slow.all(key) == none.all(key)
    assert same(slow.weights, none.weights)
    assert same(none.average, none.weights)
    assert not same(slow.average, slow.weights)
    assert slow.all("val_loss") != none.all("val_loss")


def test_number_of_kept_checkpoints_changes_nothing_else(run):
    one, three = run(keep_best=1), run(keep_best=3)
    assert (len(one.kept), len(three.kept)) == (1, 3)
    assert one.kept == three.kept[:1]
    assert three.kept == sorted(three.kept, key=lambda kept: kept[1])
    assert one.records == three.records
    assert same(one.final, three.final)
    assert same(one.weights, three.weights)


def test_early_stopping_leaves_the_steps_before_it_as_they_were(run):
    changes = {"max_steps": 60, "lr": 1e-12, "ema_decay": 0.0}
    stopped, whole = run(patience=2, **changes), run(patience=60, **changes)
    assert len(stopped.records) < len(whole.records) == 60
    assert stopped.records == whole.records[: len(stopped.records)]
    losses = stopped.all("val_loss")
    assert min(losses) == min(losses[:-2])


def test_validations_change_no_step(run):
    often, seldom = run(validate_every=1, patience=99), run(validate_every=20)
    without = run(validation=[])
    assert (len(often.all("val_loss")), len(seldom.all("val_loss"))) == (20, 1)
    assert often.all("val_loss")[-1] == seldom.all("val_loss")[0]
    assert without.all("val_loss") == []
    for key in ("loss", "grad_norm", "lr", "points"):
        assert often.all(key) == seldom.all(key) == without.all(key)
    assert same(often.weights, seldom.weights)
    assert same(often.weights, without.weights)


def test_number_of_steps_ends_the_run_and_stretches_the_schedule(run):
    """At a constant rate a run of ten steps is the first half of one of twenty."""
    short, long = run(max_steps=10, **FLAT), run(max_steps=20, **FLAT)
    assert [record["step"] for record in short.records] == list(range(1, 11))
    assert short.records == long.records[:10]
    wsd = run(max_steps=10)
    assert wsd.all("lr") == pytest.approx([0.05] * 6 + [0.04, 0.03, 0.02, 0.01])
    assert run(max_steps=20).all("lr")[10:] == pytest.approx(
        [0.05 * n / 10 for n in range(10, 0, -1)]
    )


def test_schedule_changes_the_rates_alone(run):
    changes = {"max_steps": 10, "warmup_share": 0.3}
    wsd, cosine = run(schedule="wsd", **changes), run(schedule="cosine", **changes)
    assert wsd.all("lr")[:4] == cosine.all("lr")[:4]  # the warm-up
    assert wsd.all("loss")[:5] == cosine.all("loss")[:5]
    assert wsd.all("lr")[5] > cosine.all("lr")[5]
    assert wsd.all("loss")[6] != cosine.all("loss")[6]
    assert wsd.all("points") == cosine.all("points")


class RealWindows:
    def batch(self, step):
        return real_batch(rows=2, num_variates=2, num_patches=4, seed=step)


def test_precision_changes_the_products_and_not_what_is_kept(run):
    runs = {}
    for dtype in (torch.float32, torch.bfloat16):
        model = Toto2(for_context(SIZES["nano"], 128)).to_compute(dtype)
        runs[dtype] = run(model=model, windows=RealWindows(), validation=[], max_steps=6)
    exact, half = runs[torch.float32], runs[torch.bfloat16]
    assert all(tensor.dtype == torch.float32 for tensor in half.final.values())
    assert half.all("points") == exact.all("points")
    assert half.all("lr") == exact.all("lr")
    assert half.all("loss") != exact.all("loss")
    assert half.all("loss") == pytest.approx(exact.all("loss"), rel=0.02)
