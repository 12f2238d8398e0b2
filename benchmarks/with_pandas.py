"""What ingest and validation do to long tables, written with pandas as a careful user would.

Left out, in favour of pandas: other layouts and spellings, daylight saving, calendars, rules that
are off by default, near duplicates, checksums, the page of validation, and memory that does not
grow with the rows.
"""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from toto_core.config import ValidateParams
from toto_core.data.grid import SNAP_SHARE

_SERIES, _ITEMS = "series.parquet", "items.parquet"
_COLUMNS = ("item_id", "variate", "timestamp", "value")


def _pandas() -> Any:  # noqa: ANN401
    return import_module("pandas")


def ingest(root: Path) -> None:
    """Read, judge each value and time stamp, sort, find the steps, write series and items."""
    frame, rejected = _read(root)
    frame = frame.sort_values(["item_id", "timestamp"], kind="stable")
    items = frame.groupby("item_id", sort=False).agg(
        step=("timestamp", _common_step), source=("source", "first")
    )
    _write(root, _SERIES, frame[list(_COLUMNS)])
    _write(root, _ITEMS, items.reset_index())
    _write(root, "rejected.parquet", rejected)


def validate(root: Path, rules: ValidateParams) -> None:
    """Take out what breaks a rule, lay each series on its regular grid and write both."""
    pd = _pandas()

    frame = pd.read_parquet(root / "pandas" / _SERIES)
    items = pd.read_parquet(root / "pandas" / _ITEMS).set_index("item_id")
    _judge(root, frame, items["step"], rules)


def in_one_pass(root: Path, rules: ValidateParams) -> None:
    """Do both without writing the series in between."""
    frame, rejected = _read(root)
    frame = frame.sort_values(["item_id", "timestamp"], kind="stable")
    steps = frame.groupby("item_id", sort=False)["timestamp"].agg(_common_step)
    _write(root, "rejected.parquet", rejected)
    _judge(root, frame[list(_COLUMNS)], steps, rules)


def _read(root: Path) -> tuple[Any, Any]:
    """All rows with a value and a time stamp, and those in which one could not be read."""
    pd = _pandas()

    read = {".parquet": pd.read_parquet, ".csv": pd.read_csv}
    files = sorted((root / "raw").iterdir())
    frame = pd.concat(
        [read[file.suffix](file).assign(source=file.name) for file in files], ignore_index=True
    )
    value = pd.to_numeric(frame["target"], errors="coerce").astype(np.float32)
    timestamp = pd.to_datetime(frame["timestamp"], errors="coerce", utc=True)
    wrong = (value.isna() & frame["target"].notna()) | timestamp.isna()
    rejected = frame[wrong].astype(str)
    frame = frame.assign(value=value, timestamp=timestamp, variate="target")
    return frame[~wrong & value.notna()], rejected


def _common_step(times: Any) -> Any:  # noqa: ANN401
    return times.diff().mode().iloc[0]


def _judge(root: Path, frame: Any, steps: Any, rules: ValidateParams) -> None:  # noqa: ANN401
    pd = _pandas()

    infinite = np.isinf(frame["value"])
    valid, taken_out, series_out = [], [_taken(frame[infinite], "infinite_value")], []
    for item_id, part in frame[~infinite].groupby("item_id", sort=False):
        whole, bad = _on_grid(part, steps[item_id])
        taken_out.append(bad)
        reason = _fault(whole["value"], rules)
        if reason:
            series_out.append({"item_id": item_id, "reason": reason})
            taken_out.append(_taken(part.drop(bad.index), reason))
        else:
            valid.append(whole)
    valid, taken_out = pd.concat(valid, ignore_index=True), pd.concat(taken_out)
    _write(root, "valid.parquet", valid[list(_COLUMNS)])
    _write(root, "quarantine.parquet", taken_out)
    _write(
        root, "quarantined-series.parquet", pd.DataFrame(series_out, columns=["item_id", "reason"])
    )
    if valid["value"].notna().sum() + len(taken_out) != len(frame):
        raise RuntimeError("rows were lost")


def _on_grid(part: Any, step: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """The series on its grid, and its rows that are off it or there twice."""
    pd, times = _pandas(), part["timestamp"]
    phase = (times - times.dt.floor(step)).mode().iloc[0]
    rounded = (times - phase).dt.round(step) + phase
    off = (times - rounded).abs() > SNAP_SHARE * step
    again = rounded.duplicated() & ~off
    bad = pd.concat([_taken(part[off], "off_grid"), _taken(part[again], "duplicate_timestamp")])
    good = part.assign(timestamp=rounded)[~off & ~again].set_index("timestamp")
    whole = pd.date_range(good.index[0], good.index[-1], freq=step, name="timestamp")
    values = good["value"].reindex(whole).reset_index()
    return values.assign(item_id=part["item_id"].iloc[0], variate=part["variate"].iloc[0]), bad


def _taken(rows: Any, rule: str) -> Any:  # noqa: ANN401
    reason = (
        rule + ": value = " + rows["value"].astype(str) + " at " + rows["timestamp"].astype(str)
    )
    return rows.assign(rule=rule, reason=reason)


def _fault(values: Any, rules: ValidateParams) -> str:  # noqa: ANN401
    if len(values) < rules.min_length:
        return f"too_short: {len(values)} points"
    if values.isna().mean() > rules.max_missing_share:
        return f"too_many_gaps: {values.isna().mean()} are missing"
    return f"constant: {values.iloc[0]}" if values.nunique() < 2 else ""


def _write(root: Path, name: str, frame: Any) -> None:  # noqa: ANN401
    (root / "pandas").mkdir(exist_ok=True)
    frame.to_parquet(root / "pandas" / name, compression="zstd", compression_level=1)
