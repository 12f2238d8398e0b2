"""A small model card, every part of it short."""

from typing import Any

SKILL = {"skill": 0.2, "lower": 0.1, "upper": 0.3, "p_value": 0.00001, "n": 60, "h_eff": 2, "df": 7}
CHECK = {"name": "origins", "outcome": "PASS", "found": "60", "allowed": "40", "reason": "Enough."}


def small_card(**changes: object) -> dict[str, Any]:
    """Return the card of a PASS; ``changes`` replace its parts."""
    return {
        "name": "toto",
        "outcome": "PASS",
        "headline": "Better than no change.",
        "attempt": 3,
        "checks": [CHECK],
        "claims": [{**CHECK, "name": "new series", "outcome": "INCONCLUSIVE"}],
        "tests": {},
        "candidate_hash": "c" * 64,
        "candidate_files": {"config.json": "1" * 64},
        "verdict_hash": "v" * 64,
        "snapshot": "s" * 64,
        "hashes": {"splits": "2" * 64},
        "model": {"d_model": 64, "num_layers": 3},
        "run": {
            "context_length": 512,
            "points_seen": 46698543,
            "train_loss": 0.25,
            "last_training_time": "2025-07-26T23:00:00+00:00",
            "corpus_sha256": {"values.f32": "3" * 64},
            "train": {"lr": 0.15, "batch_size": 16},
            "versions": {"torch": "2.13.0"},
            "base": None,
        },
        "data": {
            "items": 28,
            "series": 112,
            "rows": 1000,
            "first_timestamp": "2025-01-06",
            "last_timestamp": "2025-10-12",
            "sources": [{"source": "a|b <i>", "rows": 1000, "licence": "MIT"}],
        },
        "splits": {
            "freq": "1h",
            "prediction_length": 24,
            "validation_start": "2025-07-27",
            "test_start": "2025-08-10T00:00:00+00:00",
            "test_end": "2025-10-12T00:00:00+00:00",
            "num_test_origins": 60,
        },
        "scores": {
            "pooled": {
                "model": {"sql": 0.5, "mase": 0.6, "wql": 0.1, "coverage80": 0.79},
                "naive": {"sql": 1.0, "mase": 1.2, "wql": 0.2, "coverage80": None},
            },
            "skill": {"candidate": {"naive": SKILL}, "crossval": {"naive": SKILL}},
            "coverage": {"0.9": 0.91, "0.1": 0.1},
        },
        "contamination": {"overlap": "none", "num_distinct": 3, "num_items": 3},
        "worst_series": [{"item_id": "x", "variate": "cpu", "skill": -0.5, "held_out": True}],
        "limits": ["Not for extremes."],
        "affiliation": "Independent.",
        **changes,
    }
