"""A model saved here forecasts the same in the reference package, where that is installed.

It asks for Python 3.12; on 3.11 it runs after ``pip install --no-deps --ignore-requires-python
toto-2==2.0.0 dd-unit-scaling==0.1.0`` and the packages that its import names.
"""

import pytest
import torch

from toto_core.model import SIZES, Toto2, for_context


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prediction_length", [24, 96])
def test_saved_model_forecasts_the_same_in_the_reference_package(prediction_length, tmp_path):
    toto2 = pytest.importorskip("toto2", reason="the reference package toto-2 is not installed")
    ours = Toto2(for_context(SIZES["nano"], 256), seed=0).eval()
    ours.save_pretrained(tmp_path)
    reference = toto2.Toto2Model.from_pretrained(tmp_path).eval()
    generator = torch.Generator().manual_seed(0)
    observed = torch.rand(2, 3, 256, generator=generator) > 0.1
    walk = torch.randn(2, 3, 256, generator=generator).cumsum(-1)
    target = torch.where(observed, walk, 0.0)
    series_ids = torch.tensor([[0, 0, 1], [0, 0, 0]])
    with torch.no_grad():
        expected = reference.forecast(
            {"target": target, "target_mask": observed, "series_ids": series_ids},
            horizon=prediction_length,
            has_missing_values=True,
        )
        found = ours.forecast(target, observed, series_ids, prediction_length)
    expected = getattr(expected, "quantiles", expected)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
