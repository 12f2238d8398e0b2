"""Fine-tuning: what learns, how fast, and that nothing else changes."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_model import make_settings

from toto_core.errors import ConfigError
from toto_core.model import SIZES, Toto2
from toto_core.model.umup import UnitLinear
from toto_core.optim.ema import WeightAverage
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.finetune import (
    LowRankChange,
    choose_learners,
    merged,
    num_learning,
    remove_changes,
)
from toto_core.training.loop import final_weights, train
from toto_core.training.settings import FinetuneSettings
from toto_core.training.state import TrainState

CONFIG = SIZES["nano"]
BATCH_PATCHES = 4


def settings_for(method, *, num_layers=1, rank=4, alpha=8.0):
    return FinetuneSettings(method=method, num_layers=num_layers, rank=rank, alpha=alpha)


def base():
    return Toto2(CONFIG, seed=5)


def learner(settings, *, seed=0):
    model = base()
    choose_learners(model, settings, seed=seed)
    return model


def learning(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


class Noise:
    """Windows of noise, as long as the network needs them."""

    def batch(self, step):
        rng = np.random.default_rng(step)
        shape = (3, 2, BATCH_PATCHES * CONFIG.patch_size)
        return NoiseBatch(rng.standard_normal(shape).cumsum(-1).astype(np.float32), 0)


class NoiseBatch:
    def __init__(self, target, horizon):
        self.target, self.horizon = target, horizon
        self.target_mask = np.ones(target.shape, np.bool_)
        self.series_ids = np.zeros(target.shape[:2], np.int64)
        self.known = np.zeros(target.shape[:2], np.bool_)
        self.items = tuple((f"row-{n}",) for n in range(len(target)))


def validation():
    batch = Noise().batch(10**6)
    return [NoiseBatch(batch.target, CONFIG.patch_size)]


def run(folder, method, *, max_steps=4, stop_after=None, **changes):
    """Fine-tune the base; ``stop_after`` breaks the run off right after that step."""
    finetune = {"method": method, "num_layers": 1, "rank": 2, "alpha": 4.0}
    settings = make_settings(
        init="base", finetune=finetune, max_steps=max_steps, validate_every=2, **changes
    )
    model = learner(settings.finetune)

    def log(record):
        if stop_after is not None and record.get("step") == stop_after:
            raise InterruptedError

    store = CheckpointStore(folder, interval_s=0.0)
    cpu = torch.device("cpu")
    try:
        state = train(
            model, Noise(), validation(), settings, seed=0, store=store, device=cpu, log=log
        )
    except InterruptedError:
        return None
    return state, merged(final_weights(state, store), settings.finetune)


def test_everything_learns_in_full_fine_tuning():
    model = learner(settings_for("full"))
    assert learning(model) == {name for name, _ in base().named_parameters()}
    assert num_learning(model) == model.num_parameters()


def test_last_layers_and_the_output_head_learn_alone():
    model = learner(settings_for("last_layers", num_layers=2))
    prefixes = ("transformer.layers.1.", "transformer.layers.2.", "output_head.")
    assert learning(model) == {n for n, _ in base().named_parameters() if n.startswith(prefixes)}


def test_low_rank_matrices_of_every_layer_learn_alone():
    model = learner(settings_for("lora", rank=4))
    adapted = ("attn.in_proj", "attn.out_proj", "ffn.fc1", "ffn.fc2")
    assert learning(model) == {
        f"transformer.layers.{layer}.{name}.parametrizations.weight.0.{part}"
        for layer in range(CONFIG.num_layers)
        for name in adapted
        for part in ("a", "b")
    }
    d, d_ff = CONFIG.d_model, CONFIG.d_ff
    sides = (d + 3 * d) + (d + d) + (d + 2 * d_ff) + (d_ff + d)
    assert num_learning(model) == CONFIG.num_layers * 4 * sides


@pytest.mark.parametrize("method", ["full", "last_layers", "lora"])
def test_step_0_is_the_base_bit_for_bit(method):
    model, given = learner(settings_for(method)), base()
    batch = torch.from_numpy(Noise().batch(0).target)
    mask, ids = torch.ones_like(batch, dtype=torch.bool), torch.zeros(3, 2, dtype=torch.int64)
    with torch.no_grad():
        ours, theirs = (network(batch, mask, mask, ids) for network in (model, given))
    assert torch.equal(ours.quantiles, theirs.quantiles)


def test_changes_depend_on_the_seed_alone():
    settings = settings_for("lora")
    first, again, other = (learner(settings, seed=seed).state_dict() for seed in (0, 0, 1))
    name = "transformer.layers.0.attn.in_proj.parametrizations.weight.0.a"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    assert abs(first[name].std() - 4**-0.5) < 0.05


def test_merging_gives_the_released_names_and_the_same_network():
    settings = settings_for("lora")
    model = learner(settings)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(".b"):
                parameter.normal_()
    changed = {f"{n}.weight": m.weight.detach() for n, m in model.named_modules()
               if hasattr(m, "parametrizations")}  # fmt: skip
    tensors = merged(model.state_dict(), settings)
    plain = base().state_dict()
    assert list(tensors) != list(plain)
    assert tensors.keys() == plain.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, changed.get(name, plain[name])), name
    assert len(changed) == 4 * CONFIG.num_layers
    remove_changes(model)
    assert model.state_dict().keys() == plain.keys()
    assert all(torch.equal(t, plain[n]) for n, t in model.state_dict().items())
    assert type(model.transformer.layers[0].attn.in_proj) is UnitLinear


def moved_by_one_step(*, fan_in, rank, alpha, seed):
    """Mean movement of the outputs for a lone token, over the rate; ``alpha`` 0: by the matrix."""
    generator = torch.Generator().manual_seed(seed)
    layer = UnitLinear(fan_in, 128, bias=False)
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
    x, direction = (torch.randn(1, n, generator=generator) for n in (fan_in, 128))
    group = {"params": [layer.weight], "lr": 1e-3 * fan_in**-0.5}
    if alpha:
        layer.requires_grad_(False)
        change = LowRankChange(layer.weight, rank=rank, alpha=alpha, generator=generator)
        torch.nn.utils.parametrize.register_parametrization(layer, "weight", change)
        group = {"params": [change.b], "lr": 1e-3 * rank**-0.5}
    optimiser = torch.optim.Adam([group], eps=1e-30)
    before = layer(x)
    (before * direction).sum().backward()
    optimiser.step()
    return (layer(x) - before).detach().abs().mean().item() / 1e-3


@pytest.mark.parametrize("fan_in", [64, 256])
@pytest.mark.parametrize("rank", [4, 32])
def test_change_moves_an_aligned_token_by_alpha_over_rank_of_what_the_matrix_would(fan_in, rank):
    """The rule of the module's docstring, for one step of Adam at the rates of u-muP."""
    full, alike, twice = (
        sum(moved_by_one_step(fan_in=fan_in, rank=rank, alpha=a, seed=n) for n in range(20)) / 20
        for a in (0.0, 1.0 * rank, 2.0 * rank)
    )
    assert 0.7 < full < 0.9
    assert 0.8 < alike / full < 1.25
    assert 1.6 < twice / full < 2.5


