"""Series from a data base: the rows of a query, fetched in batches, become Parquet files."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import polars as pl
import sqlalchemy
from polars.exceptions import PolarsError
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from toto_core.config import SqlParams
from toto_core.data.raw_files import RawFile
from toto_core.errors import ConfigError, DataError

BATCH_ROWS: Final = 500_000
SOURCE: Final = "sql/query"
ITEM: Final = "query"


def fetch(params: SqlParams, root: Path, folder: Path) -> list[RawFile]:
    """Run the query of ``params`` and keep its rows as Parquet files.

    Args:
        params: the section ``ingest.sql``.
        root: the project, which the path of an SQLite file is relative to.
        folder: an existing folder for the files.

    Returns:
        one file for each batch of rows.

    Raises:
        ConfigError: if the data base cannot be named or its driver is not installed.
        DataError: if it refuses the connection or the query, or there is no row.
    """
    url = _url(params, root)
    shown = url.render_as_string(hide_password=True)
    files = []
    try:
        for number, batch in enumerate(_batches(url, params.query)):
            path = folder / f"{number:05d}.parquet"
            batch.write_parquet(path)
            files.append(
                RawFile(str(path), SOURCE, ITEM, "parquet", "", batch.schema, batch.height)
            )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise ConfigError(
            f"sql {shown}: no driver ({_one_line(error, url)}), one is needed; install it, for "
            "example pip install psycopg for postgresql+psycopg://"
        ) from None
    except (SQLAlchemyError, PolarsError) as error:
        raise DataError(
            f"sql {shown}: {_one_line(error, url)}; mend ingest.sql.query or the data base"
        ) from None
    if not files:
        raise DataError(
            f"sql {shown}: ingest.sql.query = {params.query!r}, 0 rows, at least one is needed; "
            "mend the query"
        )
    return files


def _url(params: SqlParams, root: Path) -> URL:
    text = params.uri
    if params.uri_env is not None:
        text = os.environ.get(params.uri_env)
        if not text:
            raise ConfigError(
                f"params.yaml: ingest.sql.uri_env = {params.uri_env}, a variable of the "
                "environment that is set is needed; export it, for example as "
                "postgresql+psycopg://user:password@host/base"
            )
    assert text is not None
    try:
        url = sqlalchemy.make_url(text)
    except ArgumentError:
        # The text is not shown: it may hold a password.
        raise ConfigError(
            f"params.yaml: ingest.sql.{'uri_env' if params.uri_env else 'uri'} names no data "
            "base, a URI is needed; write for example sqlite:///data/raw/metrics.db"
        ) from None
    if url.get_backend_name() == "sqlite" and url.database:
        path = root / url.database
        if not path.is_file():
            raise DataError(
                f"sql {text}: {url.database} = not found, a file is needed; mend the path"
            )
        url = url.set(database=str(path))
    return url


def _batches(url: URL, query: str) -> Iterator[pl.DataFrame]:
    engine = sqlalchemy.create_engine(url)
    try:
        # Nothing is committed: what a query might change is rolled back.
        with engine.connect().execution_options(stream_results=True) as connection:
            try:
                batches = pl.read_database(
                    query,
                    connection,
                    iter_batches=True,
                    batch_size=BATCH_ROWS,
                    infer_schema_length=None,
                )
            except AttributeError:  # Polars looks for the cursor of a statement that has none
                raise DataError(
                    f"params.yaml: ingest.sql.query = {query!r}, a statement that returns rows is "
                    "needed; write a select"
                ) from None
            yield from (batch for batch in batches if batch.height)
    finally:
        engine.dispose()


def _one_line(error: Exception, url: URL) -> str:
    cause = getattr(error, "orig", None) or error
    lines = str(cause).strip().splitlines() or [type(error).__name__]
    password = str(url.password or "")
    return lines[0].replace(password, "***") if password else lines[0]
