"""
Compare compiled forecasts with eager ones in a process of its own, and print what was found.

The compiler cannot trace functions whose types the test suite checks. Arguments: directory of the
golden model, and the dtype; one line of JSON is printed.
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


def golden_error(model, directory, name):
    """Largest difference from a golden forecast."""
    arguments = json.loads((directory / "cases.json").read_text())[name]
    tensors = load_file(directory / "cases.safetensors")
    case = {
        key.removeprefix(f"{name}."): value
        for key, value in tensors.items()
        if key.startswith(f"{name}.")
    }
    known = None
    if "known_dynamic" in case:
        known = KnownFuture(
            case["known_dynamic"], case["known_dynamic_mask"], case["known_dynamic_series_ids"]
        )
    found = model.forecast(
        case["target"],
        case["target_mask"],
        case["series_ids"],
        arguments["horizon"],
        known=known,
        decode_block_size=arguments["decode_block_size"],
        min_observed=arguments.get("scaler_fallback_min_obs", 0),
        max_deviation=arguments.get("quantile_real_cap_k"),
    )
    return (found - case["quantiles"]).abs().max().item()


def forecaster_error(directory, dtype):
    """Largest difference of compiled forecasts of ragged contexts, in deviations of the series."""
    rng = np.random.default_rng(0)
    contexts = [rng.normal(size=(2, n)).cumsum(-1).astype(np.float32) for n in (128, 128, 90, 31)]
    contexts[1][0, 40:50] = np.nan
    eager = Forecaster.load(directory, device="cpu", compute_dtype=dtype, context_length=128)
    fast = Forecaster.load(
        directory, device="cpu", compute_dtype=dtype, context_length=128, compiled=True
    )
    errors = []
    for group in (contexts, contexts[:2], contexts[2:3]):  # rows in any number
        pairs = zip(fast.predict(group, 40), eager.predict(group, 40), strict=True)
        for context, (one, other) in zip(group, pairs, strict=True):
            errors.append(np.abs(one - other).max() / np.nanstd(context))
    assert len(errors) == 7
    return float(max(errors))


def changed_weights_count(model):
    """Whether a compiled forecast follows the weights."""
    target = torch.randn(2, 1, 128, generator=torch.Generator().manual_seed(0)).cumsum(-1)
    ids = torch.zeros(2, 1, dtype=torch.int64)
    before = model.forecast(target, target < 99, ids, 32)
    with torch.no_grad():
        model.transformer.layers[0].ffn.fc1.weight.mul_(1.5)
    after = model.forecast(target, target < 99, ids, 32)
    model.to_compute(model.compute_dtype)
    return [(part - model.forecast(target, target < 99, ids, 32)).abs().max().item()
            for part in (before, after)]  # fmt: skip


def main() -> None:
    """Run what the arguments name."""
    directory, what = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    model = Toto2.from_pretrained(directory).eval().to_compute(torch.float32, compiled=True)
    if what == "golden":
        found = {name: golden_error(model, directory, f"forecast_{name}") for name in sys.argv[3:]}
    elif what == "weights":
        found = dict(zip(("before", "after"), changed_weights_count(model), strict=True))
    else:
        found = {"error": forecaster_error(directory, getattr(torch, what))}
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
