"""Ingest as the tests call it: a source in a folder, then what was written of it."""

import polars as pl

from toto_core.config import DemoParams, IngestParams
from toto_core.data.sources import ingest_source


def ingest_params(*paths, **changes):
    values = {
        "source": "files",
        "paths": paths,
        "layout": "auto",
        "item_id": None,
        "timestamp": None,
        "targets": (),
        "past_covariates": (),
        "known_covariates": (),
        "freq": None,
        "timezone": "UTC",
        "group_pattern": None,
        "prometheus": None,
        "sql": None,
        "demo": DemoParams(num_services=1, num_days=1, freq="1h"),
    }
    return IngestParams.model_validate(values | changes)


class Ingested:
    """What ``ingest_source`` wrote to ``root``/series, or another folder."""

    def __init__(self, root, *paths, to="series", state=None, **changes):
        self.directory = root / to
        self.directory.mkdir()
        params = ingest_params(*paths, **changes)
        self.report = ingest_source(params, root, self.directory, state=state)
        self.shards = sorted(self.directory.glob("part-*.parquet"))
        self.rows = pl.concat(pl.read_parquet(path) for path in self.shards)
        self.items = pl.read_parquet(self.directory / "items.parquet")
        self.rejected = pl.read_parquet(self.directory / "rejected.parquet")

    def values(self, item, variate="target"):
        rows = self.rows.filter(pl.col("item_id") == item, pl.col("variate") == variate)
        return rows["value"].to_list()
