"""On a GPU: the reference's numbers, repeatable training, forecasts that equal the CPU's."""

import pytest
import torch
from safetensors.torch import load_file
from tiny_model import TinyWindows, make_batch, make_settings

from toto_core.inference import Forecaster
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.loop import final_weights, train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]

CUDA = torch.device("cuda")
INPUTS = ("target", "target_mask", "cpm_mask", "series_ids")


@pytest.fixture
def golden(request):
    folder = request.config.rootpath / "tests" / "golden" / "toto2"
    return Toto2.from_pretrained(folder), load_file(folder / "cases.safetensors")


def nano():
    return for_context(SIZES["nano"], 256)


class NanoWindows(TinyWindows):
    def batch(self, step):
        return make_batch(step, num_patches=64)


def trained(folder, *, max_steps, dtype):
    model = Toto2(nano(), seed=0).to(CUDA).to_compute(dtype)
    state = train(
        model,
        NanoWindows(),
        [make_batch(10**6, num_patches=64, horizon=32)],
        make_settings(max_steps=max_steps),
        seed=0,
        store=CheckpointStore(folder, interval_s=0.0),
        device=CUDA,
        log=lambda record: None,
    )
    return model, final_weights(state, CheckpointStore(folder, interval_s=0.0))


@pytest.mark.parametrize("name", ["forward_full", "forward_masked"])
def test_forward_on_the_gpu_equals_the_reference(name, golden):
    model, cases = golden
    output = model.to(CUDA)(*(cases[f"{name}.{key}"].to(CUDA) for key in INPUTS))
    torch.testing.assert_close(
        output.quantiles.cpu(), cases[f"{name}.quantiles"], rtol=0, atol=1e-5
    )


def test_gradients_on_the_gpu_equal_the_reference(golden):
    model, cases = golden
    quantiles = model.to(CUDA)(*(cases[f"forward_masked.{key}"].to(CUDA) for key in INPUTS))[0]
    loss = (quantiles * cases["backward.weight"].to(CUDA)).sum() / quantiles.numel()
    loss.backward()
    for name, parameter in model.named_parameters():
        expected = cases[f"backward.grad.{name}"]
        error = (parameter.grad.cpu() - expected).norm() / expected.norm()
        assert error < 1e-4, f"{name}: relative error {error:.1e}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_two_runs_on_the_gpu_end_in_the_same_bytes(dtype, tmp_path):
    _, first = trained(tmp_path / "a", max_steps=12, dtype=dtype)
    _, second = trained(tmp_path / "b", max_steps=12, dtype=dtype)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_model_trained_on_the_gpu_forecasts_alike_on_both_devices(tmp_path):
    model, weights = trained(tmp_path / "store", max_steps=12, dtype=torch.bfloat16)
    model.load_state_dict(weights)
    model.save_pretrained(tmp_path / "model")
    context = torch.sin(torch.arange(200.0) / 5).numpy()
    on_cpu, on_gpu = (
        Forecaster.load(tmp_path / "model", device=device).predict([context], 24)[0]
        for device in ("cpu", "cuda")
    )
    torch.testing.assert_close(torch.tensor(on_gpu), torch.tensor(on_cpu), rtol=1e-4, atol=1e-4)
