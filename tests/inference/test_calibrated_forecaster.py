"""A forecaster with a calibration corrects its quantiles and answers levels beyond its own."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from toto_core.errors import CheckpointError, DataError
from toto_core.evaluation.conformal import Calibration
from toto_core.evaluation.conformal.tails import Tail
from toto_core.inference import Forecaster
from toto_core.model import QUANTILE_LEVELS
from toto_core.registry.fingerprint import model_sha256

GOLDEN = Path(__file__).parents[1] / "golden" / "toto2"
TAIL = Tail(share=0.1, limit=0.01, scale=0.5, shape=0.0, num_excesses=50)
H = 8


def calibration(**changes):
    shift = [-0.1, *[0.0] * 7, 0.2]
    values = {
        "method": "per_step",
        "reason": "",
        "levels": QUANTILE_LEVELS,
        "shifts": [[step * x for x in shift] for step in (1, 2)],
        "weights": (1.0, 1.0),
        "lower": TAIL,
        "upper": TAIL,
        "num_scores": 500,
        "num_forecasts": 99,
        "num_origins": 10,
        "candidate": model_sha256(GOLDEN),
    }
    return Calibration.model_validate(values | changes)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "calibration.json"
    calibration().save(path)
    return Forecaster.load(GOLDEN, device="cpu", context_length=256, calibration=path)


def test_predict_moves_each_level_by_the_spread_of_its_step(forecaster, loaded, walk):
    contexts = [walk(2, 64), walk(100, seed=1)]
    raw, found = forecaster.predict(contexts, H), loaded.predict(contexts, H)
    assert [part.shape for part in found] == [(2, 9, H), (9, H)]
    assert all(part.dtype == np.float32 for part in found)
    for before, after in zip(raw, found, strict=True):
        spread = before[..., 8, :] - before[..., 0, :]
        steps = np.minimum(np.arange(1, H + 1), 2)  # a later step is corrected like the last one
        expected = before.copy()
        expected[..., 0, :] -= 0.1 * steps * spread
        expected[..., 8, :] += 0.2 * steps * spread
        np.testing.assert_allclose(after, expected, rtol=1e-5)


def test_predict_answers_levels_beyond_the_outermost_and_between(loaded, walk):
    levels = [0.01, 0.05, 0.1, 0.45, 0.9, 0.99]
    found = loaded.predict([walk(2, 64)], H, quantile_levels=levels)[0]
    nine = loaded.predict([walk(2, 64)], H)[0]
    assert found.shape == (2, 6, H)
    assert (np.diff(found, axis=1) > 0).all()
    np.testing.assert_array_equal(found[:, [2, 4]], nine[:, [0, 8]])
    spread = nine[:, 8] - nine[:, 0]
    np.testing.assert_allclose(found[:, 5], nine[:, 8] + 0.5 * np.log(10) * spread, rtol=1e-5)
    np.testing.assert_allclose(found[:, 1], nine[:, 0] - 0.5 * np.log(2) * spread, rtol=1e-5)


def test_known_covariates_stay_what_is_known(loaded, walk):
    future = np.full((2, H), np.nan, np.float32)
    future[1] = 7
    found = loaded.predict([walk(2, 64)], H, quantile_levels=[0.02, 0.5], known_future=[future])[0]
    assert (found[1] == 7).all()


def test_levels_beyond_the_tails_are_refused(loaded, walk):
    message = r"quantile_levels = \[0\.005, 0\.5\], numbers from 0\.01 to 0\.99 are allowed, as 99"
    with pytest.raises(ValueError, match=message):
        loaded.predict([walk(64)], H, quantile_levels=[0.005, 0.5])


def test_correction_of_another_model_is_refused(tmp_path):
    path = tmp_path / "calibration.json"
    calibration(candidate="ab" * 32).save(path)
    message = rf"candidate = abababababab, the correction of model {model_sha256(GOLDEN)[:12]}"
    with pytest.raises(CheckpointError, match=message):
        Forecaster.load(GOLDEN, device="cpu", calibration=path)


def test_model_is_known_by_its_weights_not_by_what_lies_beside_them(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "copy")
    (tmp_path / "copy" / "notes.txt").write_text("mine")
    assert model_sha256(tmp_path / "copy") == model_sha256(GOLDEN)
    weights = tmp_path / "copy" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert model_sha256(tmp_path / "copy") != model_sha256(GOLDEN)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"calibration\.json: no such file"),
        ("{", r"calibration\.json: invalid json"),
        ('{"version": 2}', r"calibration\.json: version input should be 1"),
    ],
)
def test_missing_torn_and_later_files_are_named(tmp_path, content, message):
    path = tmp_path / "calibration.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=message):
        Forecaster.load(GOLDEN, device="cpu", calibration=path)
