"""Configurations: published sizes, derived constants, refused values."""

import dataclasses
import math

import pytest
import torch

from toto_core.model import SIZES, Toto2, config_from_json, for_context
from toto_core.model.sizes import attention_ratio, native_context, residual_taus

# Published checkpoints (Toto 2.0 model card), counted without the stored taus.
PUBLISHED = {
    "4m": 4_144_448,
    "22m": 21_915_584,
    "313m": 312_684_608,
    "1b": 1_041_033_024,
    "2.5b": 2_454_281_792,
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_size_has_its_number_of_parameters(size):
    with torch.device("meta"):
        model = Toto2(SIZES[size])
    assert model.num_parameters() == PUBLISHED[size]


@pytest.mark.parametrize("size", SIZES)
def test_size_ends_with_its_only_variate_layer(size):
    config = SIZES[size]
    kinds = [config.is_variate_layer(index) for index in range(config.num_layers)]
    assert kinds == [False] * (config.num_layers - 1) + [True]


@pytest.mark.parametrize("size", SIZES)
def test_size_follows_the_width_rule_of_the_feed_forward(size):
    config = SIZES[size]
    assert config.d_ff == -(-math.floor(8 / 3 * config.d_model) // 8) * 8


def test_variate_layers_come_first_where_asked():
    config = dataclasses.replace(
        SIZES["4m"], variate_layer_first=True, layer_group_size=2, num_layers=4
    )
    assert [config.is_variate_layer(n) for n in range(4)] == [True, False, True, False]


@pytest.mark.parametrize(("context", "ratio"), [(4096, 5.136215466577748), (1024, 3.0386)])
def test_attention_ratio_is_that_of_the_context(context, ratio):
    assert attention_ratio(context) == pytest.approx(ratio, abs=5e-5)


@pytest.mark.parametrize("context", [96, 512, 1024, 4096])
def test_native_context_inverts_for_context(context):
    assert native_context(for_context(SIZES["nano"], context)) == context


@pytest.mark.parametrize("context", [32, 100])
def test_context_of_broken_patches_is_refused(context):
    with pytest.raises(ValueError, match=rf"context_length = {context}, a multiple of 32 from 64"):
        for_context(SIZES["nano"], context)


@pytest.mark.parametrize(
    ("size", "first", "last_attn"),
    [("4m", (0.521, 0.090), 0.383), ("2.5b", (0.150, 0.029), 0.104)],
)
def test_taus_are_the_published_ones(size, first, last_attn):
    taus = residual_taus(SIZES[size])
    assert taus[0] == pytest.approx(first, abs=5e-4)
    assert taus[-1][0] == pytest.approx(last_attn, abs=5e-4)


def test_json_round_trip():
    config = for_context(SIZES["1m"], 512)
    assert config_from_json(config.to_json()) == config


def test_json_of_whole_numbers_makes_floats():
    config = config_from_json(SIZES["1m"].to_json() | {"residual_mult": 1})
    assert isinstance(config.residual_mult, float)


def test_all_faults_of_a_json_come_together():
    values = SIZES["1m"].to_json() | {"depth": 3, "d_model": "wide"}
    del values["num_heads"]
    with pytest.raises(ValueError, match="config") as caught:
        config_from_json(values)
    assert str(caught.value).splitlines() == [
        "config: depth = 3, no such key is known; remove it",
        "config: d_model = 'wide', a value of type int is allowed; change it",
        "config: num_heads is missing, it must be given; add it",
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("dropout_p", 0.1, r"config: dropout_p = 0\.1, only 0\.0 is supported"),
        ("qk_norm", True, r"config: qk_norm = True, only False is supported"),
        ("patch_size", 64, r"config: patch_size = 64, only 32 is supported"),
        ("num_groups", 1, r"config: num_groups = 1, only num_heads = 2 is supported"),
        ("qk_dim", 32, r"config: qk_dim = 32, only d_model / num_heads = 128 / 2 is supported"),
        ("num_layers", 0, r"config: num_layers = 0, at least 1 is allowed"),
        ("norm_eps", 0.0, r"config: norm_eps = 0\.0, a positive number is allowed"),
        (
            "num_variate_layers_per_group",
            5,
            r"num_variate_layers_per_group = 5, 0 to layer_group_size = 4 is allowed",
        ),
    ],
)
def test_unsupported_value_is_refused(key, value, message):
    with pytest.raises(ValueError, match=message):
        config_from_json(SIZES["1m"].to_json() | {key: value})


def test_head_width_must_be_even_in_pairs():
    with pytest.raises(ValueError, match=r"qk_dim = 6, a multiple of 4 is allowed"):
        dataclasses.replace(SIZES["1m"], d_model=12, qk_dim=6, v_dim=6)
