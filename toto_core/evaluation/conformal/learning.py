"""Learn a correction from forecasts at validation origins.

The score of a cell at level q is (target - quantile) / predicted spread. The shift at that level is
the order statistic of the scores that split conformal prediction takes: of n scores the
ceil((n + 1) q)-th smallest above the median and the floor((n + 1) q)-th below it, rounded outwards
so that few scores widen an interval (Vovk, Gammerman and Shafer 2005; Romano, Patterson and Candes
2019).

Were cells exchangeable, that would be all. They are not: the cells of one origin share its shocks,
and origins near in time share theirs. So the shift is shrunk by what is uncertain of it. Its
variance comes from leaving out one block of consecutive origins after the other, and is set
against its size over all levels at once (positive-part James and Stein 1961): what many origins
agree on stays, what a few of them say vanishes.

Shapes: N scores, Q levels, H steps, G blocks of origins.
"""

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float64, Int

from toto_core.data.splits import from_us
from toto_core.errors import DataError
from toto_core.evaluation.conformal.correction import Calibration, Method
from toto_core.evaluation.conformal.tails import fit_tail
from toto_core.evaluation.metrics.keys import MODEL, ORIGIN_KEYS, QUANTILE_LEVELS

NUM_BLOCKS = 8
# A step with fewer scores is corrected as all steps are together.
MIN_SCORES_OF_STEP = 20


@dataclass(frozen=True)
class _Scores:
    """Cells with a target and a spread, in order of their steps."""

    scores: Float64[np.ndarray, "N Q"]
    blocks: Int[np.ndarray, " N"]
    ends: Int[np.ndarray, " H"]  # first cell after each step
    num_blocks: int

    def of_step(self, step: int) -> "_Scores":
        """The cells of one step, counted from 0."""
        rows = slice(int(self.ends[step - 1]) if step else 0, int(self.ends[step]))
        return _Scores(self.scores[rows], self.blocks[rows], self.ends[:0], self.num_blocks)


def learn(
    forecasts: pl.DataFrame,
    *,
    method: Method,
    shrinkage: bool,
    prediction_length: int,
    min_origins: int,
    min_scores: int,
    before_us: int,
    candidate: str,
) -> Calibration:
    """Learn the correction of one model.

    Args:
        forecasts: of validation origins, as ``backtest`` makes them.
        method: ``none`` corrects nothing and learns the tails alone; ``pooled`` corrects all steps
            alike, ``per_step`` each by itself.
        shrinkage: whether a shift is shrunk by its uncertainty; without it the order statistic
            is taken as it is.
        min_origins: with fewer origins, or fewer scores than ``min_scores``, nothing is corrected
            and ``reason`` says so.
        before_us: T1 in microseconds.

    Raises:
        DataError: if a target lies at or after T1.
    """
    _refuse_leaks(forecasts, before_us)
    quantile_NQ = forecasts[MODEL].to_numpy().astype(np.float64).reshape(-1, len(QUANTILE_LEVELS))
    target_N = forecasts["target"].cast(pl.Float64).fill_null(math.nan).to_numpy()
    spread_N = quantile_NQ[:, -1] - quantile_NQ[:, 0]
    used = forecasts.filter(np.isfinite(target_N) & (spread_N > 0)).sort(
        "step", maintain_order=True
    )
    num_origins = used["origin"].n_unique()
    shifts_HQ, weights, reason = (
        np.zeros((0, 0)),
        (0.0, 0.0),
        f"not calibrated: calibrate.method = {method}",
    )
    if used.height < min_scores or num_origins < min_origins:
        reason = (
            f"not calibrated: {used.height} scores at {num_origins} origins, at least {min_scores} "
            f"at {min_origins} are needed; raise split.num_validation_origins"
        )
    elif method != "none":
        scores = _scores(used, prediction_length)
        shifts_HQ, weights = _shifts(scores, method=method, shrinkage=shrinkage)
        reason = "" if any(weights) else "not calibrated: the origins agree on no shift"
        shifts_HQ = shifts_HQ if any(weights) else shifts_HQ[:0]
    bare = Calibration(
        method=method,
        reason=reason,
        levels=QUANTILE_LEVELS,
        shifts=tuple(tuple(row) for row in shifts_HQ.tolist()),
        weights=weights,
        lower=None,
        upper=None,
        num_scores=used.height,
        num_forecasts=used.select(pl.struct(ORIGIN_KEYS).n_unique()).item(),
        num_origins=num_origins,
        candidate=candidate,
    )
    return _with_tails(bare, used) if used.height >= min_scores else bare


def validation_coverage(forecasts: pl.DataFrame) -> dict[str, float]:
    """Return the share of targets at or below the model's quantile of each level."""
    seen = forecasts.filter(pl.col("target").is_finite().fill_null(value=False))
    below_NQ = seen["target"].to_numpy()[:, None] <= seen[MODEL].to_numpy()
    shares = below_NQ.sum(axis=0) / max(1, len(below_NQ))
    return dict(zip((f"{level:g}" for level in QUANTILE_LEVELS), shares.tolist(), strict=True))


