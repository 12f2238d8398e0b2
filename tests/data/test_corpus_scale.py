"""A corpus far larger than memory, and one of very many tiny items, cost what is used of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from corpus_entries import entry, written

from toto_core.data.corpus import ARRAYS_FILE, NAMES_FILE, Mixture, shard_name

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc"),
]

HERE = Path(__file__).parent
ALL_REAL = Mixture(synthetic_share=0.0)
NUM_ITEMS, NUM_STEPS, ITEMS_OF_A_SHARD = 10_000, 1_000_000, 268

# Prints the megabytes of memory that opening and drawing take, by what they hold.
MEASURE = """
import json, sys
from pathlib import Path
from toto_core.data.augmentation import AugmentSettings
from toto_core.data.corpus import Corpus
from toto_core.data.windows import TrainingWindows
def held():
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if "kB" in line}
before = held()
corpus = Corpus.open(Path(sys.argv[1]))
opened = held()
windows = TrainingWindows(
    corpus, cutoff="train", context_length=512, batch_size=256, num_variates=4, seed=0,
    augment=AugmentSettings(),
)
for step in range(int(sys.argv[2])):
    batch = windows.batch(step)
drawn = held()
print(json.dumps({
    "points": int((corpus.length * corpus.num_variates).sum()),
    "open": opened["VmRSS"] - before["VmRSS"],
    "own": drawn["RssAnon"] - opened["RssAnon"],
    "mapped": drawn["RssFile"] - opened["RssFile"],
}))
"""


def measured(directory, num_batches):
    environment = os.environ | {"PYTHONPATH": str(HERE.parents[1]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", MEASURE, str(directory), str(num_batches)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def write_sparse(directory):
    """Write a corpus of zeros that takes no room: an index of long items, and files of holes."""
    small = (entry(f"i{n}", [[0.0]], [1] * 3) for n in range(NUM_ITEMS))
    written(directory, small, mixture=ALL_REAL)
    shard, place = np.divmod(np.arange(NUM_ITEMS), ITEMS_OF_A_SHARD)
    with np.load(directory / ARRAYS_FILE) as stored:
        arrays = dict(stored)
    arrays |= {
        "shard": shard,
        "offset": place * NUM_STEPS,
        "length": np.full(NUM_ITEMS, NUM_STEPS),
        "limits": np.full((NUM_ITEMS, 3), NUM_STEPS),
    }
    np.savez(directory / ARRAYS_FILE, **arrays)
    sizes = (np.bincount(shard) * NUM_STEPS * 4).tolist()
    names = json.loads((directory / NAMES_FILE).read_text())
    names["shards"] = [
        {"name": shard_name(n), "num_bytes": size, "sha256": ""} for n, size in enumerate(sizes)
    ]
    (directory / NAMES_FILE).write_text(json.dumps(names))
    for n, size in enumerate(sizes):
        with (directory / shard_name(n)).open("wb") as file:
            file.truncate(size)


def test_corpus_of_ten_thousand_million_points_is_read_where_windows_lie(tmp_path):
    write_sparse(tmp_path / "corpus")
    num_batches = 10
    found = measured(tmp_path / "corpus", num_batches)
    assert found["points"] == 10**10
    assert found["open"] < 20
    assert found["own"] < 100
    # A window of 2 KiB lies on one or two pages of 4 KiB.
    assert found["mapped"] < 10 * num_batches * 256 * 4 / 1024


def test_many_tiny_items_cost_their_numbers(tmp_path):
    num_items = 40_000
    tiny = (entry(f"item-{n}", [[0.0, 1.0, 2.0]], [3] * 3, group="g") for n in range(num_items))
    written(tmp_path / "corpus", tiny, mixture=ALL_REAL)
    found = measured(tmp_path / "corpus", 1)
    assert found["points"] == 3 * num_items
    assert found["open"] * 2**20 / num_items < 250  # bytes; 118 of them are the index itself
