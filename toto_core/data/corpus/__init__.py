"""The training corpus on disk: every series as flat float32, and an index of where each one lies.

A folder holds

- ``part-00000.f32``, ``part-00001.f32``, ...: little-endian float32, one block [V, T] for each
  item, row-major, NaN = missing; an item lies in one shard;
- ``index.npz``: the arrays of ``Corpus``, one entry (or row) for each item;
- ``index.json``: the shards with their sizes and SHA-256, the names of the cut-offs, mixture and
  counts, for people and for messages.

Reading needs numpy alone: the values are memory-mapped and nothing is copied.
"""

from toto_core.data.corpus.entry import KNOWN_COVARIATE, PAST_COVARIATE, TARGET, Entry
from toto_core.data.corpus.layout import (
    ARRAYS_FILE,
    NAMES_FILE,
    TRAIN,
    VALIDATION,
    fold_cutoff,
    shard_name,
)
from toto_core.data.corpus.mixture import Mixture, Part, realised, source_weights
from toto_core.data.corpus.names import Labels, Texts
from toto_core.data.corpus.reading import Corpus
from toto_core.data.corpus.writing import write_corpus

__all__ = [
    "ARRAYS_FILE",
    "KNOWN_COVARIATE",
    "NAMES_FILE",
    "PAST_COVARIATE",
    "TARGET",
    "TRAIN",
    "VALIDATION",
    "Corpus",
    "Entry",
    "Labels",
    "Mixture",
    "Part",
    "Texts",
    "fold_cutoff",
    "realised",
    "shard_name",
    "source_weights",
    "write_corpus",
]
