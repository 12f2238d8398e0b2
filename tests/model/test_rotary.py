"""Rotary positions with decay: equal to the textbook form in pairs, and relative."""

import torch

from toto_core.model.rotary import feature_order, plain_rotation, rotate, rotation

K, P = 16, 12


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def factors(centre=None):
    centre = torch.full((P,), 6.0) if centre is None else centre
    return rotation(centre, K, device=torch.device("cpu"), dtype=torch.float64)


def by_pairs(x, centre, power):
    """The released layout: neighbouring features of the first half turn as complex numbers."""
    width = K // 2
    i = torch.arange(0, width, 2).double()
    position = torch.arange(P).double()[:, None]
    decay = ((i + 0.4 * width) / (1.4 * width)) ** (power * (position - centre) / 256)
    turned = torch.polar(decay, position * 10_000.0 ** (-i / width))
    pairs = torch.view_as_complex(x[..., :width].unflatten(-1, (-1, 2)).contiguous())
    return torch.cat([torch.view_as_real(pairs * turned).flatten(-2), x[..., width:]], -1)


def test_rotation_equals_complex_pairs_of_the_released_layout():
    x, turn, order = draw(2, 3, P, K), factors(), feature_order(K)
    query = rotate(x[..., order], turn.query_cos, turn.query_sin)
    key = rotate(x[..., order], turn.key_cos, turn.key_sin)
    torch.testing.assert_close(query, by_pairs(x, 6.0, 1)[..., order])
    torch.testing.assert_close(key, by_pairs(x, 6.0, -1)[..., order])


def test_feature_order_is_a_permutation():
    assert sorted(feature_order(64).tolist()) == list(range(64))


def test_products_depend_on_the_distance_alone():
    turn = factors()
    q, k = draw(K).expand(1, 1, P, K), draw(K, seed=1).expand(1, 1, P, K)
    products = (
        rotate(q, turn.query_cos, turn.query_sin)
        @ rotate(k, turn.key_cos, turn.key_sin).transpose(-1, -2)
    )[0, 0]
    torch.testing.assert_close(products[5:, 5:], products[:-5, :-5])
    assert (products[:, 0] - products[0, 0]).abs().max() > 1e-2


def test_centre_cancels_when_it_is_one_for_all():
    q, k = draw(1, 1, P, K), draw(1, 1, P, K, seed=1)
    products = []
    for centre in (0.0, 40.0):
        turn = factors(torch.full((P,), centre))
        rotated = rotate(q, turn.query_cos, turn.query_sin), rotate(k, turn.key_cos, turn.key_sin)
        products.append(rotated[0] @ rotated[1].transpose(-1, -2))
    torch.testing.assert_close(*products)


def test_plain_rotation_has_one_centre_for_all():
    kind = {"device": torch.device("cpu"), "dtype": torch.float64}
    for one, other in zip(plain_rotation(P, K, **kind), factors(), strict=True):
        assert torch.equal(one, other)


def test_gradient_is_the_derivative():
    turn = factors()
    x = draw(1, 2, P, K).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: rotate(x, turn.query_cos, turn.query_sin), x)
