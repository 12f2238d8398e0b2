"""Forecasts with prepared weights and kept keys equal the network's own forward, block by block."""

import copy

import pytest
import torch
import torch.nn.functional as F

from toto_core.model import SIZES, ModelConfig, Toto2, for_context
from toto_core.model.attention import Stand
from toto_core.model.forecast import KnownFuture
from toto_core.model.prepared import prepared
from toto_core.model.rotary import feature_order

L = 32


def random_model(seed=0, **changes):
    """A network whose every parameter matters."""
    values = SIZES["nano"].to_json() | changes
    model = Toto2(for_context(ModelConfig(**values), 256), seed=seed).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.endswith(".weight"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    return model


def random_request(seed=0, *, num_variates=3, num_known=0, num_patches=6):
    """Three rows with gaps, a late beginning and two groups of variates."""
    generator = torch.Generator().manual_seed(seed)
    length, ahead = num_patches * L, 8 * L
    whole = torch.randn(3, num_variates + num_known, length + ahead, generator=generator).cumsum(-1)
    observed = torch.rand(whole.shape, generator=generator) > 0.1
    observed[0, 0, : 2 * L] = False
    observed[1, -1, L : 3 * L] = False
    ids = torch.arange(num_variates + num_known).remainder(2).expand(3, -1)
    whole = torch.where(observed, whole, 0.0)
    arguments = {
        "target": whole[:, :num_variates, :length],
        "target_mask": observed[:, :num_variates, :length],
        "series_ids": ids[:, :num_variates],
    }
    if num_known:
        rest = slice(num_variates, None)
        arguments["known"] = KnownFuture(whole[:, rest], observed[:, rest], ids[:, rest])
    return arguments


def slow_forecast(model, target, target_mask, series_ids, num_patches, size, known=None):
    """Each block by the training forward over all patches, no key kept: the protocol once more."""
    num_variates, length = target.shape[1:]
    pad = (0, num_patches * L)
    values, visible, ids = F.pad(target, pad), F.pad(target_mask, pad), series_ids
    visible[..., length - L : length] = True
    if known is not None:
        upto = length + num_patches * L
        values = torch.cat([values, known.values[..., :upto]], 1)
        visible = torch.cat([visible, known.mask[..., :upto]], 1)
        ids = torch.cat([ids, known.series_ids], 1)
    context = length // L
    observed = visible.unflatten(-1, (-1, L)).any(-1)
    observed[..., context:] = True
    groups = torch.where(observed, ids[..., None], -1)
    columns, centre = groups.clone(), torch.zeros(groups.shape[-1])
    found = []
    for first in range(0, num_patches, size):
        start, count = context + first, min(size, num_patches - first)
        end, fresh = start + count, (start - size if first else 0)
        centre[fresh:end] = end // 2
        columns[..., fresh:end] = groups[..., : end - fresh]
        stand = Stand(groups[..., : end - 1], columns[..., : end - 1], centre[: end - 1])
        steps = slice((end - 1) * L)
        quantiles, loc, scale = model.predict_patches(
            values[..., steps], visible[..., steps], stand
        )
        real = quantiles.double().sinh() * scale[..., None] + loc[..., None]
        real = real[..., start - 1 :, :].float().sort(dim=0).values[:, :, :num_variates].flatten(-2)
        found.append(real)
        values[:, :num_variates, start * L : end * L] = real[4]
        visible[:, :num_variates, start * L : end * L] = True
    return torch.cat(found, -1)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
@pytest.mark.parametrize(
    ("num_variates", "num_known", "changes"),
    [
        (1, 0, {}),
        (3, 0, {}),
        (2, 2, {}),
        (3, 1, {"num_layers": 4, "layer_group_size": 2}),
        (3, 1, {"variate_layer_first": True}),
    ],
    ids=["univariate", "variates", "known", "variates-between", "variates-first"],
)
@torch.no_grad()
def test_kept_keys_equal_a_forward_over_all_patches(size, num_variates, num_known, changes):
    model = random_model(**changes)
    arguments = random_request(size, num_variates=num_variates, num_known=num_known)
    expected = slow_forecast(model, num_patches=7, size=size, **arguments)
    found = model.forecast(**arguments, prediction_length=7 * L, decode_block_size=size * L)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("over_variates", [False, True], ids=["time", "variates"])
def test_encoding_reads_the_end_alone(over_variates):
    """One layer: what is read is the end of what would be computed."""
    changes = {"num_layers": 1, "layer_group_size": 1}
    model = random_model(num_variate_layers_per_group=int(over_variates), **changes)
    arguments = random_request()
    expected = slow_forecast(model, num_patches=2, size=2, **arguments)
    found = model.forecast(**arguments, prediction_length=2 * L)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


def test_known_futures_and_blocks_matter_here():
    model, arguments = random_model(), random_request(num_known=1)
    whole = model.forecast(**arguments, prediction_length=5 * L)
    blocks = model.forecast(**arguments, prediction_length=5 * L, decode_block_size=L)
    blind = model.forecast(**(arguments | {"known": None}), prediction_length=5 * L)
    assert (whole - blocks).abs().max() > 1e-2
    assert (whole - blind).abs().max() > 1e-2


def test_rows_do_not_depend_on_how_they_are_parted(monkeypatch):
    model, arguments = random_model(), random_request(num_known=1)
    whole = model.forecast(**arguments, prediction_length=100, decode_block_size=64)
    monkeypatch.setattr("toto_core.model.forecast._CPU_PATCHES", 1)
    parted = model.forecast(**arguments, prediction_length=100, decode_block_size=64)
    torch.testing.assert_close(parted, whole, rtol=1e-5, atol=1e-5)


def in_place(model):
    with torch.no_grad():
        model.transformer.layers[0].ffn.fc1.weight[0, 0] += 1.0


def one_step(model):
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1)
    target = torch.randn(1, 1, 2 * L)
    seen = target > -9
    model.train()
    model(target, seen, seen, torch.zeros(1, 1, dtype=torch.int64)).quantiles.sum().backward()
    optimiser.step()
    model.eval()


