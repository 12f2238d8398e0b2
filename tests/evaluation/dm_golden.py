"""The stored values of R, statsmodels, arch and of independent arithmetic, for several tests."""

import json
from pathlib import Path

import numpy as np

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "dm.json").read_text())


def errors(dataset):
    stored = GOLDEN["inputs"][dataset]
    return tuple(np.array(stored[key], dtype=float) for key in ("e1", "e2"))


def differential(row):
    first, second = errors(row["dataset"])
    return np.abs(first) ** row["power"] - np.abs(second) ** row["power"]


def panel():
    return np.array(GOLDEN["panel_inputs"]["matrix_series_by_time"])
