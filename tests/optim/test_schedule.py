"""The learning rate rises, stays and falls where the shares say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from repository_settings import settings_with

from toto_core.optim.schedule import cosine_factor, learning_rate_factor, wsd_factor

SHARES = {"warmup_share": 0.1, "decay_share": 0.4}


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        pytest.param(0, 0.1, id="first step of ten of warm-up"),
        pytest.param(9, 1.0, id="end of warm-up"),
        pytest.param(60, 1.0, id="last step before the decay bites"),
        pytest.param(80, 0.5, id="half of the decay"),
        pytest.param(99, 0.025, id="last step"),
        pytest.param(100, 0.0, id="after the run"),
    ],
)
def test_factor_at_marked_steps(step, factor):
    assert wsd_factor(step, max_steps=100, **SHARES) == pytest.approx(factor)


def test_shares_of_zero_keep_the_peak():
    factors = {wsd_factor(s, max_steps=10, warmup_share=0.0, decay_share=0.0) for s in range(10)}
    assert factors == {1.0}


@given(st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))
def test_factor_is_in_range_and_never_rises_after_it_fell(max_steps, warmup_share, decay_share):
    factors = [
        wsd_factor(s, max_steps=max_steps, warmup_share=warmup_share, decay_share=decay_share)
        for s in range(max_steps)
    ]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[top:] == sorted(factors[top:], reverse=True)
    assert factors[: top + 1] == sorted(factors[: top + 1])


@pytest.mark.parametrize(
    ("step", "factor"),
    [
        pytest.param(0, 0.1, id="first step of ten of warm-up"),
        pytest.param(9, 1.0, id="end of warm-up"),
        pytest.param(55, 0.5, id="half of the rest"),
        pytest.param(100, 0.0, id="after the run"),
    ],
)
def test_cosine_at_marked_steps(step, factor):
    assert cosine_factor(step, max_steps=100, warmup_share=0.1) == pytest.approx(factor)


@given(st.integers(1, 500), st.floats(0, 1))
def test_cosine_is_in_range_and_never_rises_after_it_fell(max_steps, warmup_share):
    factors = [
        cosine_factor(s, max_steps=max_steps, warmup_share=warmup_share) for s in range(max_steps)
    ]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[top:] == sorted(factors[top:], reverse=True)


def test_settings_choose_the_schedule_and_its_shares():
    shares = {"max_steps": 100, "warmup_share": 0.1, "decay_share": 0.4}
    wsd = [learning_rate_factor(s, settings_with(schedule="wsd", **shares)) for s in (4, 50, 80)]
    assert wsd == pytest.approx([0.5, 1.0, 0.5])
    cosine = [learning_rate_factor(s, settings_with(schedule="cosine", **shares)) for s in (4, 55)]
    assert cosine == pytest.approx([0.5, 0.5])
