"""
A learning rate moves the activations alike at every width, at every one of 60 steps.

The size of what training has changed in the outputs of the layers, relative to the outputs at the
start, is compared between widths. The controls take one rule of width away and drift.
"""

import math

import numpy as np
import pytest
import torch
from repository_settings import settings_with

from toto_core.data.synthetic import FAMILIES, generate
from toto_core.data.windows import Batch
from toto_core.model import ModelConfig, Toto2
from toto_core.optim.build import build_optimisers
from toto_core.training.step import (
    accumulate_gradients,
    clip_gradients,
    gradient_norm,
    training_micro_batch,
)

STEPS, MARKS = 60, (5, 20, 60)
ROWS, VARIATES, CONTEXT, DEPTH = 8, 2, 128, 3
KINDS = ("in_proj", "out_proj", "fc1", "fc2")
ALIKE = 1.25  # largest ratio of the changes at two widths; the controls miss a factor of two
CPU = torch.device("cpu")
RUNS = {
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "normuon": {"optimizer": "normuon", "lr": 0.02, "normuon": {"lr": 0.1}},
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def batches():
    made = generate(0, 64, length=CONTEXT, weights=dict.fromkeys(FAMILIES, 1.0))
    series = np.stack([values[0] for _, values in made if np.isfinite(values).all()])
    chosen = np.random.default_rng(1).integers(0, len(series), (STEPS + 1, ROWS, VARIATES))
    return [batch_of(series[rows]) for rows in chosen]


def batch_of(target):
    shape = target.shape[:2]
    return training_micro_batch(
        Batch(
            target=target,
            target_mask=np.ones(target.shape, np.bool_),
            series_ids=np.tile(np.arange(VARIATES), (ROWS, 1)),
            known=np.zeros(shape, np.bool_),
            horizon=0,
            items=(("series",),) * ROWS,
        ),
        settings_with(),
        patch_size=32,
        seed=(0,),
        device=CPU,
    )


def network(width):
    config = ModelConfig(
        d_model=width,
        num_heads=width // 64,
        num_groups=width // 64,
        num_layers=DEPTH,
        layer_group_size=DEPTH,
        d_ff=8 * round(width / 3),
        residual_attn_ratio=1.9,
    )
    return Toto2(config, seed=0)


def outputs(model, probe):
    """What the linear layers of the stack give for ``probe``."""
    found = {}

    def keep(name):
        def hook(module, inputs, output):
            found[name] = output.clone()

        return hook

    hooks = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if name.endswith(KINDS)
    ]
    with torch.no_grad():
        model(probe.target, probe.target_mask, probe.cpm_mask, probe.series_ids)
    for hook in hooks:
        hook.remove()
    return found


def changes(width, batches, *, exponent=0.0, **settings):
    """Relative change of the outputs, for each mark and kind of layer.

    ``exponent`` breaks the rule of width: the rate of each matrix gets fan_in / 64 to this power.
    """
    settings = settings_with(**settings)
    model = network(width)
    parameters, optimisers = list(model.parameters()), build_optimisers(model, settings)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] *= (width / 64) ** exponent if group["params"][0].ndim == 2 else 1.0
    model.set_global_tokens(ROWS * VARIATES * (CONTEXT // 32 - 1))
    probe, start, found = batches[-1], outputs(model, batches[-1]), {}
    for step, part in enumerate(batches[:-1], start=1):
        accumulate_gradients(model, [part], settings)
        norm = gradient_norm(parameters)
        clip_gradients(parameters, norm=norm, max_norm=settings.max_grad_norm)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        if step in MARKS:
            for name, now in outputs(model, probe).items():
                moved = ((now - start[name]).norm() / start[name].norm()).log().item()
                found.setdefault((step, name.rsplit(".", 1)[1]), []).append(moved)
    return {key: math.exp(np.mean(logs)) for key, logs in found.items()}


def drift(narrow, wide):
    """The mean ratio over all marks and kinds of layers, as a number of at least one."""
    logs = [math.log(wide[key] / narrow[key]) for key in narrow]
    return math.exp(abs(float(np.mean(logs))))


@pytest.mark.parametrize("run", RUNS)
def test_changes_of_the_activations_are_alike_at_every_width(batches, run):
    by_width = {width: changes(width, batches, **RUNS[run]) for width in (64, 128, 256)}
    assert all(0.01 < value < 10 for found in by_width.values() for value in found.values())
    assert drift(by_width[64], by_width[128]) < ALIKE
    assert drift(by_width[64], by_width[256]) < ALIKE


@pytest.mark.parametrize(
    ("run", "exponent"),
    [
        pytest.param("adamw", 0.5, id="adamw without 1 / sqrt(fan_in)"),
        pytest.param("normuon", -0.5, id="normuon with it"),
    ],
)
def test_another_rule_of_width_drifts(batches, run, exponent):
    narrow, wide = (changes(w, batches, exponent=exponent, **RUNS[run]) for w in (64, 256))
    assert drift(narrow, wide) > ALIKE
