"""Compiled forecasts are the eager ones; without a C++ compiler one line says so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from toto_core.inference import Forecaster

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "toto2"


@pytest.fixture(scope="session")
def compiled_run(tmp_path_factory):
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
def test_compiled_forecasts_equal_the_reference(compiled_run):
    found = compiled_run("golden", "missing", "block_decode", "known_dynamic")
    assert len(found) == 3
    assert max(found.values()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "most"), [("float32", 1e-5), ("bfloat16", 0.02)])
def test_compiled_forecaster_equals_the_eager_one(compiled_run, dtype, most):
    assert compiled_run(dtype)["error"] < most


@pytest.mark.slow
def test_compiled_forecasts_follow_the_weights(compiled_run):
    found = compiled_run("weights")
    assert found["after"] < 1e-4 < found["before"]


def test_compiled_forecaster_asks_for_a_compiler(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(
        ValueError,
        match=r"forecaster: compiled = True and no C\+\+ compiler no-such-compiler, one is needed",
    ):
        Forecaster.load(GOLDEN, device="cpu", compiled=True)
