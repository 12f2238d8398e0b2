"""Compiled forecasts are the eager ones; without a C++ compiler one line says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toto_core.inference import Forecaster
from toto_core.model.compiler import missing_compiler

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "toto2"


@pytest.fixture(scope="session")
def compiled_run(tmp_path_factory):
    if missing_compiler():
        pytest.skip("no C++ compiler: compiled forecasts are refused here")
    cache = tmp_path_factory.getbasetemp() / "inductor"

    def run(*arguments):
        result = subprocess.run(
            [sys.executable, HERE / "run_compiled_forecasts.py", GOLDEN, *arguments],
            env=os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, result.stderr[-2000:]
        return json.loads(result.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
def test_compiled_forecast_equals_the_reference_and_follows_the_weights(compiled_run):
    found = compiled_run("golden")
    assert found["error"] < 1e-5
    assert found["error_after"] < 1e-5
    assert found["moved"] > 1e-3


@pytest.mark.slow
def test_compiled_forecaster_equals_the_eager_one(compiled_run):
    found = compiled_run("forecaster")
    assert found["forecasts"] == 7
    assert found["error"] < 0.02  # in bfloat16


def test_compiled_forecaster_asks_for_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ValueError,
        match=r"forecaster: compiled = True and no C\+\+ compiler no-such-compiler, one is needed",
    ):
        Forecaster.load(GOLDEN, device="cpu", compiled=True)
