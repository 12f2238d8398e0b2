"""Mixtures of Student-T distributions: density, mean, distribution function and quantiles.

The distribution function is that of DLMF 8.17(v): the regularised incomplete beta function as a
continued fraction, which needs no library beyond torch.

Shapes: K components; Q quantile levels; ``*steps L`` any axes, at least one.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

_FRACTION_TERMS = 20
_TOLERANCE = 1e-8  # of the probability at a quantile
_MOST_STEPS = 100  # of the search for a quantile
# Steps whose quantiles are searched together: few enough for a processor's cache, and enough to
# keep a GPU busy.
_CHUNKS = {"cpu": 1024, "cuda": 65536}


class StudentTMixture(NamedTuple):
    """``sum_k weight_k * t(df_k, loc_k, scale_k)``; ``df`` is at least 2 and ``scale`` positive."""

    log_weight: Float[Tensor, "K *steps L"]
    df: Float[Tensor, "K *steps L"]
    loc: Float[Tensor, "K *steps L"]
    scale: Float[Tensor, "K *steps L"]

    def log_density(self, value: Float[Tensor, "*steps L"]) -> Float[Tensor, "*steps L"]:
        """The logarithm of the density at ``value``."""
        z = (value - self.loc) / self.scale
        return (self.log_weight + _log_density(z, self.df) - self.scale.log()).logsumexp(0)

    def mean(self) -> Float[Tensor, "*steps L"]:
        """The expected value."""
        return (self.log_weight.exp() * self.loc).sum(0)

    @torch.no_grad()
    def distribution(self, value: Float[Tensor, "*steps L"]) -> Float[Tensor, "*steps L"]:
        """The probability of at most ``value``."""
        below, _ = _distribution((value - self.loc) / self.scale, self.df, *_fractions(self.df))
        return (self.log_weight.exp() * below).sum(0)

    @torch.no_grad()
    def quantiles(self, levels: tuple[float, ...]) -> Float[Tensor, "Q *steps L"]:
        """The values below which the probabilities are ``levels``, in the dtype of ``loc``.

        Found in float64 by Newton's method within a bracket; each step by itself, so that its
        neighbours change no bit.
        """
        return _quantiles(self, levels)  # pyright: ignore[reportCallIssue]


def _log_density(z: Tensor, df: Tensor) -> Tensor:
    half = df / 2
    normaliser = torch.lgamma(half + 0.5) - torch.lgamma(half) - 0.5 * (df * math.pi).log()
    return normaliser - (half + 0.5) * (z.square() / df).log1p()


def _fractions(df: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Coefficients of the fractions for I_x(df / 2, 1 / 2) and I_y(1 / 2, df / 2), last first."""
    half, one_half = df / 2, torch.full_like(df, 0.5)
    return _coefficients(half, one_half), _coefficients(one_half, half)


def _coefficients(a: Tensor, b: Tensor) -> list[Tensor]:
    """DLMF 8.17.23, without their factor x."""
    found = []
    for term in range(_FRACTION_TERMS, 0, -1):
        m = term // 2
        if term % 2:
            found.append(-(a + m) * (a + b + m) / ((a + 2 * m) * (a + 2 * m + 1)))
        else:
            found.append(m * (b - m) / ((a + 2 * m - 1) * (a + 2 * m)))
    return found


def _fraction(coefficients: list[Tensor], x: Tensor) -> Tensor:
    """``1 + d_1 / (1 + d_2 / (1 + ...))`` with d_k = coefficient * x."""
    value = torch.ones_like(x)
    for coefficient in coefficients:
        value = 1 + coefficient * x / value
    return value


def _distribution(
    z: Tensor, df: Tensor, outer: list[Tensor], inner: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Probability of at most ``z`` and density at ``z`` of standard Student-T distributions.

    With x = df / (df + z^2) and y = 1 - x, x^(df/2) y^(1/2) / B(df/2, 1/2) is |z| times the
    density, so that both ways of DLMF 8.17.22 need no beta function: the probability beyond |z| is
    I_x(df/2, 1/2) / 2, the one between 0 and |z| is I_y(1/2, df/2) / 2. Each converges on its side
    of x = (df/2 + 1) / (df/2 + 5/2).
    """
    density = _log_density(z, df).exp()
    x = df / (df + z.square())
    area = z.abs() * density
    beyond = area / (df * _fraction(outer, x))
    within = area / _fraction(inner, 1 - x)
    beyond = torch.where(x < (df + 2) / (df + 5), beyond, 0.5 - within)
    return torch.where(z < 0, beyond, 1 - beyond), density


@torch.compiler.disable  # the search ends when its numbers say so
def _quantiles(mixture: StudentTMixture, levels: tuple[float, ...]) -> Tensor:
    chunk = _CHUNKS[mixture.loc.device.type]
    flat = [part.double().flatten(1).split(chunk, 1) for part in mixture]
    found = [_search(StudentTMixture(*part), levels) for part in zip(*flat, strict=True)]
    return torch.cat(found, 1).unflatten(1, mixture.loc.shape[1:]).to(mixture.loc.dtype)


def _search(mixture: StudentTMixture, levels: tuple[float, ...]) -> Tensor:
    """The quantiles of steps in one row, all in float64."""
    log_weight, df, loc, scale = mixture
    weight, fractions = log_weight.exp(), _fractions(df)
    level = torch.tensor(levels, dtype=loc.dtype, device=loc.device)[:, None]
    low, high = _bracket(mixture, level)
    value, step = (low + high) / 2, high - low
    for _ in range(_MOST_STEPS):
        below, density = _distribution((value[:, None] - loc) / scale, df, *fractions)
        excess = (weight * below).sum(1) - level
        slope = (weight * density / scale).sum(1)
        open_ = excess.abs() > _TOLERANCE
        if not open_.any():
            break
        low, high = torch.where(excess < 0, value, low), torch.where(excess > 0, value, high)
        newton = value - excess / slope
        # Newton's step where it stays within the bracket and at least halves the last one, else
        # the middle: it would swing to and fro across a narrow component.
        shrinks = (newton > low) & (newton < high) & ((newton - value).abs() < step.abs() / 2)
        step = torch.where(shrinks, newton, (low + high) / 2) - value
        value = torch.where(open_, value + step, value)
    return value


def _bracket(mixture: StudentTMixture, level: Tensor) -> tuple[Tensor, Tensor]:
    """Values between which the quantiles lie.

    A mixture's quantile lies between those of its components, and each of theirs, as df is at
    least 2, between the normal one and the one of df = 2, (2 p - 1) sqrt(2 / (4 p (1 - p))).
    """
    normal = torch.special.ndtri(level)
    heavy = (2 * level - 1) / (2 * level * (1 - level)).sqrt()
    ends = [mixture.loc + mixture.scale * end[:, None] for end in (normal, heavy)]
    nearer, farther = torch.minimum(*ends).amin(1), torch.maximum(*ends).amax(1)
    return nearer, farther
