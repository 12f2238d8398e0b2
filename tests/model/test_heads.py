"""Heads: what they start from, what they may be, and that files and forecasts go with them."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from scipy import stats

from toto_core.errors import CheckpointError
from toto_core.inference import Forecaster
from toto_core.model import SIZES, Toto2, config_from_json, for_context
from toto_core.model.heads import mixture_of

NANO = for_context(SIZES["nano"], 128)
WIDE = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MIXTURE = dataclasses.replace(NANO, head="student_t", num_components=3)
HEADS = {
    "wide": dataclasses.replace(NANO, quantile_levels=WIDE),
    "median": dataclasses.replace(NANO, quantile_levels=(0.5,)),
    "mixture": MIXTURE,
    "wide mixture": dataclasses.replace(MIXTURE, quantile_levels=WIDE),
}
head = pytest.mark.parametrize("config", HEADS.values(), ids=HEADS)


def inputs(*, rows=2, num_variates=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(rows, num_variates, 128, generator=generator)
    mask = torch.ones_like(target, dtype=torch.bool)
    return target, mask, mask, torch.zeros(rows, num_variates, dtype=torch.int64)


def test_mixture_starts_with_the_spread_of_a_series_of_noise():
    mixture = Toto2(dataclasses.replace(MIXTURE, num_components=5), seed=0)(*inputs()).mixture
    ends = mixture.quantiles((0.1, 0.5, 0.9))
    assert ends[1].abs().mean() < 0.2
    expected = np.arcsinh(stats.norm.ppf(0.9))
    assert ends[2].mean().item() == pytest.approx(expected, rel=0.25)
    assert ends[0].mean().item() == pytest.approx(-expected, rel=0.25)


def test_mixture_has_a_variance_and_a_width_whatever_the_readout_says():
    raw = torch.tensor([-1e4, -30.0, 0.0, 30.0, 1e4]).expand(4, 5)
    mixture = mixture_of(raw)
    assert all(part.isfinite().all() for part in mixture)
    assert mixture.df.min() > 2
    assert mixture.scale.min() >= 0.01
    assert mixture.quantiles((0.1, 0.5, 0.9)).isfinite().all()


def test_mixture_takes_its_parameters_from_the_quarters_of_the_readout():
    raw = torch.arange(8.0).view(8, 1)
    mixture = mixture_of(raw)
    torch.testing.assert_close(mixture.log_weight, raw[:2].log_softmax(0))
    torch.testing.assert_close(mixture.df, 2.01 + torch.log1p(raw[2:4].exp()))
    assert torch.equal(mixture.loc, raw[4:6])
    torch.testing.assert_close(mixture.scale, 0.01 + torch.log1p(raw[6:].exp()))


def test_each_step_has_a_mixture_of_its_own():
    mixture = Toto2(MIXTURE, seed=0)(*inputs()).mixture
    assert all(part.shape == (3, 2, 3, 4, 32) for part in mixture)
    assert all(len(part.unique()) > 0.99 * part.numel() for part in mixture)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_heads_speak_float32(dtype):
    outputs = [Toto2(config, seed=0).to_compute(dtype)(*inputs()) for config in HEADS.values()]
    assert outputs[0].quantiles.dtype == torch.float32
    assert all(part.dtype == torch.float32 for part in outputs[2].mixture)


@head
def test_forecast_has_the_levels_of_the_configuration(config):
    target, mask, _, ids = inputs()
    found = Toto2(config, seed=0).forecast(target, mask, ids, 40)
    assert found.shape == (len(config.quantile_levels), 2, 3, 40)
    assert found.isfinite().all()
    assert (found.diff(dim=0) >= 0).all()


@head
def test_block_decoding_feeds_back_the_median(config):
    """With the median as a known continuation the next block must come out the same."""
    model = Toto2(config, seed=0)
    target, mask, _, ids = inputs()
    found = model.forecast(target, mask, ids, 64, decode_block_size=32)
    first = model.forecast(target, mask, ids, 32)
    torch.testing.assert_close(found[..., :32], first)
    longer = torch.cat([target, first[config.quantile_levels.index(0.5)]], -1)
    second = model.forecast(longer, torch.ones_like(longer, dtype=torch.bool), ids, 32)
    torch.testing.assert_close(found[..., 32:], second, rtol=1e-3, atol=1e-4)


def test_quantiles_of_a_mixture_are_those_of_its_output():
    model = Toto2(MIXTURE, seed=0)
    target, mask, _, ids = inputs()
    hidden = torch.cat([target, torch.zeros(2, 3, 32)], -1)
    visible = torch.cat([mask, torch.zeros(2, 3, 32, dtype=torch.bool)], -1)
    output = model(hidden, torch.ones_like(visible), visible, ids)
    mixture = type(output.mixture)(*(part[..., 3, :] for part in output.mixture))
    z = mixture.quantiles(MIXTURE.quantile_levels)
    expected = z.sinh() * output.scale[..., 127:128] + output.loc[..., 127:128]
    torch.testing.assert_close(
        model.forecast(target, mask, ids, 32), expected, rtol=1e-4, atol=1e-5
    )


@head
def test_directory_brings_the_head_back(config, tmp_path):
    model = Toto2(config, seed=1)
    model.save_pretrained(tmp_path)
    loaded = Toto2.from_pretrained(tmp_path)
    assert loaded.config == config
    target, mask, _, ids = inputs()
    found = loaded.forecast(target, mask, ids, 8)
    assert torch.equal(found, model.forecast(target, mask, ids, 8))


def test_configuration_names_the_head_only_where_it_is_not_the_released_one():
    released = set(NANO.to_json())
    assert not released & {"head", "quantile_levels", "num_components"}
    added = {name: set(config.to_json()) - released for name, config in HEADS.items()}
    assert added == {
        "wide": {"quantile_levels"},
        "median": {"quantile_levels"},
        "mixture": {"head", "num_components"},
        "wide mixture": {"head", "num_components", "quantile_levels"},
    }


@head
def test_configuration_survives_its_json(config):
    assert config_from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head": "normal"}, "config: head = 'normal', one of quantiles, student_t is allowed; "
         "choose one"),
        ({"head": 3}, "config: head = 3, a value of type str is allowed; change it"),
        ({"quantile_levels": 0.5}, "config: quantile_levels = 0.5, a list of numbers is allowed; "
         "change it"),
        ({"quantile_levels": [0.1, "x"]}, "config: quantile_levels = [0.1, 'x'], a list of numbers "
         "is allowed; change it"),
        *(
            ({"quantile_levels": levels}, f"config: quantile_levels = {found}, rising numbers "
             "between 0 and 1 with 0.5 among them are allowed; mend them")
            for levels, found in (
                ([], "[]"),
                ([0.1, 0.9], "[0.1, 0.9]"),
                ([0.9, 0.5], "[0.9, 0.5]"),
                ([0.5, 0.5], "[0.5, 0.5]"),
                ([0, 0.5], "[0.0, 0.5]"),
                ([0.5, 1], "[0.5, 1.0]"),
                ([0.5, float("nan")], "[0.5, nan]"),
            )
        ),
        ({"num_components": 2}, "config: num_components = 2, only 0 is allowed with head = "
         "quantiles; change it"),
        ({"head": "student_t"}, "config: num_components = 0, at least 1 is allowed with head = "
         "student_t; change it"),
        ({"num_components": 2.0, "head": "student_t"}, "config: num_components = 2.0, a value of "
         "type int is allowed; change it"),
    ],
)  # fmt: skip
def test_configuration_of_an_impossible_head_is_refused(changes, message):
    with pytest.raises(ValueError, match="config") as caught:
        config_from_json(NANO.to_json() | changes)
    assert str(caught.value) == message


def test_weights_of_another_head_are_refused(tmp_path):
    Toto2(MIXTURE, seed=0).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(NANO.to_json()))
    with pytest.raises(CheckpointError) as caught:
        Toto2.from_pretrained(tmp_path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[0].endswith(
        "output_head.param_projection.proj.linear2.bias = (384,), (288,) is implied by "
        "config.json; load another model"
    )


@head
def test_forecaster_interpolates_between_the_levels_of_the_model(config):
    forecaster = Forecaster(Toto2(config, seed=0), context_length=128)
    context, levels = inputs()[0][0].numpy(), config.quantile_levels
    own = forecaster.predict([context], 8)[0]
    assert own.shape == (3, len(levels), 8)
    every = forecaster.predict([context], 8, quantile_levels=list(levels))[0]
    np.testing.assert_array_equal(own, every)
    if len(levels) > 1:
        score = np.array([0.75, 0.25]) @ stats.norm.ppf(levels[:2])
        between = (float(stats.norm.cdf(score)), levels[-1])
        found = forecaster.predict([context], 8, quantile_levels=between)[0]
        np.testing.assert_allclose(found[:, 0], 0.75 * own[:, 0] + 0.25 * own[:, 1], rtol=1e-4)
        np.testing.assert_array_equal(found[:, 1], own[:, -1])
    message = rf"quantile_levels = \[0\.005\], numbers from {levels[0]} to {levels[-1]} are allowed"
    with pytest.raises(ValueError, match=message):
        forecaster.predict([context], 8, quantile_levels=[0.005])


def test_forecaster_gives_known_covariates_back_at_all_levels():
    forecaster = Forecaster(Toto2(HEADS["wide"], seed=0), context_length=128)
    future = np.full((3, 8), np.nan)
    future[1] = np.arange(8)
    found = forecaster.predict([inputs()[0][0].numpy()], 8, known_future=[future])[0]
    assert (found[1] == np.arange(8)).all()
    assert found.shape == (3, len(WIDE), 8)
