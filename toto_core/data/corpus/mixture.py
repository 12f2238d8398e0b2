"""How often each item of the corpus is drawn.

Shapes: N items, M distinct labels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from toto_core.data.corpus.layout import TRAIN
from toto_core.data.corpus.names import Labels
from toto_core.errors import ConfigError, DataError

_MOST_NAMED = 10  # sources in a message


@dataclass(frozen=True)
class Mixture:
    """What is drawn how often.

    An item's weight begins as (its time steps before the cut-off ``train``) ** ``size_exponent``.
    Sources, and the families of synthetic series, then get weight * share ** (1 / temperature),
    with share their part of the weights so far; then frequencies are evened out. At last real
    items together get 1 - ``synthetic_share``, synthetic ones ``synthetic_share``.

    Attributes:
        size_exponent: 0 (all items alike) to 1 (in proportion to their size).
        temperature: above 0; 1 leaves the shares as they are, more evens them out, as in
            multilingual language models (Arivazhagan et al. 2019, arXiv:1907.05019).
        frequency_balance: 0 (as they are) to 1 (each frequency as often as any other), linear
            in between; real items only.
        sources: weight of a source of real items by name, those not named have 1.
    """

    synthetic_share: float
    size_exponent: float = 0.5
    temperature: float = 1.0
    frequency_balance: float = 0.0
    sources: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """Items with the same label.

    Attributes:
        items: their number.
        points: all their values before the cut-off ``train``, missing ones included.
        share: of the draws, 0 to 1.
    """

    name: str
    items: int
    points: int
    share: float


def draw_weights(
    history: Int64[np.ndarray, " N"],
    is_synthetic: Bool[np.ndarray, " N"],
    *,
    source: Labels,
    family: Labels,
    freq: Labels,
    mixture: Mixture,
) -> Float64[np.ndarray, " N"]:
    """Weigh every item, so that the weights sum to one.

    Args:
        history: time steps before the cut-off ``train``. Nothing behind it enters a weight, so
            refits with later cut-offs use the same ones.
        family: of the synthetic items.

    Raises:
        DataError: if real or synthetic items have a share, and none of them a weight.
    """
    # Zero steps weigh nothing at any exponent, 0 included.
    weights = np.where(history > 0, history.astype(np.float64) ** mixture.size_exponent, 0.0)
    of_source = np.array([mixture.sources.get(name, 1.0) for name in source.names], np.float64)
    real, made = ~is_synthetic, is_synthetic
    share = mixture.synthetic_share
    weights[real] = _tempered(weights[real], source.codes[real], mixture.temperature)
    weights[real] *= of_source[source.codes[real]]
    weights[real] = _evened(weights[real], freq.codes[real], mixture.frequency_balance)
    weights[made] = _tempered(weights[made], family.codes[made], mixture.temperature)
    for part, wanted, name in ((real, 1 - share, "real"), (made, share, "synthetic")):
        total = weights[part].sum()
        if wanted > 0 and not total > 0:
            raise DataError(
                f"corpus: {name} items with a weight and a time step before the cut-off {TRAIN} = "
                f"0 of {int(part.sum())}, at least 1 is needed for their share {wanted:g} of the "
                "mixture; give more history or change augment.synthetic_share"
            )
        weights[part] *= wanted / total if total > 0 else 0.0
    return weights


def _tempered(
    weights: Float64[np.ndarray, " N"], codes: Int32[np.ndarray, " N"], temperature: float
) -> Float64[np.ndarray, " N"]:
    """Give the items of each code together (their share of the weights) ** (1 / temperature)."""
    shares = _shares(weights, codes)
    return weights * _ratio(shares ** (1 / temperature), shares)[codes]


def _evened(
    weights: Float64[np.ndarray, " N"], codes: Int32[np.ndarray, " N"], balance: float
) -> Float64[np.ndarray, " N"]:
    """Move the shares of the codes by ``balance`` of the way to equal ones."""
    shares = _shares(weights, codes)
    used = shares > 0
    equal = used / max(used.sum(), 1)
    return weights * _ratio((1 - balance) * shares + balance * equal, shares)[codes]


def _shares(
    weights: Float64[np.ndarray, " N"], codes: Int32[np.ndarray, " N"]
) -> Float64[np.ndarray, " M"]:
    sums = np.bincount(codes, weights).astype(np.float64)  # of nothing: integers
    return _ratio(sums, np.full_like(sums, sums.sum()))


def _ratio(
    above: Float64[np.ndarray, " M"], below: Float64[np.ndarray, " M"]
) -> Float64[np.ndarray, " M"]:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def source_weights(wanted: Mapping[str, float], known: Iterable[str]) -> dict[str, float]:
    """Find the sources that are meant by names, or by patterns such as ``data/raw/shop/*``.

    A name goes before a pattern.

    Args:
        wanted: weight of each name or pattern.
        known: the sources that there are.

    Raises:
        ConfigError: if a name or pattern fits no source, or two patterns the same one.
    """
    names = sorted(set(known))
    exact = {name: weight for name, weight in wanted.items() if name in names}
    found: dict[str, str] = {}
    faults = []
    for pattern in sorted(wanted.keys() - exact.keys()):
        members = [name for name in names if fnmatchcase(name, pattern) and name not in exact]
        if not members:
            faults.append(
                f"params.yaml: augment.mixture.sources.{pattern} = {wanted[pattern]:g}, one of "
                f"{_listed(names)} or a pattern that fits one is allowed; mend the name"
            )
        faults += [
            f"params.yaml: augment.mixture.sources = {found[name]} and {pattern}, which both fit "
            f"{name}, one weight for each source is allowed; narrow one of them"
            for name in members
            if name in found
        ]
        found |= dict.fromkeys(members, pattern)
    if faults:
        raise ConfigError("\n".join(sorted(faults)))
    return exact | {name: wanted[pattern] for name, pattern in found.items()}


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" ({more} more)" if more > 0 else "")


def realised(
    labels: Labels,
    *,
    members: Bool[np.ndarray, " N"],
    points: Int64[np.ndarray, " N"],
    weight: Float64[np.ndarray, " N"],
) -> list[Part]:
    """Sum up the items by label, the label with the largest share first.

    Args:
        members: the items that count.
        points: values of each item before the cut-off ``train``.
    """
    codes = labels.codes[members]
    items = np.bincount(codes, minlength=len(labels.names))
    sums = np.zeros(len(items), np.int64)
    np.add.at(sums, codes, points[members])
    shares = np.bincount(codes, weight[members], minlength=len(items))
    parts = [
        Part(labels.names[code], int(items[code]), int(sums[code]), float(shares[code]))
        for code in np.flatnonzero(items).tolist()
    ]
    return sorted(parts, key=lambda part: (-part.share, part.name))
