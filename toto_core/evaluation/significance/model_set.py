"""Which of many forecasters may be the best one: bootstrap comparisons of the ``arch`` package.

They need the extra ``comparison`` and decide nothing in the pipeline, so that its results do not
depend on what is installed. Losses are one per origin and forecaster, as for all tests here.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
from jaxtyping import Float

from toto_core.errors import ConfigError

Bootstrap = Literal["stationary", "circular"]
# With fewer, a p-value near its level depends on the seed.
DEFAULT_REPS = 2000
# Differences below this share of the losses are rounding; the bootstrap would divide by them.
ROUNDING = 1e-12


@dataclass(frozen=True)
class ConfidenceSet:
    """The model confidence set of Hansen, Lunde and Nason 2011.

    Attributes:
        included: forecasters that cannot be told from the best one, in the order given.
        elimination_order: all forecasters, the one that was thrown out first at the front.
        p_values: the level up to which each one would stay in the set.
        size: the chance of throwing out the best one.
        block_size: mean or fixed length of the resampled blocks, origins.
    """

    included: tuple[str, ...]
    elimination_order: tuple[str, ...]
    p_values: Mapping[str, float]
    size: float
    block_size: int
    reps: int


@dataclass(frozen=True)
class SuperiorAbility:
    """Whether any of many forecasters beats a benchmark, the search among them accounted for.

    Attributes:
        p_lower: liberal, ``p_upper`` conservative (White 2000), ``p_consistent`` the one to use
            (Hansen 2005).
        superior: those that beat the benchmark each for itself, all errors together bounded by
            ``size`` (StepM of Romano and Wolf 2005), in the order given.
        block_size: mean or fixed length of the resampled blocks, origins.
    """

    p_lower: float
    p_consistent: float
    p_upper: float
    superior: tuple[str, ...]
    size: float
    block_size: int
    reps: int


def model_confidence_set(
    losses: Mapping[str, Float[np.ndarray, " n"]],
    *,
    h: int,
    seed: int,
    size: float = 0.1,
    reps: int = DEFAULT_REPS,
    block_size: int | None = None,
    bootstrap: Bootstrap = "stationary",
    method: Literal["R", "max"] = "R",
) -> ConfidenceSet:
    """Return the forecasters that may be the best one.

    Args:
        losses: of each forecaster, one per origin, averaged over steps and series.
        h: overlap of consecutive forecasts, origins.
        block_size: None = the least that is allowed, the larger of h and n^(1/3).
        method: ``R`` eliminates by the range of pairwise differences, ``max`` by the difference
            to the mean of the set.

    Raises:
        ConfigError: if ``arch`` is not installed.
        ValueError: for losses or settings that cannot be used.
    """
    table, block = _checked("model_confidence_set", losses, h, size, reps, block_size)
    arch = _arch("model_confidence_set")
    names = tuple(losses)
    options = {"block_size": block, "reps": reps, "bootstrap": bootstrap, "seed": seed}
    found = arch.MCS(table, size=size, method=method, **options)
    found.compute()
    p_values = {names[int(i)]: float(p) for i, p in found.pvalues["Pvalue"].items()}
    return ConfidenceSet(
        included=tuple(names[int(i)] for i in sorted(found.included)),
        elimination_order=tuple(p_values),
        p_values=p_values,
        size=size,
        block_size=block,
        reps=reps,
    )


def superior_ability(
    losses: Mapping[str, Float[np.ndarray, " n"]],
    *,
    benchmark: str,
    h: int,
    seed: int,
    size: float = 0.05,
    reps: int = DEFAULT_REPS,
    block_size: int | None = None,
    bootstrap: Bootstrap = "stationary",
) -> SuperiorAbility:
    """Test whether any forecaster beats the benchmark (SPA), and name those that do (StepM).

    Args:
        losses: of each forecaster, one per origin, averaged over steps and series.
        benchmark: name of one of them.
        h: overlap of consecutive forecasts, origins.
        size: of all statements of ``superior`` together.
        block_size: None = the least that is allowed, the larger of h and n^(1/3).

    Raises:
        ConfigError: if ``arch`` is not installed.
        ValueError: for losses or settings that cannot be used.
    """
    if benchmark not in losses:
        raise ValueError(
            f"superior_ability: benchmark = {benchmark!r}, one of {', '.join(losses)} is needed; "
            "name a forecaster of losses"
        )
    table, block = _checked("superior_ability", losses, h, size, reps, block_size)
    arch = _arch("superior_ability")
    rivals = [name for name in losses if name != benchmark]
    column = list(losses).index(benchmark)
    base, others = table[:, column], np.delete(table, column, axis=1)
    options = {"block_size": block, "reps": reps, "bootstrap": bootstrap, "seed": seed}
    spa = arch.SPA(base, others, **options)
    spa.compute()
    steps = arch.StepM(base, others, size=size, **options)
    steps.compute()
    return SuperiorAbility(
        p_lower=float(spa.pvalues["lower"]),
        p_consistent=float(spa.pvalues["consistent"]),
        p_upper=float(spa.pvalues["upper"]),
        superior=tuple(rivals[int(i)] for i in sorted(steps.superior_models)),
        size=size,
        block_size=block,
        reps=reps,
    )


def least_block_size(n: int, h: int) -> int:
    """Return the shortest block, origins, that keeps the dependence of n overlapping losses."""
    return max(h, math.ceil(round(n ** (1 / 3), 9)))


def _table(where: str, losses: Mapping[str, Float[np.ndarray, " n"]]) -> Float[np.ndarray, "n m"]:
    """Return one column for each forecaster."""
    if len(losses) < 2:
        raise ValueError(f"{where}: {len(losses)} forecasters, at least 2 are needed; add one")
    lengths = {name: len(values) for name, values in losses.items()}
    if len(set(lengths.values())) > 1:
        found = ", ".join(f"{number} of {name}" for name, number in lengths.items())
        raise ValueError(f"{where}: origins = {found}, the same ones are needed; align the losses")
    return np.stack([np.asarray(values, dtype=np.float64) for values in losses.values()], axis=1)


def _checked(
    where: str,
    losses: Mapping[str, Float[np.ndarray, " n"]],
    h: int,
    size: float,
    reps: int,
    block_size: int | None,
) -> tuple[Float[np.ndarray, "n m"], int]:
    table = _table(where, losses)
    n, names = len(table), list(losses)
    least = least_block_size(n, h)
    block = least if block_size is None else block_size
    faults = [
        f"{where}: losses of {name} has {missing} missing or infinite of {n} values, none is "
        "allowed; drop those origins for all"
        for name, missing in zip(names, (~np.isfinite(table)).sum(axis=0), strict=True)
        if missing
    ]
    faults += [
        f"{where}: losses of {first} and {second} differ by a constant, they must vary apart; "
        "leave out one of them"
        for i, first in enumerate(names)
        for j, second in enumerate(names[i + 1 :], start=i + 1)
        if np.ptp(table[:, i] - table[:, j]) <= ROUNDING * np.abs(table[:, i]).max()
    ]
    if not least <= block <= n // 2:
        faults.append(
            f"{where}: block_size = {block}, {least} to {n // 2} is allowed for {n} origins that "
            f"overlap {h} at a time; give one of these, or more origins"
        )
    if not 0 < size < 1:
        faults.append(f"{where}: size = {size:g}, above 0 and below 1 is allowed; give e.g. 0.1")
    if reps < 1:
        faults.append(f"{where}: reps = {reps}, at least 1 is allowed; give {DEFAULT_REPS}")
    if faults:
        raise ValueError("\n".join(faults))
    return table, block


def _arch(where: str) -> ModuleType:
    # Here and not above: the package is an extra, and it imports pandas.
    try:
        import arch.bootstrap  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"{where}: arch = not installed, version 8 is needed; "
            "pip install 'toto-pipeline[comparison]'"
        ) from error
    return arch.bootstrap
