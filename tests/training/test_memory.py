"""The memory of a step is foreseen: what each option adds, and what a process really takes."""

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import make_settings

from toto_core.errors import BatchTooLargeError
from toto_core.model import SIZES, Toto2, for_context
from toto_core.optim.build import build_optimisers
from toto_core.training.memory import estimate, watched
from toto_core.training.rehearsal import Activations, pass_peak, rehearse

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[2]
NUM_STEPS = 128
SETTINGS = make_settings(batch_size=4, num_variates=3)


def network(**changes):
    config = dataclasses.replace(for_context(SIZES["nano"], NUM_STEPS), **changes)
    return Toto2(config)


def foreseen(model, *, processes=1, **changes):
    """The estimate where activations are 1000 bytes and 100 a row."""
    settings = dataclasses.replace(SETTINGS, **changes)
    return estimate(
        model,
        settings,
        Activations(1000, 100),
        num_steps=NUM_STEPS,
        processes=processes,
        on_cpu=False,
    )


def test_rehearsal_of_two_rows_foresees_nine():
    model = network()
    found = rehearse(model, SETTINGS, num_steps=NUM_STEPS)
    peak = pass_peak(model, SETTINGS, rows=9, num_steps=NUM_STEPS)
    assert found.of(9) == pytest.approx(peak, rel=1e-3)


def test_rehearsal_leaves_weights_and_gradients_alone():
    model, same = network(), network()
    rehearse(model, SETTINGS, num_steps=NUM_STEPS)
    assert all(p.grad is None for p in model.parameters())
    assert all(map(torch.equal, model.parameters(), same.parameters()))


def test_rehearsal_without_contents_finds_the_same():
    """On the meta device, where attention takes the way of a GPU; in short rows that is little."""
    with torch.device("meta"):
        model = Toto2(for_context(SIZES["nano"], NUM_STEPS), seed=None)
    found = rehearse(model, SETTINGS, num_steps=NUM_STEPS)
    expected = rehearse(network(), SETTINGS, num_steps=NUM_STEPS)
    assert found.per_row == pytest.approx(expected.per_row, rel=0.1)


def test_checkpointing_keeps_one_input_for_each_layer():
    """A layer more costs a row its 3 x 3 tokens of 64 floats; without it many times that."""
    grown = {}
    for on in (False, True):
        rows = []
        for num_layers in (4, 5):
            model = network(num_layers=num_layers, layer_group_size=num_layers)
            model.set_activation_checkpointing(on)
            rows.append(rehearse(model, SETTINGS, num_steps=NUM_STEPS).per_row)
        grown[on] = rows[1] - rows[0]
    assert grown[True] == 3 * 3 * 64 * 4
    assert grown[False] > 8 * grown[True]


@pytest.mark.parametrize("optimizer", ["adamw", "normuon"])
def test_optimiser_state_has_the_bytes_that_were_foreseen(optimizer):
    model = network()
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    taken = 0
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    for optimiser in build_optimisers(model, settings):
        optimiser.step()
        states = [t for state in optimiser.state.values() for t in state.values()]
        taken += sum(tensor.nbytes for tensor in states if tensor.ndim)
    assert foreseen(model, optimizer=optimizer).optimiser == taken


def test_parts_add_up_at_the_peak():
    model = network()
    weights = 4 * model.num_parameters()
    one = foreseen(model)
    data = 4 * 3 * NUM_STEPS * 10
    assert (one.parameters, one.average, one.gradients) == (weights, weights, weights)
    # The activations are few here, so that the peak comes when the weights move.
    assert one.total == 5 * weights + data
    assert foreseen(model, accumulation=2).total == one.total + data + 1400
    many = dataclasses.replace(one, activations=10 * weights)
    assert many.total == 14 * weights + data


def test_frozen_weights_have_no_gradients_and_no_optimiser_state():
    model = network()
    model.requires_grad_(False)
    model.output_head.requires_grad_(True)
    head = sum(p.nbytes for p in model.output_head.parameters())
    found = foreseen(model)
    assert (found.gradients, found.optimiser) == (head, 2 * head)
    assert found.parameters == 4 * model.num_parameters()


def test_sharding_divides_what_lasts_and_gathers_one_layer_and_the_next():
    model = network()
    one = foreseen(model, accumulation=4)
    several = foreseen(model, accumulation=4, processes=4, parallel="fsdp2")
    for part in ("parameters", "average", "gradients", "optimiser", "data"):
        assert getattr(several, part) == getattr(one, part) // 4
    layers = [sum(p.nbytes for p in layer.parameters()) for layer in model.transformer.layers]
    rest = 4 * model.num_parameters() - sum(layers)
    assert several.gathered == rest + 2 * max(layers)
    replicated = foreseen(model, accumulation=4, processes=4, parallel="ddp")
    assert (replicated.parameters, replicated.gathered) == (one.parameters, one.gradients)


def told(settings, body=lambda: None):
    lines = []
    log = lambda record: lines.append(record["message"])  # noqa: E731
    with watched(network(), settings, num_steps=NUM_STEPS, device=CPU, log=log):
        body()
    return lines


def test_peak_is_told_before_and_after():
    before, after = told(SETTINGS)
    assert re.fullmatch(
        r"train: memory of a step, estimated: 0\.\d\d GB \(weights, gradients, optimiser and "
        r"average 0\.01, activations 0\.00\)",
        before,
    )
    assert re.fullmatch(r"train: memory of a step, measured: \d\.\d\d GB", after)


def test_batch_that_will_not_fit_is_told_and_tried():
    tried = []
    settings = dataclasses.replace(SETTINGS, batch_size=10**9)
    lines = told(settings, lambda: tried.append(1))
    assert re.fullmatch(
        r"train: memory = \d+\.\d\d GB estimated, \d+\.\d\d GB are available on cpu; if it fails, "
        r"lower train.batch_size and raise train.accumulation or set "
        r"train.activation_checkpointing: true",
        lines[1],
    )
    assert tried == [1]
    settings = dataclasses.replace(settings, activation_checkpointing=True)
    assert "activation_checkpointing" not in told(settings)[1]


def test_batch_that_did_not_fit_is_told_what_would():
    def fail():
        raise BatchTooLargeError("train: batch_size = 9, fewer")

    with pytest.raises(BatchTooLargeError) as raised:
        told(dataclasses.replace(SETTINGS, batch_size=10**9), fail)
    found = re.fullmatch(
        r"train: batch_size = 9, fewer; by the estimate (\d+) rows fit, more with "
        r"activation_checkpointing",
        str(raised.value),
    )
    assert found is not None
    assert 1000 < int(found[1]) < 10**8
    # One that the estimate would let pass: fewer rows than failed.
    with pytest.raises(BatchTooLargeError, match=r"by the estimate 3 rows fit$"):
        told(dataclasses.replace(SETTINGS, activation_checkpointing=True), fail)


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        "4m 16 float32 adamw",
        "4m 64 float32 adamw",
        "4m 64 bfloat16 adamw",
        "4m 64 float32 adamw --checkpointing",
    ],
)
def test_process_takes_what_was_foreseen(case):
    done = subprocess.run(
        [sys.executable, "benchmarks/memory.py", "--one", *case.split()],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    # Repeats of one case differ by 15 %: freed blocks are kept, and fit the next request or not.
    assert abs(math.log(found["taken"] / found["estimated"])) < math.log(1.6)
