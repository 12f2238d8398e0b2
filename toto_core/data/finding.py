"""Finding raw files: which ones ``ingest.paths`` names, and what their extensions say."""

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from toto_core.data import object_store
from toto_core.data.raw_files import Kind
from toto_core.errors import DataError

EXTENSIONS: Final[dict[str, Kind]] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc",
    ".feather": "ipc",
    ".ipc": "ipc",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
}
COMPRESSIONS: Final = (".gz", ".zst", ".bz2")
# A folder may hold notes and licences beside its data.
_NOT_IN_FOLDERS: Final = frozenset({".txt", ".json"})
_HIDDEN: Final = (".", "_")


def find_files(patterns: Sequence[str], root: Path) -> list[str]:
    """Return where the data files lie that files, folders and globs name, each once, in order.

    Args:
        patterns: absolute or relative to ``root``, or in an object store; ``**`` crosses folders,
            a folder means all data files below it.

    Returns:
        local paths ordered by their parts, then addresses in object stores.

    Raises:
        DataError: one line for each pattern without a data file.
    """
    found: set[str] = set()
    addresses: set[str] = set()
    faults = []
    for pattern in patterns:
        path = root / pattern
        if object_store.is_address(pattern):
            try:
                addresses.update(object_store.find(pattern))
            except DataError as error:
                faults.append(str(error))
            continue
        if path.is_dir():
            matches = list(_data_files(str(path)))
            fault = f"0 data files in the folder, {kinds()} are read"
        elif path.is_file():
            matches, fault = [str(path)], ""
        elif glob.has_magic(pattern):
            # Path.glob takes no absolute pattern.
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207
            matches = [str(Path(name)) for name in names if Path(name).is_file()]
            fault = "0 files match, at least one is needed"
        else:
            matches, fault = [], "not found, a file, folder or glob is needed"
        found.update(matches)
        if not matches:
            faults.append(f"ingest.paths: {pattern} = {fault}; mend the path in params.yaml")
    if faults:
        raise DataError("\n".join(faults))
    return [*sorted(found, key=lambda name: name.split("/")), *sorted(addresses)]


def extension_of(name: str) -> str:
    """The extension of a file's name in small letters, without that of a compression."""
    extensions = [f".{part}" for part in name.lower().lstrip(".").split(".")[1:]]
    return next((part for part in reversed(extensions) if part not in COMPRESSIONS), "")


def kinds() -> str:
    """The extensions that are read, for messages."""
    return ", ".join(sorted(EXTENSIONS))


def _data_files(folder: str) -> Iterator[str]:
    """All data files below a folder: not hidden, not a note."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(_HIDDEN):
                continue
            extension = extension_of(entry.name)
            if entry.is_dir(follow_symlinks=False):
                yield from _data_files(entry.path)
            elif extension in EXTENSIONS and extension not in _NOT_IN_FOLDERS and entry.is_file():
                yield entry.path
