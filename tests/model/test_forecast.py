"""Forecasts equal those of the reference package; refused requests say why."""

import pytest
import torch

from toto_core.model.forecast import KnownFuture

CASES = ("single_pass", "missing", "block_decode", "known_dynamic", "short_history", "constant")


def forecast_of(model, case, arguments):
    known = None
    if "known_dynamic" in case:
        known = KnownFuture(
            case["known_dynamic"], case["known_dynamic_mask"], case["known_dynamic_series_ids"]
        )
    return model.forecast(
        case["target"],
        case["target_mask"],
        case["series_ids"],
        arguments["horizon"],
        known=known,
        decode_block_size=arguments["decode_block_size"],
        min_observed=arguments.get("scaler_fallback_min_obs", 0),
        max_deviation=arguments.get("quantile_real_cap_k"),
    )


@pytest.mark.parametrize("name", CASES)
def test_forecast_equals_the_reference(name, golden_model, golden_case, golden_arguments):
    case = golden_case(f"forecast_{name}")
    quantiles = forecast_of(golden_model, case, golden_arguments[f"forecast_{name}"])
    torch.testing.assert_close(quantiles, case["quantiles"], rtol=0, atol=1e-5)