@pytest.mark.parametrize("method", ["last_layers", "lora"])
def test_optimiser_average_and_checkpoint_hold_only_what_learns(method, tmp_path):
    state, _ = run(tmp_path, method)
    names = learning(state.model)
    moved = {
        name
        for name, parameter in state.model.named_parameters()
        if any(parameter in optimiser.state for optimiser in state.optimisers)
    }
    assert moved <= names
    assert moved
    for name, parameter in state.average.model.named_parameters():
        shared = parameter is state.model.get_parameter(name)
        assert shared == (name not in names), name
    snapshot = state.snapshot()
    kinds = {name.partition(".")[0] for name in snapshot.tensors}
    assert kinds == {"model", "average", "optimiser"}
    frozen = {name for name, _ in state.model.named_parameters()} - names
    assert not [n for n in snapshot.tensors if n.partition(".")[2] in frozen]
    save_file(dict(snapshot.tensors), tmp_path / "all.safetensors")


@pytest.mark.parametrize("method", ["full", "last_layers", "lora"])
@pytest.mark.parametrize("optimizer", ["adamw", "normuon"])
def test_training_changes_what_learns_and_nothing_else(method, optimizer, tmp_path):
    state, tensors = run(tmp_path, method, optimizer=optimizer, keep_best=8, patience=8)
    given = base().state_dict()
    assert tensors.keys() == given.keys()
    last = merged(state.average.model.state_dict(), state.settings.finetune)
    changed = {name for name in given if not torch.equal(last[name], given[name])}
    may = {
        name
        for name in given
        if method == "full"
        or (method == "last_layers" and name.startswith(("transformer.layers.2.", "output_head.")))
        or (method == "lora" and name.endswith(("proj.weight", "fc1.weight", "fc2.weight")))
    }
    if method == "lora":
        may = {name for name in may if name.startswith("transformer.")}
    assert changed <= may
    # The query gain of a layer over variates learns too; nothing else is left out.
    assert len(may - changed) <= CONFIG.num_layers * 2 + 1


