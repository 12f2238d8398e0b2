"""NorMuon takes the steps of the reference implementation (tests/golden/README.md)."""

import json
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from toto_core.optim.normuon import NorMuon

GOLDEN = Path(__file__).parents[1] / "golden" / "normuon"
NAMES = ("square", "tall", "wide")


@pytest.fixture(scope="module")
def cases():
    return load_file(GOLDEN / "cases.safetensors"), json.loads((GOLDEN / "cases.json").read_text())


@pytest.mark.parametrize("run", ["plain", "toto"])
def test_steps_are_those_of_the_reference(cases, run):
    tensors, settings = cases
    matrices = {name: nn.Parameter(tensors[f"init.{name}"].clone()) for name in NAMES}
    optimiser = NorMuon(
        matrices.values(),
        lr=settings["lr"],
        momentum=settings["mu"],
        beta2=settings["muon_beta2"],
        weight_decay=settings["runs"][run]["weight_decay"],
        nesterov=settings["runs"][run]["nesterov"],
    )
    for step in range(settings["steps"]):
        for name, matrix in matrices.items():
            matrix.grad = tensors[f"grad.{name}"][step].clone()
        optimiser.step()
        for name, matrix in matrices.items():
            expected = tensors[f"{run}.step{step + 1}.{name}"]
            torch.testing.assert_close(matrix.data, expected, rtol=0, atol=5e-7)


def moved(gradient, *, matrix=None, steps=1, **changes):
    """The matrix after steps with one gradient, and the optimiser."""
    matrix = nn.Parameter(torch.zeros_like(gradient) if matrix is None else matrix.clone())
    arguments = {"lr": 1.0, "momentum": 0.9, "beta2": 0.9} | changes
    optimiser = NorMuon([matrix], **arguments)
    for _ in range(steps):
        matrix.grad = gradient.clone()
        optimiser.step()
    return matrix.data, optimiser


def random_matrix(rows, columns):
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows))


def test_rows_of_a_step_have_one_size():
    gradient = random_matrix(16, 64) * torch.logspace(0, -2, 16)[:, None]
    sizes = moved(gradient)[0].norm(dim=1)
    assert sizes.max() / sizes.min() < 1.001


def test_rate_grows_with_the_root_of_fan_out_over_fan_in():
    for rows, columns in [(16, 64), (64, 16), (32, 32)]:
        norm = moved(random_matrix(rows, columns))[0].norm().item()
        orthogonal = min(rows, columns) ** 0.5
        assert norm == pytest.approx((rows / columns) ** 0.5 * orthogonal, rel=0.05)


def test_scale_of_the_gradient_does_not_matter():
    gradient = random_matrix(16, 32)
    step = moved(gradient)[0]
    torch.testing.assert_close(moved(2**-10 * gradient)[0], step, atol=0.01, rtol=0)


def test_decay_takes_only_from_what_the_step_does_not_push_away_from_zero():
    matrix, gradient = random_matrix(8, 8), random_matrix(8, 8).flip(0)
    without, _ = moved(gradient, matrix=matrix, lr=1e-3)
    decayed, _ = moved(gradient, matrix=matrix, lr=1e-3, weight_decay=10.0)
    towards_zero = (without - matrix) * matrix < 0
    assert 16 < towards_zero.sum() < 48
    expected = torch.where(towards_zero, 1e-2 * matrix, 0.0)
    torch.testing.assert_close(without - decayed, expected, atol=1e-6, rtol=0)


def test_state_is_the_momentum_and_one_number_for_each_row():
    gradient = random_matrix(6, 4)
    _, optimiser = moved(gradient, steps=2)
    (state,) = optimiser.state.values()
    assert {key: tuple(value.shape) for key, value in state.items()} == {
        "momentum": (6, 4),
        "row_moment": (6, 1),
    }
    torch.testing.assert_close(state["momentum"], 1.9 * gradient)


def test_matrices_moved_together_move_as_each_by_itself():
    gradients = [random_matrix(rows, 8) for rows in (8, 8, 24)]
    gradients[1] = gradients[1].flip(0)
    matrices = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for matrix, gradient in zip(matrices, gradients, strict=True):
        matrix.grad = gradient.clone()
    NorMuon(matrices, lr=1.0, momentum=0.9, beta2=0.9).step()
    for matrix, gradient in zip(matrices, gradients, strict=True):
        assert torch.equal(matrix.data, moved(gradient)[0])


def test_matrix_without_a_gradient_stays_and_has_no_state():
    matrix = nn.Parameter(torch.ones(4, 4))
    optimiser = NorMuon([matrix], lr=1.0, momentum=0.9, beta2=0.9, weight_decay=0.5)
    optimiser.step()
    assert torch.equal(matrix.data, torch.ones(4, 4))
    assert not optimiser.state


def test_gradient_of_zeros_moves_nothing():
    assert moved(torch.zeros(4, 8), steps=3)[0].abs().max() == 0


def test_vector_is_refused():
    with pytest.raises(
        ValueError,
        match=r"^params: a parameter of shape \(5,\), matrices are allowed; give the others to "
        r"AdamW$",
    ):
        NorMuon([nn.Parameter(torch.zeros(5))], lr=1.0, momentum=0.9, beta2=0.9)


def test_dtype_of_the_orthogonalisation_changes_little():
    gradient = random_matrix(48, 24)
    expected, found = (moved(gradient, dtype=dtype)[0] for dtype in (torch.float32, torch.bfloat16))
    assert not torch.equal(found, expected)
    assert torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.995


@pytest.fixture
def lone_process():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_sharded_matrix_moves_as_a_whole_one_and_its_momentum_is_sharded(lone_process):
    """With several processes: tests/training/test_distributed.py."""
    gradient = random_matrix(16, 8)
    expected, _ = moved(gradient, steps=3, weight_decay=0.1)
    matrix = nn.Parameter(distribute_tensor(torch.zeros(16, 8), lone_process, [Shard(0)]))
    optimiser = NorMuon([matrix], lr=1.0, momentum=0.9, beta2=0.9, weight_decay=0.1)
    for _ in range(3):
        matrix.grad = distribute_tensor(gradient, lone_process, [Shard(0)])
        optimiser.step()
    state = optimiser.state[matrix]
    assert torch.equal(matrix.full_tensor(), expected)
    assert state["momentum"].placements == (Shard(0),)
    assert type(state["row_moment"]) is torch.Tensor
