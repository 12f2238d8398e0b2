"""A stored network as the judge wants it: a function from contexts to quantiles."""

from functools import partial
from pathlib import Path

from toto_core.evaluation.backtest import Predict
from toto_core.evaluation.metrics.keys import QUANTILE_LEVELS


def predictor(
    directory: Path,
    *,
    context_length: int,
    prediction_length: int,
    batch_size: int,
    calibration: Path | None = None,
) -> Predict:
    """Load the model in ``directory``; what comes back is asked as ``backtest`` says.

    Args:
        batch_size: rows of each forward pass.
        calibration: what corrects its quantiles; None: they are its own.

    Raises:
        CheckpointError: if there is no usable model, or the correction is that of another one.
    """
    # Only here does the judge meet a network: torch is slow to import.
    from toto_core.inference import Forecaster  # noqa: PLC0415
    from toto_core.training.device import suit_threads  # noqa: PLC0415

    forecaster = Forecaster.load(directory, context_length=context_length, calibration=calibration)
    suit_threads(forecaster.model.config.d_model)
    return partial(
        forecaster.predict,
        prediction_length=prediction_length,
        quantile_levels=QUANTILE_LEVELS,
        batch_size=batch_size,
    )
