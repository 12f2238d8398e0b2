"""Forecaster: ragged and missing input, neighbours, levels, covariates and refusals."""

import numpy as np
import pytest
import torch
from scipy.special import ndtri

from toto_core.inference import Forecaster
from toto_core.model import QUANTILE_LEVELS

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def test_predict_equals_forecast_of_the_network(forecaster, walk):
    context = walk(2, 256)
    found = forecaster.predict([context], 40)[0]
    target = torch.from_numpy(context)[None]
    expected = forecaster.model.forecast(
        target,
        torch.ones_like(target, dtype=torch.bool),
        torch.zeros(1, 2, dtype=torch.int64),
        40,
    )
    np.testing.assert_allclose(found, expected[:, 0].transpose(0, 1).numpy(), **CLOSE)


def test_predict_guards_short_series_as_the_published_scores_do(forecaster, walk):
    context = walk(1, 40)
    target = torch.zeros(1, 1, 64)
    target[..., 24:] = torch.from_numpy(context)
    mask = torch.arange(64).expand(1, 1, 64) >= 24
    context[:, :4] = np.nan
    mask[..., 24:28] = False  # four values in the first of two patches
    ids = torch.zeros(1, 1, dtype=torch.int64)
    plain = forecaster.model.forecast(target, mask, ids, 8)
    guarded = forecaster.model.forecast(target, mask, ids, 8, min_observed=8, max_deviation=1e4)
    found = forecaster.predict([context], 8)[0]
    np.testing.assert_array_equal(found, guarded[:, 0].transpose(0, 1).numpy())
    assert not torch.equal(plain, guarded)


def test_predict_keeps_the_shape_and_order_of_its_contexts(forecaster, walk):
    contexts = [walk(50), walk(3, 70), walk(40, seed=1), walk(1, 64), walk(50, seed=2)]
    found = forecaster.predict(contexts, 20)
    assert [part.shape for part in found] == [(9, 20), (3, 9, 20), (9, 20), (1, 9, 20), (9, 20)]
    assert all(part.dtype == np.float32 for part in found)
    alone = [forecaster.predict([context], 20)[0] for context in contexts]
    for together, apart in zip(found, alone, strict=True):
        np.testing.assert_allclose(together, apart, **CLOSE)


def test_predict_does_not_depend_on_the_batch_size(forecaster, walk):
    contexts = [walk(2, length, seed=length) for length in range(20, 300, 13)]
    whole = forecaster.predict(contexts, 33)
    parts = forecaster.predict(contexts, 33, batch_size=2)
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_predict_is_bitwise_blind_to_the_values_of_its_neighbours(forecaster, walk):
    context, neighbour = walk(2, 100), walk(2, 100, seed=1)
    before = forecaster.predict([context, neighbour], 20)[0]
    after = forecaster.predict([context, 1e6 * neighbour**3], 20)[0]
    np.testing.assert_array_equal(before, after)


def test_predict_reads_the_newest_steps_only(walk, forecaster):
    context = walk(300)
    changed = context.copy()
    changed[:44] = 1e6
    np.testing.assert_array_equal(
        forecaster.predict([context], 20)[0], forecaster.predict([changed], 20)[0]
    )
    changed[44] = 1e3
    assert not np.array_equal(
        forecaster.predict([context], 20)[0], forecaster.predict([changed], 20)[0]
    )


def test_context_length_comes_from_the_configuration(forecaster):
    assert Forecaster(forecaster.model).context_length == 4096


def test_predict_quantiles_never_cross_and_are_finite(forecaster, walk):
    context = walk(3, 200)
    context[0, 20:60] = np.nan
    context[1] = 5.0
    context[2] = np.nan
    found = forecaster.predict([context, walk(1), np.zeros((1, 0))], 50)
    for part in found:
        assert np.isfinite(part).all()
        assert (np.diff(part, axis=-2) >= 0).all()
    np.testing.assert_allclose(found[0][1], 5.0, atol=1e-3)


def test_predict_ignores_a_variate_without_values(forecaster, walk):
    context = walk(3, 200)
    context[1] = np.nan
    found = forecaster.predict([context], 20)[0]
    without = forecaster.predict([context[[0, 2]]], 20)[0]
    np.testing.assert_allclose(found[[0, 2]], without, **CLOSE)


def test_predict_fills_gaps_of_the_last_patch_forward(forecaster, walk):
    context = walk(96)
    context[90:] = np.nan
    filled = context.copy()
    filled[90:] = context[89]
    np.testing.assert_allclose(
        forecaster.predict([context], 8)[0], forecaster.predict([filled], 8)[0], **CLOSE
    )


