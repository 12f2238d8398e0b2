"""Forward and gradients equal those of the reference package."""

import pytest
import torch

INPUTS = ("target", "target_mask", "cpm_mask", "series_ids")


@pytest.mark.parametrize("name", ["forward_full", "forward_masked"])
def test_forward_equals_the_reference(name, golden_model, golden_case):
    case = golden_case(name)
    output = golden_model(*(case[key] for key in INPUTS))
    for key in ("quantiles", "loc", "scale"):
        torch.testing.assert_close(getattr(output, key), case[key], rtol=0, atol=1e-5)


def test_gradients_equal_the_reference(golden_model, golden_case):
    case, backward = golden_case("forward_masked"), golden_case("backward")
    quantiles = golden_model(*(case[key] for key in INPUTS)).quantiles
    loss = (quantiles * backward["weight"]).sum() / quantiles.numel()
    loss.backward()
    torch.testing.assert_close(loss.detach(), backward["loss"][0], rtol=1e-5, atol=1e-8)
    for name, parameter in golden_model.named_parameters():
        expected = backward[f"grad.{name}"]
        error = (parameter.grad - expected).norm() / expected.norm()
        assert error < 1e-5, f"{name}: relative error {error:.1e}"


def test_global_tokens_scale_the_gradients_of_weights_only(golden_model, golden_case):
    case = golden_case("forward_masked")

    def gradients(num_tokens):
        golden_model.zero_grad()
        golden_model.set_global_tokens(num_tokens)
        golden_model(*(case[key] for key in INPUTS)).quantiles.square().mean().backward()
        return {name: p.grad.clone() for name, p in golden_model.named_parameters()}

    tokens = case["target"].numel() // golden_model.config.patch_size
    here, fourfold = gradients(tokens), gradients(4 * tokens)
    by_default = gradients(None)
    for name, grad in here.items():
        torch.testing.assert_close(fourfold[name], grad / 2, rtol=1e-5, atol=0)
        assert torch.equal(by_default[name], grad)
