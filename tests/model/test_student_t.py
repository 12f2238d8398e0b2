"""Student-T mixtures agree with SciPy, with samples of themselves and with their own inverse."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from toto_core.model.student_t import StudentTMixture

LEVELS = (0.01, 0.1, 0.25, 0.5, 0.8, 0.9, 0.99)
DEGREES = (2.0, 2.01, 2.5, 3.0, 5.0, 30.0, 100.0, 1e3)


def mixture(num_components, num_steps, *, spread=1.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    logit, df, loc, scale = torch.randn(
        4, num_components, num_steps, generator=generator, dtype=dtype
    )
    return StudentTMixture(
        logit.log_softmax(0), 2.01 + F.softplus(3 * df), spread * loc, 0.01 + F.softplus(3 * scale)
    )


def single(df, loc=0.0, scale=1.0):
    parts = (torch.full((1, 1), value, dtype=torch.float64) for value in (0.0, df, loc, scale))
    return StudentTMixture(*parts)


def components(mix):
    """Weights, and SciPy's distributions."""
    weight, df, loc, scale = mix.log_weight.exp().numpy(), *(part.numpy() for part in mix[1:])
    return weight, stats.t(df, loc, scale)


@pytest.mark.parametrize("df", DEGREES)
def test_distribution_is_that_of_scipy_from_the_middle_to_the_tails(df):
    z = torch.cat([torch.linspace(-8, 8, 321), torch.logspace(-6, 4, 100)]).double()
    mix = StudentTMixture(*(part.expand(1, len(z)) for part in single(df)))
    found, expected = mix.distribution(z).numpy(), stats.t.cdf(z.numpy(), df)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    lower = z.numpy() < -2
    np.testing.assert_allclose(found[lower], expected[lower], rtol=1e-5)


@pytest.mark.parametrize("df", DEGREES)
def test_quantiles_of_one_component_are_those_of_scipy(df):
    found = single(df, loc=-3.0, scale=0.2).quantiles(LEVELS)[:, 0]
    np.testing.assert_allclose(found, stats.t.ppf(LEVELS, df, -3.0, 0.2), rtol=0, atol=1e-5)


def test_density_is_that_of_scipy():
    mix, value = mixture(3, 50), torch.linspace(-6, 6, 50, dtype=torch.float64)
    weight, parts = components(mix)
    expected = np.log((weight * parts.pdf(value.numpy())).sum(0))
    np.testing.assert_allclose(mix.log_density(value), expected, rtol=1e-10)


@pytest.mark.parametrize("spread", [0.1, 3.0, 100.0])
@pytest.mark.parametrize("num_components", [1, 2, 5])
def test_quantiles_invert_the_distribution_of_scipy(num_components, spread):
    """Far apart, and some a thousand times as narrow as others."""
    mix = mixture(num_components, 2000, spread=spread)
    weight, parts = components(mix)
    for level, value in zip(LEVELS, mix.quantiles(LEVELS).numpy(), strict=True):
        np.testing.assert_allclose((weight * parts.cdf(value)).sum(0), level, rtol=0, atol=1e-6)


def test_quantiles_agree_with_samples():
    mix, size = mixture(3, 4, seed=1), 200_000
    rng = np.random.default_rng(0)
    weight, df, loc, scale = (part.numpy() for part in (mix.log_weight.exp(), *mix[1:]))
    for step, quantiles in enumerate(mix.quantiles(LEVELS).numpy().T):
        part = rng.choice(3, size, p=weight[:, step])
        sample = loc[part, step] + scale[part, step] * rng.standard_t(df[part, step])
        below = (sample[:, None] <= quantiles).mean(0)
        errors = (below - LEVELS) / np.sqrt(np.array(LEVELS) * (1 - np.array(LEVELS)) / size)
        assert np.abs(errors).max() < 4.5
        assert sample.mean() == pytest.approx(
            mix.mean()[step].item(), abs=5 * sample.std() / size**0.5
        )


def test_quantiles_rise_with_their_levels_in_float32():
    found = mixture(5, 3000, dtype=torch.float32).quantiles(LEVELS)
    assert found.dtype == torch.float32
    assert (found.diff(dim=0) >= 0).all()


def test_quantiles_of_a_step_do_not_depend_on_the_others():
    mix = mixture(4, 1500, spread=30.0)
    whole = mix.quantiles(LEVELS)
    part = StudentTMixture(*(value[:, 1100:1103] for value in mix)).quantiles(LEVELS)
    assert torch.equal(whole[:, 1100:1103], part)


def test_quantiles_keep_the_shape_of_the_steps():
    flat = mixture(2, 24)
    shaped = StudentTMixture(*(value.reshape(2, 2, 3, 4) for value in flat)).quantiles(LEVELS)
    assert torch.equal(shaped, flat.quantiles(LEVELS).reshape(-1, 2, 3, 4))
    assert flat.quantiles((0.5,)).shape == (1, 24)


def test_what_is_not_finite_stays_so_and_ends():
    mix = mixture(2, 3)
    mix.loc[0, 1] = torch.nan
    found = mix.quantiles(LEVELS)
    assert found[:, 1].isnan().all()
    assert found[:, [0, 2]].isfinite().all()


def test_density_has_the_gradient_of_its_differences():
    value = torch.linspace(-2, 2, 6, dtype=torch.float64).requires_grad_()
    parts = [part.requires_grad_() for part in mixture(3, 6)]
    assert torch.autograd.gradcheck(
        lambda at, *inputs: StudentTMixture(*inputs).log_density(at), (value, *parts)
    )
