"""Parquet files in an object store, listed and read by Polars.

Keys, region and endpoint come from the environment alone: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL and the other names that Polars knows.
"""

from typing import Final

import polars as pl
from polars.exceptions import ComputeError, PolarsError

from toto_core.errors import DataError

SCHEME: Final = "s3://"
_EXTENSIONS: Final = (".parquet", ".pq")
_COLUMN: Final = "path"


def is_address(pattern: str) -> bool:
    """Whether a path of ``ingest.paths`` lies in an object store."""
    return pattern.startswith(SCHEME)


def find(pattern: str) -> list[str]:
    """Return the addresses of the Parquet files that an address, glob or prefix/ names, sorted.

    Raises:
        DataError: if there is none, or the store does not let itself be read.
    """
    if pattern.endswith("/"):
        pattern += "**/*.parquet"
    if not pattern.endswith(_EXTENSIONS):
        raise DataError(
            f"ingest.paths: {pattern} = {pattern.rpartition('/')[2]!r}, names in .parquet or a "
            "folder with / at its end are read from an object store; convert the files, or fetch "
            "them with dvc import-url"
        )
    # No column is read, so that files of other columns do not matter yet.
    scan = pl.scan_parquet(pattern, schema={}, extra_columns="ignore", include_file_paths=_COLUMN)
    try:
        found = scan.select(pl.col(_COLUMN).unique().sort()).collect()[_COLUMN]
    except FileNotFoundError:
        found = pl.Series([], dtype=pl.String)
    except ComputeError as error:
        if "expanded paths were empty" not in str(error):
            raise DataError(refusal(pattern, error)) from None
        found = pl.Series([], dtype=pl.String)
    except (PolarsError, OSError) as error:
        raise DataError(refusal(pattern, error)) from None
    if found.is_empty():
        raise DataError(
            f"ingest.paths: {pattern} = 0 files match, at least one is needed; mend the path in "
            "params.yaml"
        )
    return found.to_list()


def refusal(address: str, error: Exception) -> str:
    """A message for an object store that refuses."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[0]
    text = text.partition(" (path: ")[0].removeprefix("object-store error: ")
    return (
        f"ingest.paths: {address}: {text}; see whether AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, "
        "AWS_REGION and AWS_ENDPOINT_URL are right"
    )
