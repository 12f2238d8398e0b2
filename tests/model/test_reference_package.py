"""A model saved here forecasts the same in the reference package, where that is installed.

It asks for Python 3.12; on 3.11 it runs after ``pip install --no-deps --ignore-requires-python
toto-2==2.0.0 dd-unit-scaling==0.1.0`` and the packages that its import names.
"""

import pytest
import torch

from toto_core.model import SIZES, ModelConfig, Toto2, for_context
from toto_core.model.forecast import KnownFuture

CONTEXT = 256


def shaped(seed):
    """A random small configuration and a network whose biases and gains matter."""
    generator = torch.Generator().manual_seed(seed)

    def one_of(*values):
        return values[int(torch.randint(len(values), (), generator=generator))]

    heads, width, layers = one_of(1, 2), one_of(32, 64), one_of(2, 3, 4)
    config = ModelConfig(
        d_model=heads * width,
        num_heads=heads,
        num_groups=heads,
        num_layers=layers,
        layer_group_size=one_of(2, layers),
        d_ff=one_of(88, 176),
        qk_dim=width,
        v_dim=width,
    )
    model = Toto2(for_context(config, CONTEXT), seed=seed).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith(".weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return model


@pytest.fixture
def both(tmp_path):
    """Make a pair: ours, and the same directory loaded by the reference package."""
    toto2 = pytest.importorskip("toto2", reason="the reference package toto-2 is not installed")

    def make(model):
        model.save_pretrained(tmp_path)
        return model, toto2.Toto2Model.from_pretrained(tmp_path).eval()

    return make


def request_of(seed, *, num_variates, num_known=0, ahead=0):
    """Random walks with gaps; the rows' variates see each other only in part."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, num_variates + num_known, CONTEXT + ahead)
    observed = torch.rand(shape, generator=generator) > 0.1
    observed[0, 0, :64] = False  # two patches without a value
    walk = torch.randn(shape, generator=generator).cumsum(-1)
    observed[:, num_variates:] = True
    values = torch.where(observed, walk, 0.0)
    ids = torch.tensor([[0, 0, 1], [0, 0, 0]])[:, :num_variates]
    targets = slice(num_variates)
    known = slice(num_variates, None)
    inputs = {
        "target": values[:, targets, :CONTEXT],
        "target_mask": observed[:, targets, :CONTEXT],
        "series_ids": ids,
    }
    future = KnownFuture(
        values[:, known], observed[:, known], torch.zeros(2, num_known, dtype=torch.int64)
    )
    return inputs, future if num_known else None


def reference_forecast(reference, inputs, known, prediction_length, block):
    """Quantiles of the reference package."""
    inputs = dict(inputs)
    if known is not None:
        inputs |= {
            "known_dynamic": known.values,
            "known_dynamic_mask": known.mask,
            "known_dynamic_series_ids": known.series_ids,
        }
    with torch.no_grad():
        found = reference.forecast(
            inputs, horizon=prediction_length, decode_block_size=block or 0, has_missing_values=True
        )
    return getattr(found, "quantiles", found)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_known", [0, 2], ids=["targets", "known"])
@pytest.mark.parametrize(("prediction_length", "block"), [(24, None), (96, None), (200, 64)])
@pytest.mark.parametrize("seed", range(3))
def test_saved_model_forecasts_the_same_in_the_reference_package(
    seed, prediction_length, block, num_known, both
):
    ours, reference = both(shaped(seed))
    ahead = -(-prediction_length // 32) * 32  # the reference takes no more
    inputs, known = request_of(seed, num_variates=3, num_known=num_known, ahead=ahead)
    expected = reference_forecast(reference, inputs, known, prediction_length, block)
    found = ours.forecast(**inputs, prediction_length=prediction_length, known=known,
                          decode_block_size=block)  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_a_published_size_forecasts_the_same_in_the_reference_package(both):
    ours, reference = both(Toto2(for_context(SIZES["4m"], CONTEXT), seed=0).eval())
    inputs, _ = request_of(0, num_variates=3)
    expected = reference_forecast(reference, inputs, None, 96, None)
    torch.testing.assert_close(
        ours.forecast(**inputs, prediction_length=96), expected, rtol=1e-5, atol=1e-4
    )
