"""The tests reject as often as an independent simulation says (longer: benchmarks)."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.special import stdtrit

from toto_core.evaluation.significance import giacomini_white_test

ROOT = Path(__file__).parents[2]
REPLICATIONS = 4000
STORED = json.loads((ROOT / "tests" / "golden" / "size_power.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def simulation():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("significance")


def rows_of(simulation, key, process, cells, **options):
    """The rows of a table: name of the variant, pairs of simulated and stored shares."""
    stored = STORED[key]
    columns = [stored["cells"].index(cell) for cell in cells]
    shares = [
        simulation.rejections(
            process, cell, stored["percent"], replications=REPLICATIONS, **options
        )
        for cell in cells
    ]
    return [
        (name, [(share[name], values[i]) for share, i in zip(shares, columns, strict=True)])
        for name, values in stored["percent"].items()
    ]


@pytest.mark.parametrize(
    ("key", "process", "cells", "options"),
    [
        pytest.param("moving_sum", "moving_sum", ("30/4", "60/1", "120/16"), {}, id="overlap"),
        pytest.param("persistent", "ar", ("60/1", "120/4"), {}, id="persistence"),
        pytest.param("skewed", "skewed", ("60/4",), {"two_sided": False}, id="lopsided"),
    ],
)
def test_every_variant_rejects_as_often_as_stored(simulation, key, process, cells, options):
    make = simulation.autoregression(0.5) if process == "ar" else getattr(simulation, process)
    rows = rows_of(simulation, key, make, cells, **options)
    assert len(rows) == 16
    z = simulation.distances(rows, REPLICATIONS, STORED["replications"][key])
    assert np.abs(z).max() < 4
    assert np.sqrt(np.mean(z**2)) < 2  # the variants of a cell see the same rows: not independent


def test_gate_keeps_its_size_where_others_do_not(simulation):
    names = (simulation.GATE, "HLN as R's bartlett", "Newey-West, Andrews' bandwidth, normal")
    for cell in ("60/1", "120/4", "250/8"):
        found = simulation.rejections(simulation.moving_sum, cell, names, replications=REPLICATIONS)
        assert 4.0 < found[simulation.GATE] < 7.0  # standard error 0.34
        if cell != "60/1":
            assert min(found[name] for name in names[1:]) > 8.5


def test_gate_refuses_most_of_what_is_too_persistent(simulation):
    stored = STORED["effective_overlap"]
    process = simulation.autoregression(0.9)
    rejected = simulation.rejections(
        process, "60/1", (simulation.GATE, simulation.COSINES), replications=REPLICATIONS
    )
    assert rejected[simulation.GATE] == pytest.approx(stored["percent"]["AR(0.9)"]["60/1"], abs=1.5)
    assert rejected[simulation.COSINES] > 20  # without the look at the data
    refused = np.mean(
        [
            np.mean(~simulation.ewc_rows(d, h=1).conclusive)
            for d in simulation.batches(process, 60, 1, REPLICATIONS)
        ]
    )
    assert 100 * refused == pytest.approx(stored["refused"]["AR(0.9)"]["60/1"], abs=2.5)


def test_half_the_level_makes_up_for_lopsided_losses(simulation):
    stored = STORED["halved_level"]
    for cell in ("60/1", "250/1"):
        found = simulation.rejections(
            simulation.skewed,
            cell,
            (simulation.GATE,),
            replications=REPLICATIONS,
            size=0.025,
            two_sided=False,
        )
        assert found[simulation.GATE] == pytest.approx(stored[cell], abs=1.4)


def test_power_is_as_stored(simulation):
    column = STORED["power"]["noncentrality"].index(3)
    for cell in ("60/1", "120/8"):
        stored = STORED["power"]["percent"][cell]
        found = simulation.rejections(
            simulation.moving_sum, cell, stored, replications=REPLICATIONS, two_sided=False, shift=3
        )
        for name, values in stored.items():
            assert found[name] == pytest.approx(values[column], abs=2.5)


def test_true_standard_error_of_a_mean_of_moving_sums(simulation):
    means = simulation.moving_sum(np.random.default_rng(0), 40_000, 20, 6).mean(axis=1)
    assert means.std() == pytest.approx(simulation.standard_error(20, 6), rel=0.02)


def test_gate_row_is_the_gate_s_test(simulation):
    d = simulation.moving_sum(np.random.default_rng(1), 40, 64, 4)
    statistic, critical = simulation.VARIANTS[simulation.GATE](d, 4, 0.975)
    rows = simulation.ewc_rows(d, h=4)
    assert np.array_equal(critical, stdtrit(rows.df, 0.975))
    assert np.array_equal(statistic != 0, rows.conclusive)


def test_series_are_a_sample_where_the_claim_is_about_new_ones():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        panels = importlib.import_module("panel_significance")
    rng = np.random.default_rng(2)
    made = [panels.panel(rng, 10, 60, 1, rho=0.0, effect=panels.EFFECT) for _ in range(400)]
    of_these, of_new = (
        100 * np.mean([panels.rejects(d_NT, 1, estimand) for d_NT in made])
        for estimand in ("these series", "new series")
    )
    assert of_these == pytest.approx(57, abs=10)  # what an independent simulation has
    assert of_new < 8.5  # 1 to 5 there; standard error 1


def test_giacomini_white_must_know_the_overlap(simulation):
    shares = []
    for n, h, told in ((60, 1, 1), (250, 4, 4), (250, 4, 1)):
        rows = simulation.moving_sum(np.random.default_rng([n, told]), 500, n, h)
        shares.append(np.mean([giacomini_white_test(d, h=told).p_value < 0.05 for d in rows]))
    alone, told, untold = shares
    assert 0.02 < alone < 0.08  # standard error 0.01
    assert told < 0.16
    assert untold > 0.95
