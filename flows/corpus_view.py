"""The command ``toto data verify``: whether the training corpus is as it was written."""

from pathlib import Path

from flows import paths
from toto_core.data.corpus import Corpus


def verify(root: Path) -> str:
    """Compare every shard of the corpus with its checksum and say what was read.

    Raises:
        DataError: naming each shard that is missing, torn or damaged.
    """
    corpus = Corpus.open(root / paths.CORPUS, verify=True)
    num_bytes, count = sum(shard.nbytes for shard in corpus.shards), len(corpus.shards)
    return (
        f"{paths.CORPUS}: {corpus.num_items} items in {count} shard{'s' if count != 1 else ''}, "
        f"{num_bytes} bytes, all as they were written"
    )
