"""The golden model and its cases (tests/golden/README.md)."""

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from toto_core.model import Toto2

GOLDEN = Path(__file__).parents[1] / "golden" / "toto2"


@pytest.fixture(scope="session")
def golden_dir():
    return GOLDEN


@pytest.fixture(scope="session")
def golden_case():
    tensors = load_file(GOLDEN / "cases.safetensors")

    def case(name):
        prefix = f"{name}."
        return {key.removeprefix(prefix): tensors[key] for key in tensors if key.startswith(prefix)}

    return case


@pytest.fixture(scope="session")
def golden_arguments():
    return json.loads((GOLDEN / "cases.json").read_text())


@pytest.fixture
def golden_model():
    return Toto2.from_pretrained(GOLDEN)
