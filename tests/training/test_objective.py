"""Each part of the objective has its formula, and each of its settings moves its own part only."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats
from tiny_model import make_settings

from toto_core.model import SIZES, MixtureOutput, Output, Toto2, for_context
from toto_core.model.heads import mixture_of
from toto_core.training.losses import (
    anchored_targets,
    huber_sum,
    mixture_sum,
    objective_sum,
    pinball_sum,
)

B, V, P, L = 2, 3, 4, 32
NANO = for_context(SIZES["nano"], P * L)


def randn(*shape, seed=0, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def points(*, seed=0):
    """Targets [B, V, T], and weights of the predicted patches: some points do not count."""
    return randn(B, V, P * L, seed=seed), (randn(B, V, P - 1, L, seed=seed + 1) > -1).float()


def anchors():
    loc, scale = randn(B, V, P - 1, seed=7), randn(B, V, P - 1, seed=8).exp()
    return (part.repeat_interleave(L, -1) for part in (loc, scale))


def quantile_output(levels=(0.1, 0.5, 0.8)):
    return Output(randn(len(levels), B, V, P - 1, L, seed=3).requires_grad_(), *anchors(), levels)


def mixture_output(num_components=3):
    raw = randn(4 * num_components, B, V, P - 1, L, seed=4).requires_grad_()
    return raw, MixtureOutput(mixture_of(raw), *anchors())


def loss_of(output, **changes):
    return objective_sum(output, *points(), make_settings(**changes))


def targets_of(output):
    return anchored_targets(points()[0], output.loc, output.scale, patch_size=L)


def test_huber_is_a_parabola_up_to_delta_and_a_line_beyond():
    median, ones = torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4)
    target = torch.tensor([0.3, -0.5, 2.0, -3.0]).view(1, 1, 1, 4)
    found = huber_sum(median, target, ones, delta=0.5).item()
    assert found == pytest.approx(0.045 + 0.125 + 0.5 * (2 - 0.25) + 0.5 * (3 - 0.25))
    assert huber_sum(median, target, 0 * ones, delta=0.5) == 0


def test_mixture_loss_is_the_composite_of_toto_1():
    """SciPy's likelihood; Barron's loss at alpha = 0, log(1 + (x / delta)^2 / 2), on the mean."""
    raw, target = randn(8, 1, 1, 2, 3, dtype=torch.float64), randn(1, 1, 2, 3, seed=1).double()
    weight = torch.tensor([1.0, 0.0, 1.0]).expand(1, 1, 2, 3)
    mixture = mixture_of(raw)
    share, df, loc, scale = mixture.log_weight.exp().numpy(), *(p.numpy() for p in mixture[1:])
    nll = -np.log((share * stats.t.pdf(target.numpy(), df, loc, scale)).sum(0))
    cauchy = np.log1p(((target.numpy() - (share * loc).sum(0)) / 0.1) ** 2 / 2)
    for nll_share in (0.0, 0.57, 1.0):
        expected = ((nll_share * nll + (1 - nll_share) * cauchy) * weight.numpy()).sum()
        found = mixture_sum(mixture, target, weight, nll_share=nll_share)
        assert found.item() == pytest.approx(expected, rel=1e-9)


def test_gradients_in_asinh_space_are_those_of_the_likelihood_of_the_values():
    """The log-derivative of asinh((x - m) / s) with respect to x moves the loss and no gradient."""
    x, m, s = randn(1, 1, 2, 3, dtype=torch.float64), 0.7, 2.0
    raw = randn(8, 1, 1, 2, 3, seed=1, dtype=torch.float64).requires_grad_()
    z = ((x - m) / s).asinh()
    loss = -mixture_of(raw).log_density(z).sum()
    by_values = loss + (torch.log(s * ((x - m) / s).square().add(1).sqrt())).sum()
    assert not torch.isclose(loss, by_values)
    grads = [torch.autograd.grad(part, raw, retain_graph=True)[0] for part in (loss, by_values)]
    assert torch.equal(*grads)


def test_pinball_alone_is_bit_for_bit_what_it_is_without_huber():
    output = quantile_output()
    weight = points()[1]
    plain = pinball_sum(output.quantiles, targets_of(output), weight, output.levels)
    found = loss_of(output, huber_share=0.0)
    assert torch.equal(found, plain)
    grads = [torch.autograd.grad(loss, output.quantiles)[0] for loss in (found, plain)]
    assert torch.equal(*grads)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_huber_share_mixes_the_two_losses(share):
    output = quantile_output()
    parts = targets_of(output), points()[1]
    quantiles = output.quantiles
    pinball = pinball_sum(quantiles, *parts, output.levels)
    huber = huber_sum(quantiles[1], *parts, delta=0.3)
    found = loss_of(output, huber_share=share, huber_delta=0.3)
    torch.testing.assert_close(found, (1 - share) * pinball + share * huber)


def test_huber_pulls_at_the_median_alone():
    output = quantile_output(levels=(0.05, 0.1, 0.5, 0.9))
    (grad,) = torch.autograd.grad(loss_of(output, huber_share=1.0), output.quantiles)
    assert (grad[[0, 1, 3]] == 0).all()
    assert (grad[2] != 0).any()


def test_points_without_weight_have_no_gradient():
    raw, mixture = mixture_output()
    output = quantile_output()
    silent = points()[1] == 0
    for loss, leaf in (
        (loss_of(mixture), raw),
        (loss_of(output, huber_share=0.5), output.quantiles),
    ):
        (grad,) = torch.autograd.grad(loss, leaf)
        assert (grad[:, silent] == 0).all()
        assert (grad[:, ~silent] != 0).any(0).all()


def test_levels_of_the_output_are_those_of_the_loss():
    output = quantile_output()
    other = output._replace(levels=(0.1, 0.5, 0.9))
    assert loss_of(output) != loss_of(other)


QUANTILES = {"huber_share": 0.3, "huber_delta": 0.2}
MIXTURE = {"nll_share": 0.2}


def result(output, leaf, **changes):
    loss = loss_of(output, **changes)
    return loss.item(), torch.autograd.grad(loss, leaf, retain_graph=True)[0]


@pytest.mark.parametrize("name", [*QUANTILES, *MIXTURE])
@pytest.mark.parametrize("head", ["quantiles", "student_t"])
def test_setting_moves_the_loss_and_gradients_of_its_own_head_alone(head, name):
    if head == "quantiles":
        output = quantile_output()
        leaf, base, own = output.quantiles, {"huber_share": 0.5}, name in QUANTILES
    else:
        leaf, output = mixture_output()
        base, own = {}, name in MIXTURE
    loss, grad = result(output, leaf, **base)
    other_loss, other_grad = result(output, leaf, **base | {name: (QUANTILES | MIXTURE)[name]})
    assert (loss != other_loss) == own
    assert (not torch.equal(grad, other_grad)) == own


def test_huber_delta_does_nothing_without_a_share_of_huber():
    output = quantile_output()
    assert torch.equal(
        result(output, output.quantiles, huber_delta=0.1)[1],
        result(output, output.quantiles, huber_delta=10.0)[1],
    )


def network_loss(**changes):
    """Loss of a network with another head, and the gradient of its first matrix."""
    model = Toto2(dataclasses.replace(NANO, **changes), seed=0)
    target, weight = points()
    read = target[..., :-L]
    mask = torch.ones_like(read, dtype=torch.bool)
    output = model(read, mask, mask, torch.zeros(B, V, dtype=torch.int64))
    loss = objective_sum(output, target, weight, make_settings())
    loss.backward()
    return loss.item(), model.patch_proj.linear1.weight.grad


MIXED = {"head": "student_t", "num_components": 3}


@pytest.mark.parametrize(
    "changes",
    [MIXED, MIXED | {"num_components": 2}, {"quantile_levels": (0.2, 0.5, 0.8)}],
    ids=["head", "num_components", "quantile_levels"],
)
def test_head_of_the_configuration_moves_loss_and_gradients(changes):
    base = MIXED if changes.get("num_components") == 2 else {}
    (loss, grad), (other_loss, other_grad) = network_loss(**base), network_loss(**changes)
    assert loss != other_loss
    assert not torch.equal(grad, other_grad)
    assert other_grad.isfinite().all()


def test_levels_of_a_mixture_are_read_off_and_not_trained():
    (loss, grad), (other_loss, other_grad) = (
        network_loss(**MIXED, quantile_levels=levels)
        for levels in ((0.1, 0.5, 0.9), (0.01, 0.5, 0.99))
    )
    assert loss == other_loss
    assert torch.equal(grad, other_grad)


def test_gradients_are_those_of_differences():
    """Of Huber and the mixture; the pinball loss has a gradient of its own, tested by hand."""
    weight = torch.tensor([1.0, 0.0]).double().expand(1, 1, 2, 2)
    target = randn(1, 1, 2, 2, seed=5, dtype=torch.float64)
    median = randn(1, 1, 2, 2, seed=6, dtype=torch.float64).requires_grad_()
    raw = randn(12, 1, 1, 2, 2, seed=7, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: huber_sum(m, target, weight, delta=0.4), (median,))
    assert torch.autograd.gradcheck(
        lambda r: mixture_sum(mixture_of(r), target, weight, nll_share=0.57), (raw,)
    )


def test_extreme_targets_and_readouts_keep_loss_and_gradient_finite():
    raw = (30 * randn(12, 1, 1, 2, 64)).requires_grad_()
    target = torch.linspace(-40, 40, 128).view(1, 1, 2, 64)  # asinh of 1e17
    loss = mixture_sum(mixture_of(raw), target, torch.ones_like(target), nll_share=0.57)
    loss.backward()
    assert loss.isfinite()
    assert raw.grad.isfinite().all()


def test_constant_targets_cannot_make_the_likelihood_unbounded():
    raw = torch.cat([torch.zeros(3, 1, 1, 1, 1), torch.full((1, 1, 1, 1, 1), -100.0)])
    mixture = mixture_of(raw)
    zero, one = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    assert -6 < mixture_sum(mixture, zero, one, nll_share=1.0).item() < -3


def draw(shape, seed, size):
    """Draws of a symmetric or a skewed distribution, both with heavy tails."""
    rng = np.random.default_rng(seed)
    values = 0.5 * rng.standard_t(3, size)
    if shape == "skewed":
        values = np.where(rng.random(size) < 0.7, rng.normal(-0.5, 0.2, size), 0.8 + values)
    return torch.from_numpy(values).float().view(1, 1, 1, size)


def coverage_error(shape, *, nll_share, size=1000):
    """Largest error of the levels of a mixture that was fitted to draws, on fresh ones."""
    raw = torch.nn.Parameter(0.3 * randn(12, 1, 1, 1, 1))
    optimiser = torch.optim.Adam([raw])
    for step in range(200):
        optimiser.param_groups[0]["lr"] = 0.1 * (1 - step / 200)
        sample = draw(shape, step, size)
        mixture = mixture_of(raw.expand(-1, -1, -1, -1, size))
        optimiser.zero_grad()
        loss = mixture_sum(mixture, sample, torch.ones_like(sample), nll_share=nll_share)
        (loss / size).backward()
        optimiser.step()
    levels = (0.1, 0.3, 0.5, 0.7, 0.9)
    quantiles = mixture_of(raw.detach()).quantiles(levels).flatten()
    below = (draw(shape, 999, 50_000).flatten()[:, None] <= quantiles).float().mean(0)
    return (below - torch.tensor(levels)).abs().max().item()


@pytest.mark.parametrize("shape", ["symmetric", "skewed"])
def test_likelihood_alone_learns_the_distribution_it_is_shown(shape):
    assert coverage_error(shape, nll_share=1.0) < 0.02


def test_composite_loss_is_calibrated_where_mean_and_mode_agree_and_not_elsewhere():
    """The point loss draws the mean to where most points lie (docs/recipe.md, Objective)."""
    assert coverage_error("symmetric", nll_share=0.57) < 0.02
    assert coverage_error("skewed", nll_share=0.57) > 0.08
