"""What a file, a folder or a test period is known by: SHA-256 of its content."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl

SKETCH_SIZE = 16  # series of a sketch; two periods that share half of theirs share some of these
SIGNIFICANT_DIGITS = 6  # of the targets; a rounding difference is not a new test period


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def folder_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below ``folder`` by its relative path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def model_sha256(folder: Path) -> str:
    """Return what a model directory is known by: its configuration and weights, nothing beside."""
    files = {path.name for path in folder.glob("*.safetensors")} | {"config.json"}
    return combined({name: file_sha256(folder / name) for name in files})


def combined(parts: Mapping[str, str]) -> str:
    """Return one SHA-256 for several named ones, whatever their order."""
    text = "".join(f"{parts[name]}  {name}\n" for name in sorted(parts))
    return hashlib.sha256(text.encode()).hexdigest()


def series_sketch(losses: pl.DataFrame) -> tuple[str, ...]:
    """Return the hashes of a few of the judged series, so that periods that share series show it.

    They are the lowest of all hashes of item and variate (a bottom-k sketch), so that most of them
    stay when series are added or taken away.
    """
    rows = losses.select("item_id", "variate").unique().rows()
    hashes = (hashlib.sha256(json.dumps(row).encode()).hexdigest()[:16] for row in rows)
    return tuple(sorted(hashes)[:SKETCH_SIZE])


def evaluation_snapshot(losses: pl.DataFrame, splits: Mapping[str, object]) -> str:
    """Return the identity of a test period: origins, series and size of targets.

    It depends on neither the model nor the split into seen and held-out series, so that all
    candidates judged on the same truth share it.
    """
    rows = (
        losses.filter((pl.col("forecaster") == "naive") & (pl.col("source") == "candidate"))
        .sort("item_id", "variate", "origin")
        .select(
            "item_id",
            "variate",
            pl.col("origin").dt.epoch("us"),
            "num_steps",
            pl.col("abs_target").cast(pl.Float64).round_sig_figs(SIGNIFICANT_DIGITS),
        )
    )
    frame = {
        "prediction_length": splits.get("prediction_length"),
        "test_origins": splits.get("test_origins"),
    }
    digest = hashlib.sha256(json.dumps(frame, sort_keys=True).encode())
    digest.update(rows.write_csv(include_header=False).encode())
    return digest.hexdigest()
