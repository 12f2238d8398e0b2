"""Writing files so that a reader never sees half of one, and refusing half of one."""

import json
import math
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toto_core.errors import DataError

# The mark twice and the length of the footer.
_LEAST_PARQUET = 12


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of ``path``, moved over ``path`` once the block has succeeded.

    The sibling may become a file or a directory. It is removed when the block raises; an
    existing ``path`` then stays as it was. What a killed process left behind is removed too.

    Raises:
        OSError: what the operating system refused, also where a library hid it in its own error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)
    _remove_orphans(path)
    try:
        yield temporary
        _sync(temporary)
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except Exception as error:
        refused = _system_error(error, path)
        if refused is None:
            raise
        raise refused from error
    finally:
        _remove(temporary)


def _system_error(error: Exception, path: Path) -> OSError | None:
    """The refusal of the operating system behind an error of Polars or safetensors.

    Both are written in Rust, whose texts end such errors with their number.
    """
    number = re.search(r"\(os error (\d+)\)", str(error))
    if isinstance(error, OSError) or number is None:
        return None
    code = int(number[1])
    return OSError(code, os.strerror(code), str(path))


def write_json(path: Path, value: object) -> None:
    """Write ``value`` as JSON with sorted keys; NaN and infinities become null."""
    text = json.dumps(_finite(value), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    with writing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def whole_parquet(path: Path) -> Path:
    """Return ``path`` if a whole Parquet file lies there, going by its size and both its ends.

    Raises:
        DataError: naming the file, which the errors of Polars do not.
    """
    try:
        with path.open("rb") as file:
            first = file.read(4)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - 4))
            last = file.read()
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(
            f"{path}: not found, the stage that writes it must run first; run dvc repro"
        ) from None
    if size < _LEAST_PARQUET or not first == last == b"PAR1":
        raise DataError(
            f"{path}: {size} bytes without the marks of a whole Parquet file, it is torn; "
            "remove it and run dvc repro"
        )
    return path


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _remove_orphans(path: Path) -> None:
    """Remove the temporary siblings of ``path`` whose process is gone."""
    pattern = re.compile(re.escape(f".{path.name}.") + r"(\d+)\.tmp")
    for sibling in path.parent.iterdir():
        match = pattern.fullmatch(sibling.name)
        if match and not _lives(int(match[1])):
            _remove(sibling)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    for file in [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file()):
        with file.open("rb") as handle:
            os.fsync(handle.fileno())
