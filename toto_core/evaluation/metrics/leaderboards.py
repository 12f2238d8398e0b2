"""Scores over many tasks, as leaderboards form them: a matrix of tasks and models in, one row out.

A task is a data set with its horizon (GIFT-Eval: configuration). The intervals tell how much the
choice of tasks matters; they are no evidence that a model is better on any one of them.

Shapes: T tasks, M models.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64
from scipy.stats import rankdata

# fev's leaderboards: no single task may decide.
CLIP = (0.01, 100.0)
NUM_RESAMPLES, SEED, ALPHA = 1000, 123, 0.05

Statistic = Callable[[Float[np.ndarray, "T M"]], Float[np.ndarray, " M"]]


def relative_errors(
    errors: Float[np.ndarray, "T M"],
    *,
    baseline: int,
    clip: tuple[float, float] | None = CLIP,
) -> Float64[np.ndarray, "T M"]:
    """Divide each task's errors by those of the baseline.

    Args:
        errors: positive.
        baseline: column of the baseline; seasonal naive in GIFT-Eval and fev.
        clip: least and largest ratio; None: as they are (GIFT-Eval).

    Raises:
        ValueError: if an error is not a positive number.
    """
    bad = np.argwhere(~(np.isfinite(errors) & (errors > 0)))
    if len(bad):
        task, model = bad[0].tolist()
        raise ValueError(
            f"relative_errors: {len(bad)} of {errors.size} errors are not positive numbers, first "
            f"errors[{task}, {model}] = {errors[task, model]}; leave the task out for all models"
        )
    ratios = errors / errors[:, [baseline]]
    return ratios if clip is None else np.clip(ratios, *clip)


def geometric_mean(ratios: Float[np.ndarray, "T M"]) -> Float64[np.ndarray, " M"]:
    """Return the geometric mean over the tasks; it ranks alike whatever the baseline is."""
    return np.exp(np.log(ratios).mean(axis=0))


def skill_scores(ratios: Float[np.ndarray, "T M"]) -> Float64[np.ndarray, " M"]:
    """Return 1 - geometric mean of the relative errors."""
    return 1 - geometric_mean(ratios)


def win_rates(errors: Float[np.ndarray, "T M"]) -> Float64[np.ndarray, " M"]:
    """Return the share of tasks and other models that each model beats; ties count half."""
    ranks = rankdata(errors, axis=1)
    return (errors.shape[1] - ranks).mean(axis=0) / (errors.shape[1] - 1)


def mean_ranks(errors: Float[np.ndarray, "T M"]) -> Float64[np.ndarray, " M"]:
    """Return the mean over the tasks of each model's rank, 1 = smallest error, ties shared."""
    return rankdata(errors, axis=1).mean(axis=0)


@dataclass(frozen=True)
class Leaderboard:
    """GIFT-Eval's two figures, one value for each model.

    Attributes:
        relative_error: geometric mean over the tasks of the errors relative to the baseline.
        mean_rank: among the models, 1 = best.
    """

    relative_error: Float64[np.ndarray, " M"]
    mean_rank: Float64[np.ndarray, " M"]


def leaderboard(errors: Float[np.ndarray, "T M"], *, baseline: int) -> Leaderboard:
    """Aggregate over tasks as GIFT-Eval does (arXiv:2410.10393): divide by seasonal naive first.

    Raises:
        ValueError: if an error is not a positive number.
    """
    return Leaderboard(
        relative_error=geometric_mean(relative_errors(errors, baseline=baseline, clip=None)),
        mean_rank=mean_ranks(errors),
    )


def bootstrap_interval(
    values: Float[np.ndarray, "T M"],
    statistic: Statistic,
    *,
    num_resamples: int = NUM_RESAMPLES,
    seed: int = SEED,
    alpha: float = ALPHA,
) -> tuple[Float64[np.ndarray, " M"], Float64[np.ndarray, " M"]]:
    """Return the percentile interval of a statistic when tasks are drawn with replacement.

    Args:
        alpha: share outside, half of it on each side.
    """
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, len(values), size=(num_resamples, len(values)))
    found = np.stack([statistic(values[draw]) for draw in draws])
    lower, upper = np.percentile(found, [50 * alpha, 100 - 50 * alpha], axis=0)
    return lower, upper