def _refuse_leaks(forecasts: pl.DataFrame, before_us: int) -> None:
    late = int((forecasts["timestamp"].to_physical() >= before_us).sum())
    if late:
        raise DataError(
            f"calibrate: {late} of {forecasts.height} targets lie at or after T1 = "
            f"{from_us(before_us).isoformat()}, targets of the validation period are allowed; "
            "the test period must not choose the correction"
        )


def _scores(used: pl.DataFrame, prediction_length: int) -> _Scores:
    quantile_NQ = used[MODEL].to_numpy().astype(np.float64)
    target_N = used["target"].to_numpy().astype(np.float64)
    spread_N = quantile_NQ[:, -1] - quantile_NQ[:, 0]
    origins, origin_N = np.unique(used["origin"].to_physical().to_numpy(), return_inverse=True)
    num_blocks = min(NUM_BLOCKS, len(origins))
    block_of_origin = np.arange(len(origins)) * num_blocks // len(origins)
    return _Scores(
        (target_N[:, None] - quantile_NQ) / spread_N[:, None],
        block_of_origin[origin_N],
        np.searchsorted(used["step"].to_numpy(), np.arange(1, prediction_length + 1), "right"),
        num_blocks,
    )


def _shifts(
    scores: _Scores, *, method: Method, shrinkage: bool
) -> tuple[Float64[np.ndarray, "H Q"], tuple[float, float]]:
    """Return the shifts and the weights of their common and their own part."""
    shared_Q, shared_GQ = _order_statistics(scores)
    weight = _certain_share(shared_Q, shared_GQ) if shrinkage else 1.0
    if method == "pooled":
        return weight * shared_Q[None], (weight, 0.0)
    num_steps, num_levels = len(scores.ends), len(shared_Q)
    own_HQ = np.zeros((num_steps, num_levels))
    own_GHQ = np.zeros((scores.num_blocks, num_steps, num_levels))
    for step in range(num_steps):
        part = scores.of_step(step)
        if len(part.scores) >= MIN_SCORES_OF_STEP:
            found_Q, found_GQ = _order_statistics(part)
            own_HQ[step], own_GHQ[:, step] = found_Q - shared_Q, found_GQ - shared_GQ
    own_weight = _certain_share(own_HQ, own_GHQ) if shrinkage else 1.0
    return weight * shared_Q + own_weight * own_HQ, (weight, own_weight)


def _order_statistics(
    scores: _Scores,
) -> tuple[Float64[np.ndarray, " Q"], Float64[np.ndarray, "G Q"]]:
    """Return the conformal order statistic of each level, of all scores and without each block."""
    num_levels = scores.scores.shape[1]
    all_Q, without_GQ = np.zeros(num_levels), np.zeros((scores.num_blocks, num_levels))
    for level in range(num_levels):
        order = np.argsort(scores.scores[:, level], kind="stable")
        ordered, block = scores.scores[order, level], scores.blocks[order]
        all_Q[level] = _pick(ordered, QUANTILE_LEVELS[level])
        for left_out in range(scores.num_blocks):
            rest = ordered[block != left_out]
            without_GQ[left_out, level] = (
                _pick(rest, QUANTILE_LEVELS[level]) if len(rest) else all_Q[level]
            )
    return all_Q, without_GQ


def _pick(ordered: Float64[np.ndarray, " N"], level: float) -> float:
    rank = round((len(ordered) + 1) * level, 9)  # 0.7 * 10 is a little less than 7
    low, high = math.floor(rank), math.ceil(rank)
    if level < 0.5:
        high = low
    elif level > 0.5:
        low = high
    low, high = (min(max(k, 1), len(ordered)) for k in (low, high))
    return float((ordered[low - 1] + ordered[high - 1]) / 2)


def _certain_share(
    found: Float64[np.ndarray, "*parts Q"], without: Float64[np.ndarray, "G *parts Q"]
) -> float:
    """Return the share of ``found`` that its jackknife variance leaves, 0 to 1."""
    num_blocks = len(without)
    size = float(np.square(found).sum())
    if num_blocks < 2 or size == 0:
        return 0.0
    spread = np.square(without - without.mean(axis=0)).sum()
    return max(0.0, 1 - float(spread) * (num_blocks - 1) / num_blocks / size)


def _with_tails(bare: Calibration, used: pl.DataFrame) -> Calibration:
    """Add what lies beyond the outermost corrected quantiles."""
    corrected_NQ = bare.corrected(
        used[MODEL].to_numpy().astype(np.float32), used["step"].to_numpy()
    ).astype(np.float64)
    target_N = used["target"].to_numpy().astype(np.float64)
    spread_N = corrected_NQ[:, -1] - corrected_NQ[:, 0]
    tails = {}
    for name, beyond_N, share in (
        ("lower", corrected_NQ[:, 0] - target_N, bare.levels[0]),
        ("upper", target_N - corrected_NQ[:, -1], 1 - bare.levels[-1]),
    ):
        outside = (beyond_N > 0) & (spread_N > 0)
        tails[name] = fit_tail(
            beyond_N[outside] / spread_N[outside],
            share=round(share, 12),
            num_forecasts=bare.num_forecasts,
        )
    return bare.model_copy(update=tails)