def test_base_is_the_first_candidate_and_stays_where_nothing_is_better(tmp_path):
    state, tensors = run(tmp_path, "full", lr=50.0, loss_scale=1.0)
    assert state.kept[0].step == 0
    assert state.curve[0].step == 0
    assert state.curve[0].split == "validation"
    for name, tensor in base().state_dict().items():
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("method", ["full", "last_layers", "lora"])
def test_zero_steps_give_the_weights_of_the_base(method, tmp_path):
    state, tensors = run(tmp_path, method, max_steps=0)
    assert state.step == 0
    assert [kept.step for kept in state.kept] == [0]
    for name, tensor in base().state_dict().items():
        assert torch.equal(tensors[name], tensor)


@pytest.mark.parametrize("method", ["full", "last_layers", "lora"])
def test_run_that_was_broken_off_ends_in_the_same_weights(method, tmp_path):
    state, whole = run(tmp_path / "whole", method, max_steps=5)
    assert run(tmp_path / "broken", method, max_steps=5, stop_after=3) is None
    resumed, tensors = run(tmp_path / "broken", method, max_steps=5)
    assert resumed.curve == state.curve
    assert resumed.kept == state.kept
    for name, tensor in whole.items():
        assert torch.equal(tensors[name], tensor), name
    ours, theirs = (s.snapshot().tensors for s in (resumed, state))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_average_of_what_does_not_learn_is_what_it_was():
    model = learner(settings_for("last_layers"))
    average = WeightAverage(model, decay=0.9)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(1.0)
    average.update(100)
    given = base()
    for name, parameter in average.model.named_parameters():
        before = given.get_parameter(name)
        expected = before + 0.1 if name in learning(model) else before
        torch.testing.assert_close(parameter.data, expected.data)


def test_state_restores_into_the_same_kind_of_model_only(tmp_path):
    state, _ = run(tmp_path, "lora")
    other = TrainState.start(learner(settings_for("full")), make_settings(init="base"))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.restore(state.snapshot())


def test_more_layers_than_there_are_is_one_line():
    with pytest.raises(ConfigError) as caught:
        learner(settings_for("last_layers", num_layers=4))
    assert str(caught.value) == (
        "train.finetune: num_layers = 4, 1 to 3 (the layers of the network) is allowed; lower it"
    )


def test_rank_above_the_shortest_side_is_one_line():
    learner(settings_for("lora", rank=64))
    with pytest.raises(ConfigError) as caught:
        learner(settings_for("lora", rank=65))
    assert str(caught.value) == (
        "train.finetune: rank = 65, 1 to 64 (the shortest side of the network's matrices) is "
        "allowed; lower it"
    )
