"""
Compare compiled forecasts with eager ones in a process of its own, and print what was found.

The compiler cannot trace functions whose types the test suite checks. Arguments: directory of the
golden model, and ``golden`` or ``forecaster``; one line of JSON is printed.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from toto_core.inference import Forecaster
from toto_core.model import Toto2
from toto_core.model.forecast import KnownFuture


def golden(directory):
    """Largest difference from a golden forecast, and after a change of weights from the eager one.

    ``moved`` is how much the change of weights matters.
    """
    name = "forecast_known_dynamic"
    tensors = load_file(directory / "cases.safetensors")
    arguments = json.loads((directory / "cases.json").read_text())[name]
    known = KnownFuture(
        *(tensors[f"{name}.known_dynamic{part}"] for part in ("", "_mask", "_series_ids"))
    )
    assert arguments["decode_block_size"] is None
    inputs = [tensors[f"{name}.{part}"] for part in ("target", "target_mask", "series_ids")]
    model = Toto2.from_pretrained(directory).eval()

    def forecast(*, compiled):
        model.to_compute(torch.float32, compiled=compiled)
        return model.forecast(*inputs, arguments["horizon"], known=known)

    before = forecast(compiled=True)
    with torch.no_grad():
        model.transformer.layers[0].ffn.fc1.weight.mul_(1.5)
    after = forecast(compiled=True)
    return {
        "error": float((before - tensors[f"{name}.quantiles"]).abs().max()),
        "error_after": float((after - forecast(compiled=False)).abs().max()),
        "moved": float((after - before).abs().max()),
    }


def forecaster(directory):
    """Largest difference of compiled forecasts of ragged contexts, in deviations of the series."""
    rng = np.random.default_rng(0)
    contexts = [rng.normal(size=n).cumsum().astype(np.float32) for n in (128, 128, 90, 31)]
    contexts[1][40:50] = np.nan
    settings = {"device": "cpu", "compute_dtype": torch.bfloat16, "context_length": 128}
    eager = Forecaster.load(directory, **settings)
    fast = Forecaster.load(directory, **settings, compiled=True)
    errors = []
    for group in (contexts, contexts[:2], contexts[2:3]):  # rows in any number
        pairs = zip(fast.predict(group, 40), eager.predict(group, 40), strict=True)
        for context, (one, other) in zip(group, pairs, strict=True):
            errors.append(np.abs(one - other).max() / np.nanstd(context))
    return {"error": float(max(errors)), "forecasts": len(errors)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    what = {"golden": golden, "forecaster": forecaster}[sys.argv[2]]
    sys.stdout.write(json.dumps(what(Path(sys.argv[1]))) + "\n")