@pytest.mark.parametrize("length", [1, 10, 31])
def test_predict_of_less_than_a_patch_follows_the_level(forecaster, walk, length):
    context = walk(length)
    raised = forecaster.predict([context + 4096], 8)[0] - 4096
    np.testing.assert_allclose(raised, forecaster.predict([context], 8)[0], atol=0.02)


def test_predict_does_not_invent_values_for_gaps_inside(forecaster, walk):
    context = walk(96)
    context[40:50] = np.nan
    filled = context.copy()
    filled[40:50] = context[39]
    gap, no_gap = forecaster.predict([context], 8)[0], forecaster.predict([filled], 8)[0]
    assert np.abs(gap - no_gap).max() > 1e-3


def test_predict_interpolates_between_levels(forecaster, walk):
    context = walk(2, 64)
    nine = forecaster.predict([context], 8)[0]
    found = forecaster.predict([context], 8, quantile_levels=[0.1, 0.25, 0.5, 0.9])[0]
    np.testing.assert_allclose(found[:, 0], nine[:, 0], **CLOSE)
    share = (ndtri(0.25) - ndtri(0.2)) / (ndtri(0.3) - ndtri(0.2))
    between = nine[:, 1] * (1 - share) + nine[:, 2] * share
    np.testing.assert_allclose(found[:, 1], between, **CLOSE)
    np.testing.assert_allclose(found[:, [2, 3]], nine[:, [4, 8]], **CLOSE)


def test_known_future_is_returned_and_moves_the_others(forecaster, walk):
    context = walk(3, 128)
    future = np.full((3, 70), np.nan, np.float32)
    future[1] = 100.0
    future[1, 3] = np.nan
    found = forecaster.predict([context], 70, known_future=[future])[0]
    np.testing.assert_array_equal(found[1], np.full((9, 70), 100.0, np.float32))
    future[1] = -300.0
    other = forecaster.predict([context], 70, known_future=[future])[0]
    assert np.abs(found[[0, 2]] - other[[0, 2]]).max() > 1e-3
    np.testing.assert_array_equal(
        forecaster.predict([context], 70, known_future=[None])[0],
        forecaster.predict([context], 70)[0],
    )


def test_known_future_of_a_mixed_batch_goes_with_its_context(forecaster, walk):
    contexts = [walk(2, 64), walk(2, 64, seed=1), walk(2, 64, seed=2)]
    futures = [np.stack([np.full(8, np.nan), np.arange(8)]), None, None]
    futures[2] = futures[0][::-1]
    together = forecaster.predict(contexts, 8, known_future=futures)
    for index in range(3):
        alone = forecaster.predict([contexts[index]], 8, known_future=[futures[index]])[0]
        np.testing.assert_allclose(together[index], alone, **CLOSE)
    np.testing.assert_array_equal(together[2][0, 4], np.arange(8))


def test_predict_of_nothing_is_nothing(forecaster):
    assert forecaster.predict([], 8) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prediction_length": 0}, r"predict: prediction_length = 0, at least 1 is allowed"),
        ({"batch_size": 0}, r"predict: batch_size = 0, at least 1 is allowed"),
        ({"quantile_levels": [0.05]}, r"quantile_levels = \[0\.05\], numbers from 0\.1 to 0\.9"),
        ({"quantile_levels": [0.5, 0.2]}, r"quantile_levels = \[0\.5, 0\.2\], rising"),
        ({"known_future": []}, r"known_future has 0 entries, one for each of the 1 contexts"),
        ({"known_future": [np.zeros(3)]}, r"known_future\[0\] has shape \(3,\), \(8,\) is needed"),
        ({"contexts": [np.zeros((1, 2, 3))]}, r"contexts\[0\] has shape \(1, 2, 3\), \[T\] or"),
        ({"contexts": [np.array([1, np.inf])]}, r"contexts\[0\] has 1 infinite values"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value[:24],
)
def test_predict_refuses_what_it_cannot_do(forecaster, arguments, message):
    allowed = {"contexts": [np.zeros(40)], "prediction_length": 8}
    with pytest.raises(ValueError, match=message):
        forecaster.predict(**(allowed | arguments))


def test_predict_reports_all_faults_together(forecaster):
    with pytest.raises(ValueError, match="prediction_length = 0") as caught:
        forecaster.predict([np.array([np.inf])], 0, quantile_levels=[QUANTILE_LEVELS[0], 0.95])
    assert len(str(caught.value).splitlines()) == 3


def test_forecaster_refuses_a_context_length_of_nothing(forecaster):
    with pytest.raises(ValueError, match=r"context_length = 0, at least 1 is allowed"):
        Forecaster(forecaster.model, context_length=0)