def loaded(model):
    model.load_state_dict(random_model(seed=1).state_dict())


def assigned(model):
    model.load_state_dict(random_model(seed=1).state_dict(), assign=True)


def replaced(model):
    linear = model.output_head.param_projection["proj"].linear2
    linear.weight = torch.nn.Parameter(linear.weight.detach() + 1)


def data(model):
    linear = model.patch_proj.linear1
    linear.bias.data = linear.bias.data + 1


def gain(model):
    with torch.no_grad():
        model.transformer.layers[0].attn._pds.per_dim_scale.add_(2.0)


@pytest.mark.parametrize(
    "change", [in_place, one_step, loaded, assigned, replaced, data, gain], ids=lambda f: f.__name__
)
def test_prepared_weights_are_never_stale(change):
    model, arguments = random_model(), random_request()
    before = model.forecast(**arguments, prediction_length=L)
    assert prepared(model) is prepared(model)
    change(model)
    after = model.forecast(**arguments, prediction_length=L)
    afresh = Toto2(model.config, seed=None).eval()
    afresh.load_state_dict(model.state_dict())
    assert torch.equal(after, afresh.forecast(**arguments, prediction_length=L))
    assert not torch.equal(after, before)


def test_prepared_weights_have_the_compute_dtype():
    model = random_model()
    assert prepared(model).layers[0].up.weight.dtype == torch.float32
    assert prepared(model.to_compute(torch.bfloat16)).layers[0].up.weight.dtype == torch.bfloat16
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


@pytest.mark.parametrize("changes", [{}, {"variate_layer_first": True}], ids=["last", "first"])
def test_plain_products_equal_the_packed_ones(changes, monkeypatch):
    """What runs where there is no oneDNN, and inside of compiled programs."""
    model, arguments = random_model(**changes), random_request(num_known=1)
    arguments |= {"prediction_length": 150, "decode_block_size": 64}
    packed = model.forecast(**arguments)
    monkeypatch.setattr("toto_core.model.prepared._HAS_ONEDNN", False)
    assert not prepared(model).layers[0].up.weight.is_mkldnn
    torch.testing.assert_close(model.forecast(**arguments), packed, rtol=2e-5, atol=2e-5)


def test_programs_get_weights_that_a_compiler_can_look_into():
    model = random_model()
    prepared(model)
    plain = prepared(model.to_compute(torch.float32, compiled=True))
    assert not plain.layers[0].up.weight.is_mkldnn


def test_prepared_weights_do_not_follow_a_copy_of_the_model():
    model = random_model()
    weights = prepared(model)
    other = copy.deepcopy(model)
    assert prepared(other) is not weights
    assert prepared(model) is weights


def test_prepared_queries_carry_gain_and_logit_scale():
    model = random_model()
    attn = model.transformer.layers[0].attn
    width, order = model.config.d_model, feature_order(attn.head_dim)
    gains = F.softplus(attn._pds.per_dim_scale) / torch.log(torch.tensor(2.0)) / attn.head_dim
    plain = attn.in_proj.weight[:width] / width**0.5
    found = prepared(model.to_compute(torch.float32, compiled=True)).layers[0].query.weight
    torch.testing.assert_close(found, (plain * gains.repeat(attn.num_heads)[:, None])[order])


def test_forecast_leaves_ordinary_tensors_and_no_graph():
    quantiles = random_model().forecast(**random_request(), prediction_length=L)
    assert not quantiles.is_inference()
    assert not quantiles.requires_grad


@pytest.mark.parametrize("block", [None, 64])
def test_bf16_forecasts_stay_within_a_small_part_of_the_deviation(block):
    model = Toto2(for_context(SIZES["4m"], 512), seed=0).eval()
    arguments = random_request(num_variates=2, num_patches=16)
    arguments |= {"prediction_length": 96, "decode_block_size": block}
    exact = model.forecast(**arguments)
    found = model.to_compute(torch.bfloat16).forecast(**arguments)
    deviation = arguments["target"].std(-1)[..., None]
    assert 1e-5 < ((found - exact).abs() / deviation).max() < 0.003
