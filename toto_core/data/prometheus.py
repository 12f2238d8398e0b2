"""Series from a Prometheus server: range queries, fetched in pages, become Parquet files.

Each query is a variate; the labels of its series name the items. The server's limit is 11,000
points of a series in one answer (``query_range`` of https://prometheus.io/docs/prometheus/latest/querying/api/).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import polars as pl

from toto_core.config import PrometheusParams
from toto_core.data.frequency import parse_freq
from toto_core.data.raw_files import RawFile
from toto_core.data.web import Answer, WebError, post_form
from toto_core.errors import ConfigError, DataError

AUTHORIZATION_ENV: Final = "TOTO_PROMETHEUS_AUTHORIZATION"
MAX_STEPS: Final = 11_000
# The first page is short: it tells how many series there are, and so how long a page may be.
FIRST_STEPS: Final = 100
PAGE_VALUES: Final = 500_000
ITEM, TIME = "item_id", "timestamp"

_MS_US: Final = 1_000
_QUOTED: Final = r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'"
_SELECTOR: Final = re.compile(
    rf"\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{{(?:[^\"'{{}}]|{_QUOTED})*\}})?\s*"
)
_TOO_MANY: Final = "too many samples"


def fetch(params: PrometheusParams, folder: Path) -> list[RawFile]:
    """Ask for every query of ``params`` and keep the answers as Parquet files.

    A point whose sample is older than a step is a gap, not a value: the server repeats the last
    sample for five minutes. This is known for queries that are a plain selector, for which the
    time stamps of the samples are asked for too; other expressions decide it themselves.

    Args:
        params: the section ``ingest.prometheus``.
        folder: an existing folder for the files.

    Returns:
        one file for each page that holds points, in the order of queries and of time.

    Raises:
        ConfigError: if a step, a query or the authorization is refused.
        DataError: if the server does not answer, or answers with a part of the data.
    """
    step_s = _step_s(params.step)
    files = []
    for variate, query in params.queries.items():
        asked = _Query(params, variate, query, step_s)
        found = [
            _write(page, folder / f"{len(files):05d}-{number:05d}.parquet", variate)
            for number, page in enumerate(asked.pages())
        ]
        if not found:
            raise DataError(
                f"{asked.where} = {query!r}, 0 points from {params.start.isoformat()} to "
                f"{params.end.isoformat()}, at least one is needed; mend the query or the times"
            )
        files += found
    return files


def _step_s(step: str) -> int:
    try:
        freq = parse_freq(step)
    except ValueError as error:
        raise ConfigError(f"params.yaml: ingest.prometheus.step: {error}") from None
    if freq.is_calendar or freq.interval_us % 1_000_000:
        raise ConfigError(
            f"params.yaml: ingest.prometheus.step = {step!r}, whole seconds are needed; "
            "write for example 1min"
        )
    return freq.interval_us // 1_000_000


def _write(page: pl.DataFrame, path: Path, variate: str) -> RawFile:
    page = page.rename({"value": variate})
    page.write_parquet(path)
    return RawFile(str(path), f"prometheus/{variate}", "", "parquet", "", page.schema, page.height)


@dataclass
class _Query:
    """One query, asked page by page."""

    params: PrometheusParams
    variate: str
    query: str
    step_s: int
    labels_of: dict[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def where(self) -> str:
        return f"prometheus {urlsplit(self.params.url).netloc}: queries.{self.variate}"

    def pages(self) -> Iterator[pl.DataFrame]:
        """Points with the columns item_id, timestamp and value; pages without one are left out."""
        start = int(self.params.start.timestamp())
        num_steps = (int(self.params.end.timestamp()) - start) // self.step_s + 1
        done, size = 0, FIRST_STEPS
        while done < num_steps:
            count = min(size, num_steps - done)
            first = start + done * self.step_s
            series = self._ask(self.query, first, count)
            if series is None:
                if count == 1:
                    raise DataError(
                        f"{self.where} = {self.query!r}, too many series for the server's "
                        "--query.max-samples; select fewer"
                    )
                size = max(1, count // 2)
                continue
            page = self._points(series)
            if not page.is_empty() and _SELECTOR.fullmatch(self.query):
                page = self._without_stale(page, first, count)
            if not page.is_empty():
                yield page
            done += count
            size = min(MAX_STEPS, max(1, PAGE_VALUES // max(1, len(series))))

    def _ask(self, query: str, first: int, count: int) -> list[Any] | None:
        """The series of one page, or None if the page is too long for the server."""
        fields = {
            "query": query,
            "start": str(first),
            "end": str(first + (count - 1) * self.step_s),
            "step": str(self.step_s),
        }
        url = self.params.url.rstrip("/") + "/api/v1/query_range"
        try:
            answer = post_form(
                url, fields, timeout_s=self.params.timeout_s, authorization_env=AUTHORIZATION_ENV
            )
        except WebError as error:
            raise DataError(
                f"{self.where} = {error}, a whole answer is needed; see whether the server is up, "
                "or raise ingest.prometheus.timeout_s"
            ) from None
        return self._series(answer)

    def _series(self, answer: Answer) -> list[Any] | None:
        body = answer.body if isinstance(answer.body, dict) else {}
        if answer.status in (401, 403):
            raise ConfigError(
                f"{self.where} = status {answer.status}, the server must let you in; set "
                f"{AUTHORIZATION_ENV}, for example to 'Bearer <token>'"
            )
        if body.get("status") == "error" and _TOO_MANY in str(body.get("error")):
            return None
        if body.get("status") == "error":
            raise ConfigError(
                f"{self.where} = {self.query!r}, {body.get('errorType')}: {body.get('error')}; "
                "mend it in params.yaml"
            )
        data = body.get("data")
        if answer.status != 200 or body.get("status") != "success" or not isinstance(data, dict):
            raise DataError(
                f"{self.where} = status {answer.status} without Prometheus data, its query API is "
                f"needed; mend ingest.prometheus.url = {self.params.url}"
            )
        if body.get("warnings"):
            raise DataError(
                f"{self.where} = partial data ({'; '.join(map(str, body['warnings']))}), all of it "
                "is needed; run again when the server has it"
            )
        if data.get("resultType") != "matrix":
            raise DataError(
                f"{self.where} = a {data.get('resultType')}, a matrix is needed; mend the query"
            )
        return list(data["result"])

    def _points(self, series: list[Any]) -> pl.DataFrame:
        parts = []
        for one in series:
            if one.get("histograms"):
                raise DataError(
                    f"{self.where} = a native histogram, numbers are needed; ask for "
                    "histogram_quantile or histogram_avg of it"
                )
            times, values = zip(*one["values"], strict=True)
            parts.append(
                pl.DataFrame(
                    {
                        ITEM: pl.repeat(self._item(one["metric"]), len(times), eager=True),
                        # The server counts milliseconds; a float of seconds holds them.
                        TIME: pl.Series([round(time * 1000) * _MS_US for time in times]),
                        "value": pl.Series(values, dtype=pl.String).cast(pl.Float64),
                    }
                )
            )
        if not parts:
            return pl.DataFrame(
                schema={ITEM: pl.String(), TIME: pl.Datetime("us", "UTC"), "value": pl.Float64()}
            )
        return pl.concat(parts).with_columns(pl.col(TIME).cast(pl.Datetime("us", "UTC")))

    def _without_stale(self, page: pl.DataFrame, first: int, count: int) -> pl.DataFrame:
        series = self._ask(f"timestamp({self.query})", first, count)
        sampled = self._points(series or []).rename({"value": "sampled_s"})
        age_s = pl.col(TIME).dt.timestamp("ms") / 1000 - pl.col("sampled_s")
        joined = page.join(sampled, on=[ITEM, TIME], how="left", maintain_order="left")
        return joined.filter(age_s.is_null() | (age_s < self.step_s)).drop("sampled_s")

    def _item(self, metric: Mapping[str, str]) -> str:
        labels = {name: value for name, value in metric.items() if name != "__name__"}
        if self.params.item_labels:
            item = "/".join(labels.get(name, "") for name in self.params.item_labels)
        else:
            item = ",".join(f"{name}={labels[name]}" for name in sorted(labels)) or self.variate
        known = self.labels_of.setdefault(item, labels)
        if known != labels:
            raise DataError(
                f"{self.where}: item {item!r} = both {dict(known)} and {labels}, one series an "
                "item is needed; name more in ingest.prometheus.item_labels or aggregate in the "
                "query"
            )
        return item
