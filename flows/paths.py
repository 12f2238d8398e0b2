"""Where each stage's files lie, relative to the project's root. Mirrors ``dvc.yaml``."""

from pathlib import Path

PARAMS = Path("params.yaml")

SERIES = Path("data/series")
VALID = Path("data/valid")
QUARANTINE = Path("data/quarantine")
SPLITS = Path("data/splits.json")
TARGETS = Path("data/targets.parquet")  # hashes of what will be judged by
CORPUS = Path("data/corpus")
FINGERPRINTS = Path("data/fingerprints.npz")
FORECASTS = Path("data/forecasts")
LOSSES = Path("data/losses.parquet")

CANDIDATE = Path("models/candidate")
SEEN = CANDIDATE / FINGERPRINTS.name  # of all that the candidate and its bases were trained on
FROZEN_PROTOCOL = CANDIDATE / "protocol.json"  # as it was when training began
FROZEN_TARGETS = CANDIDATE / TARGETS.name
CALIBRATION = Path("models/calibration.json")
CHECKPOINTS = Path("models/checkpoints")
REGISTRY = Path("models/registry")
LEDGER = Path("registry")
ATTEMPTS = LEDGER / "attempts.jsonl"

METRICS = Path("reports/metrics")
PLOTS = Path("reports/plots")
PROTOCOL = Path("reports/protocol.json")
JUDGED = Path("reports/judged")
REPORT = Path("reports/index.html")
VALIDATION_REPORT = Path("reports/validation.html")

RUNS = Path("runs")
