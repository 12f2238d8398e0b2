"""Adjusted p-values equal R and statsmodels and keep the order of the questions."""

import inspect

import numpy as np
import pytest
from dm_golden import GOLDEN
from hypothesis import given
from hypothesis import strategies as st

from toto_core.evaluation.significance import Correction, adjusted_p_values

METHODS: dict[Correction, tuple[str, str]] = {
    "holm": ("holm", "holm"),
    "bh": ("BH", "fdr_bh"),
    "by": ("BY", "fdr_by"),
}


@pytest.mark.parametrize("method", METHODS)
def test_every_stored_value_is_equalled(method):
    stored = GOLDEN["multipletests"]
    of_r, of_statsmodels = METHODS[method]
    found = adjusted_p_values(np.array(stored["p"]), method=method)
    assert found == pytest.approx(stored["R"][of_r], abs=1e-12)
    assert found == pytest.approx(stored["statsmodels"][of_statsmodels], abs=1e-12)


def test_holm_by_hand():
    found = adjusted_p_values(np.array([0.04, 0.01, 0.03, 0.5]), method="holm")
    assert found == pytest.approx([0.09, 0.04, 0.09, 0.5])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_order_of_the_questions_does_not_matter(values, random):
    order = list(range(len(values)))
    random.shuffle(order)
    p = np.array(values)
    for method in METHODS:
        shuffled = adjusted_p_values(p[order], method=method)
        assert np.array_equal(shuffled, adjusted_p_values(p, method=method)[order])
        assert np.all(shuffled >= p[order] - 1e-15)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match="adjusted_p_values: 2 of 3 values are not within 0 to 1"):
        adjusted_p_values(np.array([0.1, np.nan, 1.2]), method="holm")
    with pytest.raises(ValueError, match="method = 'sidak', holm, bh or by is needed"):
        inspect.unwrap(adjusted_p_values)(np.array([0.1]), method="sidak")
