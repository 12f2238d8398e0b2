"""Each option of the mixture changes what is drawn, as its formula says."""

import numpy as np
import pytest
from corpus_entries import entry, written

from toto_core.data.corpus import Corpus, Mixture, realised, source_weights
from toto_core.errors import ConfigError, DataError


def item(name, num_steps, *, is_synthetic=False, **labels):
    values = np.zeros((1, num_steps))
    return entry(name, values, [num_steps] * 3, is_synthetic=is_synthetic, **labels)


def parts():
    """Steps by source and frequency: x 1h 100, x 1D 300; y 1D 400; families f 100 and g 300."""
    return [
        item("a", 100, source="x", freq="1h"),
        item("b", 300, source="x", freq="1D"),
        item("c", 400, source="y", freq="1D"),
        item("f0", 100, is_synthetic=True, group="f"),
        item("g0", 100, is_synthetic=True, group="g"),
        item("g1", 200, is_synthetic=True, group="g"),
    ]


def weights(tmp_path, items=None, *, synthetic_share=0.5, size_exponent=1.0, **options):
    mixture = Mixture(synthetic_share=synthetic_share, size_exponent=size_exponent, **options)
    written(tmp_path / "corpus", items or parts(), mixture=mixture)
    return Corpus.open(tmp_path / "corpus").weight


def test_in_proportion_to_size(tmp_path):
    expected = np.array([1 / 8, 3 / 8, 1 / 2, 1 / 4, 1 / 4, 1 / 2]) / 2
    np.testing.assert_allclose(weights(tmp_path), expected)


def test_all_alike(tmp_path):
    np.testing.assert_allclose(weights(tmp_path, size_exponent=0.0), np.full(6, 1 / 6))


def test_sources_by_weight(tmp_path):
    real = np.array([1, 3, 3 * 4]) / 16
    found = weights(tmp_path, sources={"y": 3.0})
    np.testing.assert_allclose(found, np.array([*real, 1 / 4, 1 / 4, 1 / 2]) / 2)


def test_source_without_weight_is_never_drawn(tmp_path):
    found = weights(tmp_path, sources={"x": 0.0})
    assert found[:3].tolist() == [0, 0, 0.5]


def test_all_sources_without_weight_are_refused(tmp_path):
    with pytest.raises(
        DataError, match=r"^corpus: real items with a weight and a time step .* = 0 of 3, at least"
    ):
        weights(tmp_path, sources={"x": 0.0, "y": 0.0})


@pytest.mark.parametrize("temperature", [0.5, 2.0, 5.0])
def test_temperature_evens_out_sources_and_families(tmp_path, temperature):
    found = weights(tmp_path, size_exponent=0.0, temperature=temperature)
    sources = np.array([2 / 3, 1 / 3]) ** (1 / temperature)
    families = np.array([1 / 3, 2 / 3]) ** (1 / temperature)
    of_x, of_y = sources / sources.sum() / 2
    of_f, of_g = families / families.sum() / 2
    np.testing.assert_allclose(found, [of_x / 2, of_x / 2, of_y, of_f, of_g / 2, of_g / 2])


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_double_weight_is_double_the_draws_at_any_temperature(tmp_path, temperature):
    plain = weights(tmp_path / "plain", temperature=temperature)
    double = weights(tmp_path / "double", temperature=temperature, sources={"y": 2.0})
    ratio = (double[2] / double[0]) / (plain[2] / plain[0])
    assert ratio == pytest.approx(2)


@pytest.mark.parametrize(("balance", "hourly"), [(0.0, 1 / 8), (0.5, 5 / 16), (1.0, 1 / 2)])
def test_frequencies_are_evened_out(tmp_path, balance, hourly):
    found = weights(tmp_path, frequency_balance=balance)
    daily = (1 - hourly) * np.array([3 / 7, 4 / 7])
    np.testing.assert_allclose(found[:3], np.array([hourly, *daily]) / 2)
    np.testing.assert_allclose(found[3:], np.array([1 / 4, 1 / 4, 1 / 2]) / 2)


def test_frequency_without_weight_takes_no_part_in_the_balance(tmp_path):
    weekly = item("w", 800, source="z", freq="1W")
    found = weights(tmp_path, [*parts(), weekly], frequency_balance=0.5, sources={"z": 0.0})
    np.testing.assert_allclose(found[[0, -1]], [5 / 32, 0])


def test_options_that_change_nothing_leave_every_bit(tmp_path):
    plain = weights(tmp_path / "a", size_exponent=0.5)
    same = weights(
        tmp_path / "b",
        size_exponent=0.5,
        temperature=1.0,
        frequency_balance=0.0,
        sources={"x": 1.0, "y": 1.0},
    )
    assert plain.tobytes() == same.tobytes()


def test_realised_parts_add_up(tmp_path):
    weights(tmp_path, sources={"y": 3.0})
    corpus = Corpus.open(tmp_path / "corpus")
    found = realised(
        corpus.sources,
        members=~corpus.is_synthetic,
        points=corpus.length,
        weight=corpus.weight,
    )
    assert [(part.name, part.items, part.points) for part in found] == [
        ("y", 1, 400),
        ("x", 2, 400),
    ]
    assert [part.share for part in found] == pytest.approx([3 / 8, 1 / 8])


def test_sources_are_found_by_name_and_by_pattern():
    known = ["raw/a.csv", "raw/b.csv", "shop/c.csv", "raw/[x].csv"]
    assert source_weights({"raw/*": 2.0, "raw/b.csv": 0.0, "raw/[x].csv": 5.0}, known) == {
        "raw/a.csv": 2.0,
        "raw/b.csv": 0.0,
        "raw/[x].csv": 5.0,
    }
    assert source_weights({}, known) == {}


def test_unknown_source_names_the_known_ones():
    known = [f"s{n:02d}" for n in range(12)]
    with pytest.raises(ConfigError) as caught:
        source_weights({"s13": 2.0, "t*": 1.0, "s0?": 1.0, "s*1": 1.0}, known)
    listed = ", ".join(known[:10]) + " (2 more)"
    assert str(caught.value).splitlines() == [
        "params.yaml: augment.mixture.sources = s*1 and s0?, which both fit s01, one weight for "
        "each source is allowed; narrow one of them",
        f"params.yaml: augment.mixture.sources.s13 = 2, one of {listed} or a pattern that fits one "
        "is allowed; mend the name",
        f"params.yaml: augment.mixture.sources.t* = 1, one of {listed} or a pattern that fits one "
        "is allowed; mend the name",
    ]
