"""Names of the files and of the cut-offs of a corpus, and the type of its values."""

import numpy as np

ARRAYS_FILE = "index.npz"
NAMES_FILE = "index.json"
VALUE = np.dtype("<f4")

TRAIN = "train"
VALIDATION = "validation"

# What to do about a corpus that cannot be read.
REMEDY = "run dvc repro augment"


def fold_cutoff(fold: int) -> str:
    """Name of the cut-off of rolling refit ``fold``."""
    return f"fold-{fold}"


def shard_name(number: int) -> str:
    """Name of the file of shard ``number``, from 0 on."""
    return f"part-{number:05d}.f32"
