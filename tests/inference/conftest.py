"""The golden model (tests/golden/README.md) as a forecaster."""

from pathlib import Path

import numpy as np
import pytest

from toto_core.inference import Forecaster

GOLDEN = Path(__file__).parents[1] / "golden" / "toto2"


@pytest.fixture(scope="session")
def forecaster():
    return Forecaster.load(GOLDEN, device="cpu", context_length=256)


@pytest.fixture
def walk():
    """A random walk [*shape] around 100; the last axis is time."""

    def make(*shape, seed=0):
        steps = np.random.default_rng(seed).normal(size=shape)
        return (100 + steps.cumsum(-1)).astype(np.float32)

    return make
