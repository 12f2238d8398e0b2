"""
Compare compiled training with eager training in a process of its own, and print what was found.

The compiler cannot trace functions whose types the test suite checks. Arguments: what to compare
(``golden``, ``steps``, or ``<variates>-<dtype>``); one line of JSON is printed for each.
"""

import dataclasses
import json
import sys
import tempfile
from pathlib import Path

import torch
from real_batch import real_batch
from safetensors.torch import load_file
from tiny_model import make_settings
from torch._dynamo.utils import counters

from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.compiled import compiled
from toto_core.training.device import deterministic
from toto_core.training.loop import train
from toto_core.training.step import accumulate_gradients, training_micro_batch

CPU = torch.device("cpu")
GOLDEN = Path(__file__).parents[1] / "golden" / "toto2"
COMPILED = make_settings(compile="default", max_steps=20, batch_size=4)
EAGER = dataclasses.replace(COMPILED, compile="none")
NUM_PATCHES = 5
# One layer of each axis, two heads.
SMALL = dataclasses.replace(
    for_context(SIZES["1m"], 32 * NUM_PATCHES), num_layers=2, layer_group_size=2, d_ff=176
)


def batch_of(num_variates, seed):
    """Rows with a late start, a variate never observed, two items, and a known covariate."""
    batch = real_batch(rows=4, num_variates=num_variates, num_patches=NUM_PATCHES, seed=seed)
    batch.target_mask[0, 0, :64] = False
    batch.target_mask[1, -1] = False
    batch.series_ids[2, -1] = num_variates > 1
    batch.known[3, -1] = num_variates > 1
    return batch


class Windows:
    def batch(self, step):
        return batch_of(3, step)


def relative_error(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def compare_gradients(num_variates, dtype):
    """Largest relative errors of loss and gradients over three batches."""
    model = Toto2(SMALL).to_compute(dtype)
    network = compiled(model, COMPILED, CPU)
    worst = {"loss": 0.0, "gradient": 0.0, "same_missing": True}
    for seed in range(3):
        part = training_micro_batch(
            batch_of(num_variates, seed), COMPILED, patch_size=32, seed=(0, seed), device=CPU
        )
        model.set_global_tokens(part.target.numel() // 32)
        losses, gradients = [], []
        for called in (model, network):
            model.zero_grad()
            losses.append(accumulate_gradients(called, [part], COMPILED))
            gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        worst["loss"] = max(worst["loss"], abs(losses[1] / losses[0] - 1))
        worst["same_missing"] &= gradients[0].keys() == gradients[1].keys()
        errors = [relative_error(gradients[1][name], g) for name, g in gradients[0].items()]
        worst["gradient"] = max(worst["gradient"], *errors)
    return worst


def compare_golden():
    """Largest errors against the numbers of the reference package."""
    tensors = load_file(GOLDEN / "cases.safetensors")
    model = Toto2.from_pretrained(GOLDEN)
    inputs = ("target", "target_mask", "cpm_mask", "series_ids")
    case = [tensors[f"forward_masked.{name}"] for name in inputs]
    quantiles = compiled(model, COMPILED, CPU)(*case).quantiles
    expected = tensors["forward_masked.quantiles"]
    ((quantiles * tensors["backward.weight"]).sum() / quantiles.numel()).backward()
    errors = [
        relative_error(p.grad, tensors[f"backward.grad.{name}"])
        for name, p in model.named_parameters()
    ]
    return {"forward": (quantiles - expected).abs().max().item(), "gradient": max(errors)}


def compare_steps():
    """Losses and final weights of twenty steps of the loop."""
    losses, weights = [], []
    for settings in (EAGER, COMPILED):
        record = []
        with tempfile.TemporaryDirectory() as folder:
            state = train(
                Toto2(SMALL).to_compute(torch.bfloat16),
                Windows(),
                [],
                settings,
                seed=0,
                store=CheckpointStore(Path(folder), interval_s=1e9),
                device=CPU,
                log=lambda entry, to=record: to.append(entry["loss"]) if "loss" in entry else None,
            )
        losses.append(torch.tensor(record))
        weights.append(torch.cat([p.detach().flatten() for p in state.model.parameters()]))
    return {
        "num_steps": len(losses[1]),
        "learned": (losses[0][-1] / losses[0][0]).item(),
        "loss": (losses[1] / losses[0] - 1).abs().max().item(),
        "weights": relative_error(weights[1], weights[0]),
    }


def main(names):
    torch.set_num_threads(1)
    for name in names:
        torch.compiler.reset()
        counters.clear()
        with deterministic():  # as the loop computes
            if name == "golden":
                found = compare_golden()
            elif name == "steps":
                found = compare_steps()
            else:
                num_variates, dtype = name.split("-")
                found = compare_gradients(int(num_variates), getattr(torch, dtype))
        found |= {"graphs": counters["stats"]["unique_graphs"]}
        found |= {"breaks": sum(counters["graph_break"].values())}
        sys.stdout.write(json.dumps({"name": name} | found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
