"""Rolling refits are tested over all origins of all folds at once, never over the folds' means."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from toto_core.evaluation.scores import CROSSVAL, blocks_of, compare
from toto_core.evaluation.significance import ewc_dm_test

NUM_FOLDS, PER_FOLD, NUM_SERIES = 3, 20, 4


def fold_losses(fold, model, baseline):
    """Losses of one refit at its own origins, as the stage of that fold leaves them."""
    first = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=fold * PER_FOLD)
    series, origin = np.indices(model.shape).reshape(2, -1)
    shared = {
        "item_id": [f"item-{n}" for n in series],
        "variate": "value",
        "held_out": False,
        "source": CROSSVAL,
        "origin": [first + timedelta(days=int(n)) for n in origin],
    }
    return pl.concat(
        pl.DataFrame(shared | {"forecaster": name, "sql": values.ravel()})
        for name, values in (("model", model), ("naive", baseline))
    )


@pytest.mark.parametrize("overlap", [1, 2])
def test_origins_of_all_folds_make_one_series_of_differentials(overlap):
    rng = np.random.default_rng(0)
    shape = (NUM_FOLDS, NUM_SERIES, PER_FOLD)
    baseline = rng.gamma(8, 1 / 8, shape)
    # Refits differ: the first one is the worst.
    model = baseline * rng.normal(1, 0.2, shape) - np.array([0.0, 0.1, 0.2])[:, None, None]
    tables = [fold_losses(fold, model[fold], baseline[fold]) for fold in range(NUM_FOLDS)]
    # In whatever order the folds were finished.
    found = compare(blocks_of(pl.concat(tables[::-1]))[CROSSVAL], "naive", overlap=overlap)
    d = np.concatenate((baseline - model).mean(axis=1))
    expected = ewc_dm_test(d, h=overlap, alternative="greater")
    assert found["n"] == NUM_FOLDS * PER_FOLD == len(d)
    assert (found["df"], found["h_eff"]) == (expected.df, expected.h_eff)
    assert found["df"] > NUM_FOLDS - 1
    assert found["p_value"] == pytest.approx(expected.p_value, rel=1e-9)
    assert found["skill"] == pytest.approx(1 - model.mean() / baseline.mean())
