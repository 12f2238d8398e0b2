"""Score an array of forecasts with fev and with GluonTS (``benchmarks.evaluation`` runs this).

python evaluation_peers.py PART.npz prints their processor times and figures as JSON. Only the
evaluators are timed: fev's metrics get arrays at once, without its data sets, and the forecast
objects of GluonTS are made before.
"""

import json
import sys
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

# These are found in the environment of the peers alone.
import fev.metrics  # pyright: ignore[reportMissingImports]
import gluonts.ev.metrics as gluonts_metrics  # pyright: ignore[reportMissingImports]
import numpy as np
import pandas as pd
from gluonts.model.evaluation import evaluate_forecasts  # pyright: ignore[reportMissingImports]
from gluonts.model.forecast import QuantileForecast  # pyright: ignore[reportMissingImports]

FEV = {
    "MASE": "mase",
    "SQL": "sql",
    "WQL": "wql",
    "MQL": "mql",
    "MAE": "mae",
    "RMSE": "rmse",
    "SMAPE": "smape",
}
GLUONTS = {
    "MASE[0.5]": "mase",
    "average_mean_scaled_quantile_loss": "sql",
    "mean_weighted_sum_quantile_loss": "wql",
    "MAE[0.5]": "mae",
    "RMSE[0.5]": "rmse",
    "sMAPE[0.5]": "smape",
}


@dataclass(frozen=True)
class Part:
    """Windows with the same history each: past [N, T], target [N, H], quantiles [N, H, Q]."""

    past: np.ndarray
    target: np.ndarray
    quantiles: np.ndarray
    levels: list[float]
    season: int


def with_fev(part: Part) -> dict[str, Any]:
    """Return processor time and figures of fev's metrics."""
    arrays = {
        "y_true": part.target[:, :, None].astype(np.float64),
        "y_pred": part.quantiles[:, :, part.levels.index(0.5), None].astype(np.float64),
        "y_past": part.past.reshape(-1, 1).astype(np.float64),
        "y_past_lengths": np.full(len(part.past), part.past.shape[1]),
        "q_pred": part.quantiles[:, :, None, :].astype(np.float64),
    }
    begun = time.process_time()
    found = {
        own: fev.metrics.get_metric(name).compute(
            **arrays, seasonality=part.season, quantile_levels=part.levels
        )
        for name, own in FEV.items()
    }
    return {"processor_s": time.process_time() - begun, "scores": found}


def with_gluonts(part: Part) -> dict[str, Any]:
    """Return processor time and figures of GluonTS's evaluator."""
    start = pd.Period("2024-01-01", freq="h")
    keys = [str(level) for level in part.levels]
    forecasts = [
        QuantileForecast(z.T, start_date=start, forecast_keys=keys) for z in part.quantiles
    ]
    data = SimpleNamespace(
        input=[{"target": values, "start": start} for values in part.past],
        label=[{"target": values, "start": start} for values in part.target],
    )
    metrics = [
        gluonts_metrics.MASE(0.5),
        gluonts_metrics.AverageMeanScaledQuantileLoss(part.levels),
        gluonts_metrics.MeanWeightedSumQuantileLoss(part.levels),
        gluonts_metrics.MAE(0.5),
        gluonts_metrics.RMSE(0.5),
        gluonts_metrics.SMAPE(0.5),
    ]
    begun = time.process_time()
    table = evaluate_forecasts(forecasts, test_data=data, metrics=metrics, seasonality=part.season)
    spent = time.process_time() - begun
    return {
        "processor_s": spent,
        "scores": {own: float(table[name].iloc[0]) for name, own in GLUONTS.items()},
    }


def main() -> None:
    """Print both as one line of JSON."""
    stored = np.load(sys.argv[1])
    part = Part(
        past=stored["past"],
        target=stored["target"],
        quantiles=stored["quantiles"],
        levels=stored["levels"].tolist(),
        season=int(stored["season"]),
    )
    found = {"fev": with_fev(part), "GluonTS": with_gluonts(part)}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
