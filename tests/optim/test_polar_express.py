"""Polar Express brings singular values near one and keeps singular vectors."""

import pytest
import torch

from toto_core.optim.polar_express import polar_express

SHAPES = [(64, 64), (192, 64), (64, 176), (8, 16), (5, 1)]


def random_matrices(shape):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(3, *shape, generator=generator).bfloat16()


@pytest.mark.parametrize("shape", SHAPES[1:])  # a random square matrix is nearly singular
def test_singular_values_end_near_one(shape):
    values = torch.linalg.svdvals(polar_express(random_matrices(shape)).float())
    assert 0.6 < values.min() < values.max() < 1.2


def test_small_singular_values_are_lifted_by_orders_of_magnitude():
    matrix = torch.diag(torch.tensor([1.0, 1e-1, 1e-2, 1e-3]))
    values = torch.linalg.svdvals(polar_express(matrix[None].bfloat16()).float())
    assert 0.8 < values.min() < values.max() < 1.2


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_direction_is_that_of_the_polar_factor(shape):
    matrices = random_matrices(shape)
    left, _, right = torch.linalg.svd(matrices.float(), full_matrices=False)
    found = polar_express(matrices).float().flatten(1)
    cosine = torch.cosine_similarity(found, (left @ right).flatten(1))
    assert cosine.min() > 0.98


def test_dtype_is_that_of_the_matrices_and_changes_little():
    matrices = random_matrices((48, 24))
    expected, found = polar_express(matrices.float()), polar_express(matrices)
    assert (expected.dtype, found.dtype) == (torch.float32, torch.bfloat16)
    assert torch.cosine_similarity(found.float().flatten(1), expected.flatten(1)).min() > 0.995


@pytest.mark.parametrize("scale", [2**-10, 2**20])  # powers of two: nothing is rounded
def test_scale_of_a_matrix_does_not_matter(scale):
    matrices = random_matrices((24, 48))
    expected, found = polar_express(matrices).float(), polar_express(scale * matrices).float()
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)


def test_matrices_of_a_stack_do_not_see_each_other():
    matrices = random_matrices((16, 40))
    together = polar_express(matrices)
    for matrix, expected in zip(matrices, together, strict=True):
        assert torch.equal(polar_express(matrix[None])[0], expected)


def test_matrix_of_zeros_stays_one():
    assert polar_express(torch.zeros(1, 8, 4)).abs().max() == 0
