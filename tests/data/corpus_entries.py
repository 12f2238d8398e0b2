"""Entries of a small corpus, and the writing of it."""

import numpy as np

from toto_core.data.corpus import (
    KNOWN_COVARIATE,
    PAST_COVARIATE,
    TARGET,
    Entry,
    Mixture,
    write_corpus,
)

CUTOFFS = ("train", "validation", "fold-0")
MIXTURE = Mixture(synthetic_share=0.25)


def entry(name, values, limits, *, roles=None, is_synthetic=False, **labels):
    """An entry of source "test" with validation positions (length of its name, -1)."""
    values = np.asarray(values, np.float32)
    facts = {"group": f"group of {name}", "freq": "1h", "source": "test"} | labels
    return Entry(
        item_id=name,
        values=values,
        roles=np.asarray(roles or [TARGET] * len(values), np.int8),
        limits=np.asarray(limits, np.int64),
        validation_positions=np.asarray([len(name), -1], np.int64),
        is_synthetic=is_synthetic,
        **facts,
    )


def entries():
    """Two real items and a synthetic one, 23 values."""
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    values[1, 2] = np.nan
    yield entry("ab", values, [2, 3, 4], roles=[TARGET, PAST_COVARIATE, KNOWN_COVARIATE])
    yield entry("c", [[5, 6, 7, 8, 9, 10, 11, 12, 13]], [9, 9, 9])
    yield entry("made", [[1, 2]], [2, 2, 2], is_synthetic=True)


def written(directory, parts=None, *, mixture=MIXTURE, **changes):
    """Write ``parts``, or ``entries``, and return the counts."""
    return write_corpus(
        directory,
        entries() if parts is None else parts,
        cutoffs=CUTOFFS,
        num_validation_origins=2,
        mixture=mixture,
        **changes,
    )
