"""The commands ``toto data show`` and ``toto data quarantine``: what validation kept and rejected.

Both read ``data/`` as the stage ``validate`` left it and return text.
"""

import difflib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from jaxtyping import Float32

from flows import paths
from toto_core.data import rules
from toto_core.data.tables import read_items_table, shard_paths
from toto_core.errors import ConfigError, DataError
from toto_core.files import whole_parquet

BARS: Final = "".join(chr(code) for code in range(0x2581, 0x2589))  # an eighth to a full block
PLAIN_BARS: Final = "_.-:=+*#"  # for a terminal that has no blocks
WIDTH: Final = 60  # characters of a sparkline
NUM_NAMES: Final = 5  # suggested for a name that does not exist
MAX_COMPARED: Final = 20_000  # names that are compared letter by letter
TIME: Final = "%Y-%m-%d %H:%M:%S"


def show(root: Path, item: str, *, variate: str | None, last: int | None) -> str:
    """Return what is known of an item: its variates, times, values, gaps and rejected rows.

    Args:
        variate: only this one; None: all.
        last: how many of the newest points are listed; None: none.

    Raises:
        DataError: if validation has not run.
        ConfigError: if the item or the variate does not exist.
    """
    _need(root, paths.SERIES, "ingest")
    _need(root, paths.VALID, "validate")
    _need(root, paths.QUARANTINE, "validate")
    known = read_items_table(root / paths.SERIES)
    mine = known.filter(pl.col("item_id") == item)
    if mine.is_empty():
        raise ConfigError(_unknown("item", item, known["item_id"].unique()))
    if variate is not None:
        if variate not in mine["variate"]:
            raise ConfigError(_unknown("variate", variate, mine["variate"]))
        mine = mine.filter(pl.col("variate") == variate)
    rows = pl.scan_parquet(shard_paths(root / paths.VALID)).filter(pl.col("item_id") == item)
    valid = rows.select("variate", "timestamp", "value").collect()
    bad_rows, bad_series = (
        pl.scan_parquet(whole_parquet(root / paths.QUARANTINE / f"{name}.parquet"))
        .filter(pl.col("item_id") == item)
        .collect()
        for name in ("rows", "series")
    )
    first = mine.row(0, named=True)
    lines = [f"{item}: group {first['group']}, from {first['source']}", _span(valid, first["freq"])]
    for row in mine.sort("variate").iter_rows(named=True):
        lines += ["", *_variate(row["variate"], row["role"], valid, bad_rows, bad_series)]
    if last is not None:
        lines += ["", *_newest(valid, mine["variate"].sort().to_list(), last)]
    return "\n".join(lines)


def quarantine(root: Path, *, rule: str | None, item: str | None, limit: int) -> str:
    """Return the totals by rule, and the rejected series and rows with their reasons.

    Args:
        rule: only what broke this rule; None: any.
        item: only what belongs to this item; None: any.
        limit: most series, and most rows, that are listed.

    Raises:
        DataError: if validation has not run.
        ConfigError: if the rule or the item does not exist.
    """
    _need(root, paths.QUARANTINE, "validate")
    names = (*rules.ROW_RULES, *rules.SERIES_RULES)
    if rule is not None and rule not in names:
        raise ConfigError(
            f"toto data quarantine: rule = {rule!r}, one of {', '.join(names)} is allowed; "
            "mend the name"
        )
    rows, series = (
        pl.scan_parquet(whole_parquet(root / paths.QUARANTINE / f"{name}.parquet"))
        for name in ("rows", "series")
    )
    if item is not None:
        rows, series = (table.filter(pl.col("item_id") == item) for table in (rows, series))
        _refuse_unknown_item(root, item, rows)
    if rule is not None:
        rows, series = (table.filter(pl.col("rule") == rule) for table in (rows, series))
    totals = _totals(rows, series)
    if totals.is_empty():
        return f"nothing in quarantine{_of(rule, item)}"
    lines = [
        f"{_rows(int(totals['rows'].sum()))} in quarantine{_of(rule, item)}",
        "",
        *_table(("rule", "rows", "series"), [(r, f"{n:,}", f"{s:,}") for r, n, s in totals.rows()]),
    ]
    whole = series.select("item_id", "variate", "rows", "rule", "reason")
    single = rows.filter(pl.col("rule").is_in(list(rules.ROW_RULES))).select(
        "item_id", "variate", "timestamp", "value", "rule", "reason"
    )
    for title, table, file in (("series", whole, "series"), ("rows", single, "rows")):
        found = table.head(limit).collect()
        total = table.select(pl.len()).collect().item()
        if not total:
            continue
        head = [name.replace("item_id", "item") for name in found.columns]
        lines += ["", f"{title}:", *_table(head, found.rows())]
        if total > found.height:
            where = f"{paths.QUARANTINE}/{file}.parquet"
            lines.append(f"{total - found.height:,} more: raise --limit, or read {where}")
    return "\n".join(lines)


def sparkline(values: Float32[np.ndarray, " T"], *, bars: str = BARS) -> str:
    """Return a line of at most ``WIDTH`` characters, the mean of each stretch as the height.

    A stretch without a value is a blank. Equal values are drawn at the lowest height.
    """
    parts = np.array_split(values.astype(np.float64), min(WIDTH, len(values)) or 1)
    means = np.array(
        [part[np.isfinite(part)].mean() if np.isfinite(part).any() else np.nan for part in parts]
    )
    seen = means[np.isfinite(means)]
    if not len(seen):
        return ""
    low, span = seen.min(), float(np.ptp(seen)) or 1.0
    heights = np.where(np.isfinite(means), (means - low) / span * (len(bars) - 1), -1)
    return "".join(bars[round(height)] if height >= 0 else " " for height in heights).rstrip()


