"""A small network learns with each objective: its loss falls, and its levels become true."""

import dataclasses

import numpy as np
import pytest
import torch
from tiny_model import TinyBatch, make_settings

from toto_core.inference import Forecaster
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import final_weights, train

pytestmark = pytest.mark.slow

CONTEXT, HORIZON = 128, 32
NANO = for_context(SIZES["nano"], CONTEXT)
LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
OBJECTIVES = {
    "levels": ({"quantile_levels": LEVELS}, {}),
    "huber": ({"quantile_levels": LEVELS}, {"huber_share": 0.3, "huber_delta": 0.5}),
    "student_t": (
        {"head": "student_t", "num_components": 3, "quantile_levels": LEVELS},
        {"nll_share": 0.57},
    ),
}


def waves(seed, *, rows, num_steps):
    """Waves of 16 steps with noise of any strength, one variate each."""
    rng = np.random.default_rng(seed)
    phase, noise, level = rng.uniform(0, 16, (rows, 1)), rng.uniform(0.1, 0.6, (rows, 1)), 5.0
    wave = np.sin((np.arange(num_steps) + phase) * np.pi / 8)
    return (level + wave + noise * rng.standard_normal((rows, num_steps))).astype(np.float32)


class Waves:
    def batch(self, step, *, rows=16, horizon=0):
        target = waves(step, rows=rows, num_steps=CONTEXT + HORIZON)[:, None]
        return TinyBatch(
            target=target,
            target_mask=np.ones_like(target, np.bool_),
            series_ids=np.zeros((rows, 1), np.int64),
            known=np.zeros((rows, 1), np.bool_),
            horizon=horizon,
            items=tuple((f"wave-{row}",) for row in range(rows)),
        )


@pytest.fixture(scope="module", params=OBJECTIVES)
def learned(request, tmp_path_factory):
    """The forecaster after training, and the losses of training and validation."""
    head, changes = OBJECTIVES[request.param]
    model = Toto2(dataclasses.replace(NANO, **head), seed=0)
    settings = make_settings(
        **changes, max_steps=150, lr=0.15, max_grad_norm=1e9, validate_every=50, ema_decay=0.0
    )
    store = CheckpointStore(tmp_path_factory.mktemp("run"), interval_s=3600.0)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    state = train(
        model,
        Waves(),
        [Waves().batch(10**6, rows=64, horizon=HORIZON)],
        settings,
        seed=0,
        store=store,
        device=torch.device("cpu"),
        log=lambda record: None,
    )
    torch.set_num_threads(before)
    model.load_state_dict(final_weights(state, store))
    return Forecaster(model, context_length=CONTEXT), state.curve


def test_losses_fall(learned):
    _, curve = learned
    losses = [point.loss for point in curve if point.split == "train"]
    validation = [point.loss for point in curve if point.split == "validation"]
    size = max(abs(losses[0]), abs(losses[-1]))
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.3 * size
    assert validation == sorted(validation, reverse=True)


def test_levels_are_true_on_fresh_series(learned):
    forecaster, _ = learned
    series = waves(10**7, rows=300, num_steps=CONTEXT + HORIZON)
    found = np.stack(forecaster.predict(list(series[:, :CONTEXT]), HORIZON))
    below = (series[:, None, CONTEXT:] <= found).mean((0, 2))
    np.testing.assert_allclose(below, LEVELS, atol=0.03)


def test_median_follows_the_wave(learned):
    forecaster, _ = learned
    series = waves(10**7 + 1, rows=100, num_steps=CONTEXT + HORIZON)
    median = np.stack(forecaster.predict(list(series[:, :CONTEXT]), HORIZON))[:, LEVELS.index(0.5)]
    flat = np.median(series[:, :CONTEXT], axis=1, keepdims=True)
    error, naive = (np.abs(series[:, CONTEXT:] - guess).mean() for guess in (median, flat))
    assert error < 0.5 * naive
