"""What holds for all synthetic families: repeatable by number, finite, drawn as weighted."""

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toto_core.config import FamilyWeights
from toto_core.data.synthetic import FAMILIES, generate, synthetic_series, worthwhile_processes

BEGIN_LATE = {"economy"}  # with missing values before the first, docs/data.md
ALL = dict.fromkeys(FAMILIES, 1.0)


def only(name):
    return {family: float(family == name) for family in FAMILIES}


def test_every_family_has_a_weight_in_the_params():
    assert list(FamilyWeights.model_fields) == list(FAMILIES)


@given(
    name=st.sampled_from(sorted(FAMILIES)),
    length=st.integers(1, 3000),
    seed=st.integers(0, 2**40),
    index=st.integers(0, 2**40),
)
@settings(max_examples=100, deadline=None)
def test_series_is_float32_of_the_length_asked_for_and_finite(name, length, seed, index):
    drawn, values = synthetic_series(seed, index, length=length, weights=only(name))
    assert drawn == name
    assert values.ndim == 2
    assert 1 <= len(values) <= 8
    assert values.shape[1] == length
    assert values.dtype == np.float32
    assert np.isfinite(values).all() or name in BEGIN_LATE


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_series_vary_and_differ(name):
    series = [values for _, values in generate(0, 60, length=512, weights=only(name))]
    assert np.mean([np.nanstd(values, axis=1).min() > 0 for values in series]) > 0.9
    assert len({values.tobytes() for values in series}) == 60


def test_series_is_a_function_of_seed_and_index():
    first = list(generate(0, 100, length=200, weights=ALL))
    for index in (99, 3, 11):
        name, values = synthetic_series(0, index, length=200, weights=ALL)
        assert name == first[index][0]
        np.testing.assert_array_equal(values, first[index][1])
    others = list(generate(1, 100, length=200, weights=ALL))
    pairs = zip(first, others, strict=True)
    assert not any(np.array_equal(a, b) for (_, a), (_, b) in pairs)


def test_any_number_of_processes_gives_the_same_series_in_the_same_order():
    alone = list(generate(3, 28, length=60_000, weights=ALL))
    shared = generate(3, 28, length=60_000, weights=ALL, processes=2)
    for (name, values), (its_name, its_values) in zip(alone, shared, strict=True):
        assert name == its_name
        np.testing.assert_array_equal(values, its_values)


def test_processes_end_with_a_reader_that_stops_early():
    series = generate(0, 200, length=60_000, weights=only("intermittent"), processes=2)
    assert next(series)[0] == "intermittent"
    series.close()


def test_families_are_drawn_as_weighted_and_never_at_weight_zero():
    weights = only("intermittent") | {"trend_season": 3.0}
    names = [name for name, _ in generate(0, 800, length=8, weights=weights)]
    assert set(names) == {"trend_season", "intermittent"}
    assert abs(np.mean([name == "trend_season" for name in names]) - 0.75) < 4 * np.sqrt(
        0.75 * 0.25 / 800
    )


def test_few_points_are_made_by_this_process_alone():
    assert worthwhile_processes(400 * 1024) == 1


def test_no_more_processes_than_cores_make_many_points():
    assert worthwhile_processes(10**12) == len(os.sched_getaffinity(0))
