"""Writing a corpus: item by item, whole or not at all.

Shapes: N items, C cut-offs, K validation origins.
"""

import dataclasses
import errno
import shutil
from array import array
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from toto_core.data.corpus.entry import Entry
from toto_core.data.corpus.layout import ARRAYS_FILE, NAMES_FILE, TRAIN
from toto_core.data.corpus.mixture import Mixture, draw_weights
from toto_core.data.corpus.names import LabelColumn, TextColumn, pack_labels, pack_texts
from toto_core.data.corpus.shards import SHARD_BYTES, ShardWriter
from toto_core.errors import StorageError
from toto_core.files import write_json, writing

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_corpus(
    directory: Path,
    entries: Iterable[Entry],
    *,
    cutoffs: Sequence[str],
    num_validation_origins: int,
    mixture: Mixture,
    max_shard_bytes: int = SHARD_BYTES,
) -> dict[str, int]:
    """Write a corpus item by item (memory holds one of them) and return its counts.

    An existing corpus is replaced once the new one is whole, and stays if that fails.

    Args:
        cutoffs: names, ``train`` among them.
        max_shard_bytes: of one file, where it holds more than one item.

    Raises:
        DataError: if a part of the mixture with a positive share has no usable item.
        StorageError: if there is no room for the corpus.
    """
    index = _Index(cutoffs, num_validation_origins)
    try:
        with writing(directory) as temporary:
            temporary.mkdir()
            with ShardWriter(temporary, max_bytes=max_shard_bytes) as shards:
                for entry in entries:
                    index.begin(entry)
                    index.add(entry, *shards.append(entry.values))
                files = shards.finish()
            arrays, counts = index.arrays(mixture), index.counts(shards.num_observed)
            np.savez(temporary / ARRAYS_FILE, allow_pickle=False, **arrays)
            names = {
                "shards": [dataclasses.asdict(shard) for shard in files],
                "cutoffs": cutoffs,
                "mixture": dataclasses.asdict(mixture),
                "counts": counts,
            }
            write_json(temporary / NAMES_FILE, names)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise StorageError(_no_room(error, directory, index)) from None
    return counts


def _no_room(error: OSError, directory: Path, index: "_Index") -> str:
    free = shutil.disk_usage(directory.parent).free
    return (
        f"{directory}: {str(error.strerror).lower()}, {free} bytes are free and more than "
        f"{index.num_bytes} are needed ({index.num_items} items were begun, the rest is not "
        "counted); make room and run again, nothing torn was left"
    )


class _Index:
    """What is remembered of the entries that were written: a few numbers for each."""

    def __init__(self, cutoffs: Sequence[str], num_validation_origins: int) -> None:
        self.num_bytes = 0
        self.num_items = 0
        self._cutoffs = tuple(cutoffs)
        self._num_origins = num_validation_origins
        self._numbers = {name: array("q") for name in ("shard", "offset", "num_variates", "length")}
        self._limits, self._positions = array("q"), array("q")
        self._roles, self._is_synthetic = array("b"), array("b")
        self._item_ids = TextColumn()
        self._labels = {name: LabelColumn() for name in ("groups", "freqs", "sources")}

    def begin(self, entry: Entry) -> None:
        self.num_bytes += entry.values.nbytes
        self.num_items += 1

    def add(self, entry: Entry, shard: int, offset: int) -> None:
        values = (shard, offset, *entry.values.shape)
        for column, value in zip(self._numbers.values(), values, strict=True):
            column.append(value)
        self._limits.extend(entry.limits.tolist())
        self._positions.extend(entry.validation_positions.tolist())
        self._roles.extend(entry.roles.tolist())
        self._is_synthetic.append(entry.is_synthetic)
        self._item_ids.add(entry.item_id)
        for name, label in zip(self._labels, (entry.group, entry.freq, entry.source), strict=True):
            self._labels[name].add(label)

    def arrays(self, mixture: Mixture) -> dict[str, np.ndarray]:
        arrays = {name: np.frombuffer(column, np.int64) for name, column in self._numbers.items()}
        labels = {name: column.labels() for name, column in self._labels.items()}
        limits = np.frombuffer(self._limits, np.int64).reshape(-1, len(self._cutoffs))
        is_synthetic = np.frombuffer(self._is_synthetic, np.bool_)
        arrays |= {
            "is_synthetic": is_synthetic,
            "limits": limits,
            "validation_positions": np.frombuffer(self._positions, np.int64).reshape(
                self.num_items, self._num_origins
            ),
            "roles": np.frombuffer(self._roles, np.int8),
            "role_offset": np.cumsum(arrays["num_variates"]) - arrays["num_variates"],
            "weight": draw_weights(
                limits[:, self._cutoffs.index(TRAIN)],
                is_synthetic,
                source=labels["sources"],
                family=labels["groups"],
                freq=labels["freqs"],
                mixture=mixture,
            ),
            **pack_texts("item_ids", self._item_ids.texts()),
        }
        for name, column in labels.items():
            arrays |= pack_labels(name, column)
        return arrays

    def counts(self, num_observed: int) -> dict[str, int]:
        rows, steps = (
            np.frombuffer(self._numbers[name], np.int64) for name in ("num_variates", "length")
        )
        limits = np.frombuffer(self._limits, np.int64).reshape(-1, len(self._cutoffs))
        before = rows * limits[:, self._cutoffs.index(TRAIN)]
        made = np.frombuffer(self._is_synthetic, np.bool_)
        return {
            "real_items": int((~made).sum()),
            "synthetic_items": int(made.sum()),
            "real_points": int((rows * steps)[~made].sum()),
            "real_points_before_validation": int(before[~made].sum()),
            "synthetic_points": int((rows * steps)[made].sum()),
            "observed_points": num_observed,
        }
