"""The gate tries itself on series whose truth is known.

python -m toto_core.evaluation.selftest

Forecasts are made at every origin of simulated series and go the whole way of the pipeline, through
the real baselines, losses, report and gate. A forecaster without skill must not pass, the one that
knows the law of the series must, and where the sign of every stretch of the differentials is drawn
by lot the p-values must be uniform. Whoever changes a rule of the gate sees here what it lets in.

Shapes: V series, T steps, N origins, H steps ahead, Q quantile levels, R repetitions.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float32, Float64
from scipy.special import ndtri, stdtr
from scipy.stats import kstest

from toto_core.config import Params, load_params
from toto_core.data.splits import Splits, from_us, to_us
from toto_core.data.tables import TARGET, Item
from toto_core.evaluation.backtest import backtest
from toto_core.evaluation.checks import Provenance
from toto_core.evaluation.gate import judge
from toto_core.evaluation.metrics import MODEL, QUANTILE_LEVELS, Tally
from toto_core.evaluation.paired import CELL, by_origin, side_by_side
from toto_core.evaluation.protocol import Frozen, protocol_hash
from toto_core.evaluation.scores import CANDIDATE, evaluation_report
from toto_core.evaluation.significance import ewc_rows
from toto_core.evaluation.verdict import MANDATORY, PASS, Verdict

HOUR_US = 3_600_000_000
NUM_SERIES, NUM_ORIGINS, HORIZON = 12, 64, 8
PAST = 700  # steps before the first test origin
SEASON = 24
# Of the autoregression: knowing it takes a tenth off the loss of no change over the horizon.
PERSISTENCE = 0.91
SHARED = 0.2  # of the variance of a shock, by all series at once
FORECASTERS = ("no change", "no change plus noise", "the law of the series")
SKILLFUL = FORECASTERS[2]
NOISE = 0.3  # of the spread of a step's shock
BLOCK, NUM_FLIPS = 4, 2000  # origins of a stretch, and draws of signs
LEAST_P = 1e-3  # of the Kolmogorov-Smirnov test against the uniform law
OWN = {"baselines": MANDATORY, "seasonality": SEASON, "naive_window": 500}


@dataclass(frozen=True)
class Finding:
    """One question of the self-test and its answer."""

    name: str
    is_fine: bool
    found: str


def selftest(params: Params, *, num_panels: int, seed: int = 0) -> list[Finding]:
    """Try the gate with the thresholds of ``params`` on ``num_panels`` simulated panels."""
    passed = dict.fromkeys(FORECASTERS, 0)
    uniform = []
    for panel in range(num_panels):
        for name in FORECASTERS:
            losses, verdict = judged(name, params, seed=seed + panel)
            passed[name] += verdict.outcome == PASS
            if name == SKILLFUL:
                uniform.append(sign_flips(losses, seed=seed + panel))
    findings = [
        Finding(
            f"{name} {'passes' if name == SKILLFUL else 'does not pass'}",
            count == (num_panels if name == SKILLFUL else 0),
            f"{count} of {num_panels} panels pass",
        )
        for name, count in passed.items()
    ]
    lowest = min(uniform)
    found = f"lowest p of the Kolmogorov-Smirnov tests {lowest:.3g}"
    # Of several panels the lowest is judged.
    fine = lowest > LEAST_P / num_panels
    return [*findings, Finding("differentials of random sign give uniform p-values", fine, found)]


def judged(name: str, params: Params, *, seed: int) -> tuple[pl.DataFrame, Verdict]:
    """Judge one of ``FORECASTERS`` on the panel of this seed; return its losses and the verdict."""
    items, splits = simulate(seed)
    forecasts = backtest(
        items,
        splits.test_origins_us,
        splits,
        law_of_the_series,
        context_length=PAST,
        params=params.evaluate.model_copy(update=OWN),
    )
    if name != SKILLFUL:
        spread = NOISE if name == FORECASTERS[1] else 0.0
        forecasts = forecasts.with_columns(model=_noisy(forecasts["naive"], spread, seed))
    facts = pl.DataFrame(
        {
            "item_id": [item.item_id for item in items],
            "group": [item.group for item in items],
            "variate": "value",
            "held_out": False,
            "scale": [_scale(item) for item in items],
        }
    )
    tally = Tally(facts, forecasters=(MODEL, *MANDATORY), source=CANDIDATE).add_all([forecasts])
    losses = tally.losses()
    report = evaluation_report(
        losses,
        tally.profile,
        overlap=splits.overlap,
        exclusions=[],
        outside=[],
        seasonality={splits.freq: SEASON},
    )
    report["contamination"] = {"overlap": "none", "asked": len(items), "checkable": len(items)}
    protocol = {"seed": seed}
    verdict = judge(
        losses,
        splits=splits.to_json(),
        evaluation=report,
        provenance=Provenance(from_us(to_us(splits.validation_start) - HOUR_US), "x", "x"),
        frozen=Frozen(protocol, protocol_hash(protocol), protocol, ()),
        params=params.register_,
    )
    return losses, verdict


def simulate(seed: int) -> tuple[list[Item], Splits]:
    """Draw hourly autoregressions whose shocks share a part, and the splits of their last steps."""
    rng = np.random.default_rng([seed, 0])
    num_steps = PAST + NUM_ORIGINS * HORIZON
    own = rng.standard_normal((NUM_SERIES, num_steps))
    shocks_VT = np.sqrt(1 - SHARED) * own + np.sqrt(SHARED) * rng.standard_normal(num_steps)
    values_VT = np.empty_like(shocks_VT)
    values_VT[:, 0] = shocks_VT[:, 0] / np.sqrt(1 - PERSISTENCE**2)
    for step in range(1, num_steps):
        values_VT[:, step] = PERSISTENCE * values_VT[:, step - 1] + shocks_VT[:, step]
    stamps = np.arange(num_steps) * HOUR_US
    names = [f"series-{n:02d}" for n in range(NUM_SERIES)]
    items = [
        Item(
            item_id=name,
            freq="1h",
            group=f"group-{n // 3}",
            source="simulated",
            timestamps=stamps,
            values=values_VT[n : n + 1].astype(np.float32),
            variates=("value",),
            roles=(TARGET,),
        )
        for n, name in enumerate(names)
    ]
    origins = [from_us(int(stamps[step])) for step in range(PAST, num_steps, HORIZON)]
    splits = Splits(
        prediction_length=HORIZON,
        stride=HORIZON,
        overlap=1,
        freq="1h",
        step_us=HOUR_US,
        validation_start=from_us(int(stamps[PAST - 10 * HORIZON])),
        test_start=origins[0],
        test_end=from_us(int(stamps[-1]) + HOUR_US),
        test_origins=tuple(origins),
        validation_origins=(from_us(int(stamps[PAST - 10 * HORIZON])),),
        min_context=SEASON,
        held_out_groups=(),
        held_out_items=(),
        train_items=tuple(names),
        folds=(),
    )
    return items, splits


def law_of_the_series(
    contexts: list[Float32[np.ndarray, "V T"]],
) -> list[Float32[np.ndarray, "V Q H"]]:
    """Forecast what the autoregression does: its conditional quantiles."""
    ahead = np.arange(1, HORIZON + 1)
    spread = np.sqrt((1 - PERSISTENCE ** (2 * ahead)) / (1 - PERSISTENCE**2))
    around = np.outer(ndtri(np.array(QUANTILE_LEVELS)), spread)
    return [
        (context[:, -1, None, None] * PERSISTENCE**ahead + around).astype(np.float32)
        for context in contexts
    ]


def sign_flips(losses: pl.DataFrame, *, seed: int) -> float:
    """Draw the sign of each stretch of the differentials by lot, test, and ask for uniformity.

    Returns:
        the p-value of the Kolmogorov-Smirnov test of the p-values against the uniform law.
    """
    panel = side_by_side(losses, index=CELL, forecasters=(MODEL, "naive"))
    d: Float64[np.ndarray, " N"] = by_origin(panel, "naive") - by_origin(panel, MODEL)
    rng = np.random.default_rng([seed, 2])
    signs = rng.choice([-1.0, 1.0], (NUM_FLIPS, len(d) // BLOCK)).repeat(BLOCK, axis=1)
    rows = ewc_rows(d[: signs.shape[1]] * signs, h=1)
    decided = rows.conclusive
    statistics = rows.mean[decided] / rows.std_error[decided]
    return float(kstest(stdtr(rows.df[decided], -statistics), "uniform").pvalue)


def _noisy(quantiles: pl.Series, spread: float, seed: int) -> pl.Series:
    """Move all quantiles of a cell by the same draw."""
    values = quantiles.to_numpy()
    shift = spread * np.random.default_rng([seed, 1]).standard_normal((len(values), 1))
    return pl.Series(MODEL, (values + shift).astype(np.float32), dtype=quantiles.dtype)


def _scale(item: Item) -> float:
    past = item.values[0, :PAST].astype(np.float64)
    return float(np.abs(past[SEASON:] - past[:-SEASON]).mean())


def main() -> None:
    """Print the findings for the thresholds of params.yaml; end with 1 if one is not as it must."""
    findings = selftest(load_params(Path("params.yaml")), num_panels=10)
    lines = [f"{'ok' if f.is_fine else 'NOT OK'}: {f.name}: {f.found}\n" for f in findings]
    sys.stdout.writelines(lines)
    sys.exit(not all(finding.is_fine for finding in findings))


if __name__ == "__main__":
    main()