def _variate(
    name: str, role: str, valid: pl.DataFrame, bad_rows: pl.DataFrame, bad_series: pl.DataFrame
) -> list[str]:
    """The lines of one variate."""
    mine = pl.col("variate") == name
    rejected = bad_rows.filter(mine)
    by_rule = rejected.group_by("rule").len().sort("len", "rule", descending=[True, False])
    told = ", ".join(f"{rule} {count:,}" for rule, count in by_rule.iter_rows())
    lost = f"{_rows(rejected.height)} in quarantine{f' ({told})' if told else ''}"
    whole = bad_series.filter(mine)
    if not whole.is_empty():
        found = whole.row(0, named=True)
        return [
            f"{name} ({role}): quarantined whole by {found['rule']}: {found['reason']}",
            f"  {lost}",
        ]
    points = valid.filter(mine)
    observed = points.filter(pl.col("value").is_not_nan())
    values = observed["value"]
    missing = 1 - observed.height / points.height
    ends = [f"{observed['timestamp'][n].strftime(TIME)} = {values[n]:.6g}" for n in (0, -1)]
    return [
        f"{name} ({role}): {observed.height:,} of {points.height:,} points, "
        f"{missing:.1%} missing, {lost}",
        f"  first {ends[0]}, last {ends[1]}",
        f"  lowest {_number(values.min())}, median {_number(values.median())}, "
        f"highest {_number(values.max())}",
        f"  {sparkline(points['value'].to_numpy(), bars=_bars())}",
    ]


def _span(valid: pl.DataFrame, freq: str | None) -> str:
    if valid.is_empty():
        return "no valid series"
    times = valid["timestamp"]
    first, last = times.min(), times.max()
    steps = times.n_unique()
    return f"{first:{TIME}} to {last:{TIME}} UTC, {steps:,} steps of {freq}"


def _newest(valid: pl.DataFrame, variates: Sequence[str], last: int) -> list[str]:
    """The newest points of the valid variates, a line for each time."""
    kept = [name for name in variates if name in valid["variate"]]
    if not kept:
        return []
    columns = {
        name: valid.filter(pl.col("variate") == name)["value"].tail(last).to_list() for name in kept
    }
    times = valid.filter(pl.col("variate") == kept[0])["timestamp"].tail(last)
    rows = [
        (time.strftime(TIME), *(_number(columns[name][n]) for name in kept))
        for n, time in enumerate(times)
    ]
    return _table(("time", *kept), rows)


def _totals(rows: pl.LazyFrame, series: pl.LazyFrame) -> pl.DataFrame:
    """Rows and series by rule, most rows first; a series that lost all its rows counts too."""
    hit = pl.concat(
        [
            rows.select("rule", "item_id", "variate", count=pl.lit(1)),
            series.select("rule", "item_id", "variate", count=pl.lit(0)),
        ]
    )
    return (
        hit.group_by("rule")
        .agg(rows=pl.col("count").sum(), series=pl.struct("item_id", "variate").n_unique())
        .sort("rows", "rule", descending=[True, False])
        .collect()
    )


def _refuse_unknown_item(root: Path, item: str, rows: pl.LazyFrame) -> None:
    """An item that ingest has seen, or whose rows could not even be parsed, is known."""
    if not rows.head(1).collect().is_empty():
        return
    known = read_items_table(root / paths.SERIES)["item_id"].unique()
    if item not in known:
        raise ConfigError(_unknown("item", item, known))


def _unknown(kind: str, name: str, known: pl.Series) -> str:
    """One line that suggests the nearest names: those that hold it, then those spelt alike."""
    names = known.sort()
    inside = names.filter(names.str.to_lowercase().str.contains(name.lower(), literal=True)).head(
        NUM_NAMES
    )
    alike = difflib.get_close_matches(name, names.head(MAX_COMPARED).to_list(), NUM_NAMES, 0.4)
    nearest = list(dict.fromkeys([*inside, *alike]))[:NUM_NAMES] or names.head(NUM_NAMES).to_list()
    return (
        f"toto data: {kind} = {name!r}, none of the {len(names):,} has this name; "
        f"the nearest: {', '.join(nearest)}"
    )


def _need(root: Path, part: Path, stage: str) -> None:
    if not (root / part).is_dir():
        raise DataError(
            f"toto data: {part} = missing, the stage {stage} must have run; run dvc repro {stage}"
        )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _of(rule: str | None, item: str | None) -> str:
    return f"{f' by {rule}' if rule else ''}{f' of {item}' if item else ''}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Columns in line; the last one may be as long as it likes."""
    texts = [tuple(map(_text, row)) for row in [head, *rows]]
    widths = [max(len(row[n]) for row in texts) for n in range(len(head))]
    numeric = [all(_is_number(row[n]) for row in texts[1:]) for n in range(len(head))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in texts
    ]


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _is_number(text: str) -> bool:
    return text.replace(",", "").replace(".", "").replace("-", "").isdigit() or text == "missing"


def _number(value: object) -> str:
    number = float(str(value))
    return "missing" if math.isnan(number) else f"{number:.6g}"


def _bars() -> str:
    try:
        BARS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return PLAIN_BARS
    return BARS
