"""DVC stage ``ingest``: your files or the demo fleet -> ``data/series``.

python -m flows.ingest
"""

from pathlib import Path

from flows import paths
from flows.stage import Summary, run_stage
from toto_core.config import IngestParams, Params
from toto_core.data.demo import simulate_fleet
from toto_core.data.frequency import Frequency, parse_freq
from toto_core.data.shards import IngestReport, iso, write_series
from toto_core.data.sources import ingest_source
from toto_core.errors import ConfigError
from toto_core.files import write_json, writing

# The metrics are committed to git, so they list no more than these many files.
MAX_SOURCES = 100
# What the next run need not read again; outside of the outs, which DVC removes before each run.
STATE = paths.RUNS / "ingest"


def run(params: Params, root: Path) -> Summary:
    """Write the series of ``params.ingest`` to ``root``/data/series and say what they are."""
    with writing(root / paths.SERIES) as directory:
        directory.mkdir()
        if params.ingest.source == "demo":
            report = _demo(params.ingest, params.seed, directory)
        else:
            report = ingest_source(params.ingest, root, directory, state=root / STATE)
    sources = _sources(report)
    write_json(root / paths.METRICS / "ingest.json", _metrics(report, sources))
    return _summary(report, sources)


def _demo(params: IngestParams, seed: int, directory: Path) -> IngestReport:
    fleet = simulate_fleet(
        num_services=params.demo.num_services,
        num_days=params.demo.num_days,
        freq=_freq("ingest.demo", params.demo.freq),
        seed=seed,
    )
    return write_series(directory, fleet.rows, fleet.items)


def _freq(section: str, text: str) -> Frequency:
    try:
        return parse_freq(text)
    except ValueError as error:
        raise ConfigError(f"params.yaml: {section}.{error}") from None


def _metrics(report: IngestReport, sources: list[dict[str, object]]) -> dict[str, object]:
    return {
        "items": report.num_items,
        "series": report.num_series,
        "rows": report.num_rows,
        "rejected_rows": report.num_rejected,
        "empty_cells": report.num_empty,
        "first_timestamp": iso(report.first_us),
        "last_timestamp": iso(report.last_us),
        "freqs": dict(report.freqs),
        "sources": sources,
    }


def _sources(report: IngestReport) -> list[dict[str, object]]:
    """The files with their rows; of very many files, their folders."""
    rows_of = dict(report.sources)
    if len(rows_of) > MAX_SOURCES:
        rows_of = {}
        for name, rows in report.sources:
            folder = f"{name.rpartition('/')[0] or '.'}/"
            rows_of[folder] = rows_of.get(folder, 0) + rows
    return [{"source": name, "rows": rows} for name, rows in sorted(rows_of.items())]


def _summary(report: IngestReport, sources: list[dict[str, object]]) -> Summary:
    freqs = ", ".join(f"{count} at {freq}" for freq, count in report.freqs.items())
    return Summary(
        text=(
            f"{report.num_rows:,} rows of {report.num_series:,} series in "
            f"{report.num_items:,} items ({freqs}), {report.num_rejected:,} rows rejected"
        ),
        metrics={
            "items": report.num_items,
            "series": report.num_series,
            "rows": report.num_rows,
            "rejected_rows": report.num_rejected,
        },
        tables={"sources": sources},
    )


if __name__ == "__main__":
    run_stage("ingest", run)
