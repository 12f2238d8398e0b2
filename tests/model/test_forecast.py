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


@pytest.fixture
def request_of(golden_case):
    case = golden_case("forecast_single_pass")
    return {name: case[name] for name in ("target", "target_mask", "series_ids")}


def test_max_deviation_bounds_the_quantiles(golden_model, request_of):
    with torch.no_grad():  # far off, upwards and downwards
        golden_model.output_head.param_projection["proj"].skip_proj.bias.mul_(1e3)
    free = golden_model.forecast(**request_of, prediction_length=40)
    bound = golden_model.forecast(**request_of, prediction_length=40, max_deviation=0.0)
    lowest = request_of["target"].amin(-1)[..., None]
    highest = request_of["target"].amax(-1)[..., None]
    assert (free < lowest).any()
    assert (free > highest).any()
    assert torch.equal(bound, free.clamp(lowest, highest))


def test_huge_series_has_finite_quantiles(golden_model, request_of):
    request_of["target"] = 3e38 * request_of["target"].sign()
    quantiles = golden_model.forecast(**request_of, prediction_length=40)
    assert quantiles.isfinite().all()


def test_one_block_is_one_pass(golden_model, request_of):
    whole = golden_model.forecast(**request_of, prediction_length=40)
    block = golden_model.forecast(**request_of, prediction_length=40, decode_block_size=64)
    assert torch.equal(whole, block)


def test_first_steps_do_not_depend_on_the_horizon(golden_model, request_of):
    far = golden_model.forecast(**request_of, prediction_length=150)
    near = golden_model.forecast(**request_of, prediction_length=7)
    torch.testing.assert_close(far[..., :7], near, rtol=1e-5, atol=1e-5)


def test_all_faults_of_a_request_come_together(golden_model):
    target = torch.zeros(1, 1, 40)
    with pytest.raises(ValueError, match="target") as caught:
        golden_model.forecast(
            target, target > 0, torch.zeros(1, 1, dtype=torch.int64), 0, decode_block_size=48
        )
    assert str(caught.value).splitlines() == [
        "target: T = 40, a multiple of 32 from 32 is allowed; pad on the left with unobserved "
        "steps",
        "forecast: prediction_length = 0, at least 1 is allowed; raise it",
        "forecast: decode_block_size = 48, a multiple of 32 from 32 is allowed; round it",
    ]
