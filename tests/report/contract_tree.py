"""A small project with every file that the register and report stages read, made without torch."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

LEVELS = np.arange(1, 10) / 10
BASELINES = ("naive", "drift", "seasonal_naive")
H, SEASON = 24, 24
START = datetime(2026, 1, 5, tzinfo=UTC)
NUM_STEPS, NUM_ORIGINS = 24 * 110, 60
T1_STEP = NUM_STEPS - NUM_ORIGINS * H
T0_STEP = T1_STEP - 10 * H
# The normal quantiles of LEVELS.
Z = np.array([-1.2816, -0.8416, -0.5244, -0.2533, 0, 0.2533, 0.5244, 0.8416, 1.2816])
NASTY = "<script>alert('x')</script> & co"


def write_tree(root: Path, *, seed: int = 0, model_noise: float = 0.2, num_items: int = 6) -> Path:
    """Write data/, models/candidate and reports/ below ``root``; more noise, a worse model."""
    rng = np.random.default_rng([seed, 7])
    items = _items(rng, num_items)
    _write_valid(root, items)
    splits = _write_splits(root)
    forecasts = pl.concat(
        _forecast(rng, item, variate, series, model_noise)
        for item, variates in items.items()
        for variate, series in variates.items()
    )
    _parquet(root / "data/forecasts/candidate.parquet", forecasts)
    losses = _losses(forecasts, items)
    _parquet(
        root / "data/losses.parquet",
        pl.concat(
            [losses, losses.filter(~pl.col("held_out")).with_columns(source=pl.lit("crossval"))]
        ),
    )
    _write_quarantine(root)
    _write_metrics(root, forecasts, losses, splits)
    _write_protocol(root, splits)
    _write_candidate(root)
    return root


def held_out(item: str) -> bool:
    return item == "svc-05"


def _items(rng, num_items):
    names = [NASTY, *(f"svc-{n:02d}" for n in range(1, num_items))]
    hours = np.arange(NUM_STEPS)
    items = {}
    for n, name in enumerate(sorted(names)):
        items[name] = {}
        for variate, level, swing in (("cpu", 40, 12), ("requests", 900, 400)):
            season = np.sin(2 * np.pi * (hours - 3 * n) / 24) + 0.4 * np.sin(hours / 26.7)
            noise = np.zeros(NUM_STEPS)
            shocks = rng.normal(0, 0.25, NUM_STEPS)
            for step in range(1, NUM_STEPS):
                noise[step] = 0.8 * noise[step - 1] + shocks[step]
            signal = level + swing * season
            items[name][variate] = (signal, signal + swing * noise, swing)
    return items


def _write_valid(root, items):
    frames, facts = [], []
    for item, variates in items.items():
        for variate, (_, observed, _) in variates.items():
            values = observed.astype(np.float32).copy()
            values[200:230] = np.nan
            frames.append(
                pl.DataFrame(
                    {
                        "item_id": item,
                        "variate": variate,
                        "timestamp": _stamps(np.arange(NUM_STEPS)),
                        "value": values,
                    }
                )
            )
            facts.append(
                {
                    "item_id": item,
                    "variate": variate,
                    "role": "target",
                    "freq": "1h",
                    "group": item,
                    "source": "demo",
                }
            )
    _parquet(root / "data/valid/part-00000.parquet", pl.concat(frames))
    roles = pl.Enum(["target", "past_covariate", "known_covariate"])
    _parquet(
        root / "data/valid/items.parquet",
        pl.DataFrame(facts).with_columns(pl.col("role").cast(roles)),
    )


def _write_splits(root):
    stamp = [t.isoformat() for t in _stamps(np.arange(NUM_STEPS + 1))]
    origins = stamp[T1_STEP:NUM_STEPS:H]
    splits = {
        "prediction_length": H,
        "stride": H,
        "overlap": 1,
        "freq": "1h",
        "step_us": 3_600_000_000,
        "min_context": 64,
        "validation_start": stamp[T0_STEP],
        "test_start": stamp[T1_STEP],
        "test_end": stamp[NUM_STEPS],
        "test_origins": origins,
        "validation_origins": stamp[T0_STEP:T1_STEP:H],
        "held_out_groups": ["svc-05"],
        "held_out_items": ["svc-05"],
        "train_items": ["..."],
        "folds": [
            {"fold": k, "cutoff": part[0], "origins": part} for k, part in enumerate([origins])
        ],
        "purge": "a window is kept if its targets end before the cutoff",
        "rule": "rolling origin",
    }
    _json(root / "data/splits.json", splits)
    return splits


def _stamps(steps):
    return [START + timedelta(hours=int(step)) for step in steps]


def _forecast(rng, item, variate, series, model_noise):
    signal, observed, swing = series
    rows = []
    for origin in range(T1_STEP, NUM_STEPS, H):
        steps = np.arange(origin, origin + H)
        k = np.arange(1, H + 1)
        last = observed[origin - 1]
        fade = 0.8**k
        center = {
            "model": signal[steps]
            + (last - signal[origin - 1]) * fade
            + swing * model_noise * rng.normal(),
            "naive": np.full(H, last),
            "drift": last + k * (last - observed[origin - 97]) / 96,
            "seasonal_naive": observed[steps - SEASON],
        }
        spread = {
            "model": swing * np.sqrt(0.25**2 * (1 - 0.64**k) / 0.36 + model_noise**2),
            "naive": swing * 0.9 * np.minimum(np.sqrt(k / 6), 1.1),
            "drift": swing * 0.9 * np.sqrt(k / 5),
            "seasonal_naive": np.full(H, swing * 0.55),
        }
        rows.append(
            pl.DataFrame(
                {
                    "item_id": item,
                    "variate": variate,
                    "origin": [START + timedelta(hours=int(origin))] * H,
                    "step": k.astype(np.int32),
                    "timestamp": _stamps(steps),
                    "target": observed[steps].astype(np.float32),
                    **{
                        name: pl.Series(
                            (center[name][:, None] + spread[name][:, None] * Z).astype(np.float32),
                            dtype=pl.Array(pl.Float32, 9),
                        )
                        for name in ("model", *BASELINES)
                    },
                }
            )
        )
    return pl.concat(rows)


def _losses(forecasts, items):
    scales = {
        (item, variate): float(
            np.abs(observed[SEASON:T1_STEP] - observed[: T1_STEP - SEASON]).mean()
        )
        for item, variates in items.items()
        for variate, (_, observed, _) in variates.items()
    }
    rows = []
    keys = ["item_id", "variate", "origin"]
    for (item, variate, origin), part in forecasts.group_by(keys, maintain_order=True):
        target = part["target"].to_numpy()
        for name in ("model", *BASELINES):
            quantiles = part[name].to_numpy()
            error = target[:, None] - quantiles
            pinball = 2 * np.maximum(LEVELS * error, (LEVELS - 1) * error)
            scale = scales[item, variate]
            mae = float(np.abs(error[:, 4]).mean())
            inside = (target >= quantiles[:, 0]) & (target <= quantiles[:, 8])
            rows.append(
                {
                    "item_id": item,
                    "group": item,
                    "variate": variate,
                    "held_out": held_out(item),
                    "origin": origin,
                    "forecaster": name,
                    "source": "candidate",
                    "sql": float(pinball.mean()) / scale,
                    "mase": mae / scale,
                    "mae": mae,
                    "ql": float(pinball.mean()),
                    "abs_target": float(np.abs(target).mean()),
                    "num_steps": H,
                    "scale": scale,
                    "cov80": float(inside.mean()),
                }
            )
    return pl.DataFrame(rows)


def _write_quarantine(root):
    stamp = "2026-02-03T00:00:00"
    _parquet(
        root / "data/quarantine/rows.parquet",
        pl.DataFrame(
            {
                "item_id": ["svc-01", "svc-01", NASTY],
                "variate": ["cpu", "cpu", "requests"],
                "timestamp": [stamp, stamp, "not a date"],
                "value": ["41.2", "inf", "<b>12</b>"],
                "rule": ["duplicate_timestamp", "not_finite", "unparsable_timestamp"],
                "reason": [
                    "2 values at the same time",
                    "value = inf, a finite number is needed",
                    "timestamp = not a date",
                ],
            }
        ),
    )
    _parquet(
        root / "data/quarantine/series.parquet",
        pl.DataFrame(
            {
                "item_id": ["svc-99"],
                "variate": ["cpu"],
                "rows": [312],
                "rule": ["constant"],
                "reason": ["all 312 values are 0"],
                "value": [0.0],
            }
        ),
    )


def _write_metrics(root, forecasts, losses, splits):
    metrics = root / "reports/metrics"
    num_series = losses.select("item_id", "variate").n_unique()
    _json(
        metrics / "ingest.json",
        {
            "items": num_series // 2 + 1,
            "series": num_series + 1,
            "rows": num_series * NUM_STEPS + 315,
            "rejected_rows": 1,
            "first_timestamp": START.isoformat(),
            "last_timestamp": _stamps([NUM_STEPS - 1])[0].isoformat(),
            "freq": {"1h": num_series + 1},
            "sources": [{"source": "demo", "rows": num_series * NUM_STEPS + 315}],
        },
    )
    _json(
        metrics / "validate.json",
        {
            "rows_in": num_series * NUM_STEPS + 315,
            "rows_valid": num_series * NUM_STEPS,
            "rows_quarantined": 315,
            "rows_repaired": 12,
            "series_in": num_series + 1,
            "series_valid": num_series,
            "series_quarantined": 1,
            "rules": {
                "constant": {"rows": 312, "series": 1},
                "duplicate_timestamp": {"rows": 1, "series": 0},
                "not_finite": {"rows": 1, "series": 0},
                "too_short": {"rows": 0, "series": 0},
                "unparsable_timestamp": {"rows": 1, "series": 0},
            },
            "repairs": {"snapped_to_grid": 12},
            "missing": 30 * num_series,
        },
    )
    split = {"test_origins": NUM_ORIGINS, "folds": 1, "held_out_items": 1, "near_duplicates": 3}
    _json(metrics / "split.json", split)
    drawn = {NASTY: 0.75, "synthetic": 0.25}
    mixture = {
        name: {"items": 4, "points": 90_000, "share": share} for name, share in drawn.items()
    }
    _json(metrics / "augment.json", {"synthetic_share": 0.25, "mixture": {"sources": mixture}})
    _json(
        metrics / "train.json",
        {"best_step": 900, "steps": 1100, "validation_loss": 0.142, "points_seen": 21_000_000},
    )
    skills = {
        "candidate": _skills(losses.filter(~pl.col("held_out"))),
        "held_out": _skills(losses.filter(pl.col("held_out"))),
        "crossval": _skills(losses.filter(~pl.col("held_out")), shift=0.02),
    }
    naive = skills["candidate"]["naive"]["skill"]
    words = (
        f"{100 * naive:.1f} % better than no change"
        if naive > 0
        else f"WORSE than no change: its error is {1 - naive:.1f} times that of the last value"
    )
    quantiles = forecasts["model"].to_numpy()
    truth = forecasts["target"].to_numpy()[:, None]
    coverage = (truth <= quantiles).mean(axis=0)
    _json(
        metrics / "evaluate.json",
        {
            "headline": f"The model is {words}.",
            "seasonality": {"1h": SEASON},
            "baselines": list(BASELINES),
            "exclusions": [],
            "contamination": {"overlap": "none", "items": [], "asked": 6, "checkable": 6},
            "outside_test_period": [{"item_id": "old", "variate": "cpu", "held_out": False}],
            "coverage": {
                f"{level:.1f}": float(c) for level, c in zip(LEVELS, coverage, strict=True)
            },
            "pooled": {
                name: {
                    metric: float(part[metric].mean()) for metric in ("mase", "sql", "mae", "cov80")
                }
                for (name,), part in losses.group_by("forecaster")
            },
            "skill": skills,
            "skill_by_variate": {
                name: _skills(losses.filter(~pl.col("held_out") & (pl.col("variate") == name)))
                for name in ("cpu", "requests")
            },
            "by_variate": {
                name: {
                    forecaster: {
                        "mase": float(part["mase"].mean()),
                        "coverage80": float(part["cov80"].mean()),
                    }
                    for (forecaster,), part in losses.filter(pl.col("variate") == name).group_by(
                        "forecaster"
                    )
                }
                for name in ("cpu", "requests")
            },
        },
    )
    plots = root / "reports/plots"
    plots.mkdir(parents=True)
    steps = np.arange(0, 1101, 10)
    train = 0.12 + 0.5 * np.exp(-steps / 140) + 0.01 * np.sin(steps)
    lines = [f"{step},train,{loss:.5f}" for step, loss in zip(steps, train, strict=True)]
    lines += [f"{step},validation,{0.14 + 0.5 * np.exp(-step / 150):.5f}" for step in steps[10::10]]
    profile = _profile(forecasts, losses)
    for name, table in {
        "horizon": profile.by_step(),
        "hours": profile.by_hour(),
        "calibration": profile.coverage(),
        "coverage": _coverage(forecasts),
        "pit": profile.pit(),
    }.items():
        table.write_csv(plots / f"{name}.csv")
    (plots / "loss.csv").write_text("step,part,loss\n" + "\n".join(lines) + "\n")
    steps = np.arange(64)
    lines = [f"noise,{n},{np.sin(n / 5):.4f},{np.sin(n / 5.1):.4f}" for n in steps]
    lines += [f"gaps,{n},{np.sin(n / 5):.4f},{'' if n % 9 else 1.0}" for n in steps]
    text = "\n".join(["augmentation,step,before,after", *lines])
    (plots / "augmentation.csv").write_text(text + "\n")


def _profile(forecasts, losses):
    from toto_core.evaluation.metrics import Tally  # noqa: PLC0415

    facts = losses.select("item_id", "variate", "group", "held_out", "scale")
    tally = Tally(facts.unique(), forecasters=("model", *BASELINES), source="candidate")
    return tally.add_all([forecasts]).profile


def _coverage(forecasts):
    rows = []
    for (step,), part in forecasts.sort("step").group_by("step", maintain_order=True):
        below = (part["target"].to_numpy()[:, None] <= part["model"].to_numpy()).mean(axis=0)
        rows += [
            ("model", step, level, share, part.height)
            for level, share in zip(LEVELS, below, strict=True)
        ]
    names = ["forecaster", "step", "level", "coverage", "num_cells"]
    return pl.DataFrame(rows, schema=names, orient="row")


def _skills(losses, shift=0.0):
    from toto_core.evaluation.significance import dm_test, ewc_dm_test  # noqa: PLC0415

    if not losses.height:
        return {}
    means = losses.pivot(on="forecaster", index="origin", values="sql", aggregate_function="mean")
    means = means.sort("origin")
    table = {}
    for baseline in BASELINES:
        d = (means[baseline] - means["model"]).to_numpy() - shift
        base = float(means[baseline].mean())
        test = ewc_dm_test(d, h=1)
        low, high = test.interval()
        table[baseline] = {
            "skill": float(d.mean()) / base,
            "lower": low / base,
            "upper": high / base,
            "lower_bound": test.lower_bound() / base,
            "p_value": test.p_value,
            "statistic": test.statistic,
            "df": test.df,
            "h": test.h,
            "h_eff": test.h_eff,
            "loss_model": float(means["model"].mean()) + shift,
            "loss_baseline": base,
            "outcome": test.outcome,
            "p_hln": dm_test(d, h=1).p_value,
            "n": test.n,
        }
    return table


def _write_protocol(root, splits):
    from toto_core.config import load_params  # noqa: PLC0415
    from toto_core.evaluation.protocol import freeze  # noqa: PLC0415

    params = load_params(Path(__file__).parents[2] / "params.yaml")
    protocol = freeze(
        data={"valid_sha256": "a" * 64, "targets_sha256": "b" * 64},
        splits=splits,
        seasonality={"1h": SEASON},
        baselines=BASELINES,
        levels=[float(f"{level:.1f}") for level in LEVELS],
        calibrate=params.calibrate,
        evaluate=params.evaluate,
        register=params.register_,
    )
    targets = pl.DataFrame({"item_id": ["svc-01", "svc-02"], "sha256": ["1" * 16, "2" * 16]})
    for folder in (root / "reports", root / "models/candidate"):
        _json(folder / "protocol.json", protocol)
    for folder in (root / "data", root / "models/candidate"):
        _parquet(folder / "targets.parquet", targets)


def _write_candidate(root):
    import hashlib  # noqa: PLC0415

    from toto_core.evaluation.protocol import protocol_hash  # noqa: PLC0415

    protocol = json.loads((root / "reports/protocol.json").read_text())
    folder = root / "models/candidate"
    config = {
        "d_model": 64,
        "num_heads": 1,
        "num_layers": 3,
        "patch_size": 32,
        "context_length": 512,
    }
    _json(folder / "config.json", config)
    (folder / "model.safetensors").write_bytes(b"weights")
    _json(root / "models/calibration.json", {"method": "none"})
    splits = (root / "data/splits.json").read_bytes()
    _json(
        folder / "run.json",
        {
            "seed": 0,
            "last_training_time": _stamps([T0_STEP - 1])[0].isoformat(),
            "splits_sha256": hashlib.sha256(splits).hexdigest(),
            "training_ends": {"1h": _stamps([T0_STEP])[0].isoformat()},
            "protocol_sha256": protocol_hash(protocol),
            "points_seen": 21_000_000,
        },
    )


def _parquet(path, frame):
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def _json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, sort_keys=True, default=float) + "\n")
