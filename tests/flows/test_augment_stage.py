"""The corpus holds what may be trained on, the synthetic part, and nothing else."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import yaml
from small_corpus import small_params

from flows import augment, paths, split
from toto_core.config import Params
from toto_core.data.augmentation import AugmentSettings
from toto_core.data.corpus import Corpus, Part, fold_cutoff
from toto_core.data.fingerprints import Fingerprints, record
from toto_core.data.splits import Splits, to_us
from toto_core.data.synthetic import FAMILIES
from toto_core.data.tables import ITEMS_FILE, ITEMS_SCHEMA, SERIES_SCHEMA, read_items, shard_path
from toto_core.data.windows import TrainingWindows, validation_batches
from toto_core.errors import ConfigError

HOUR_US = 3_600_000_000
LENGTH = 160
ROLE_OF = {"cpu": "target", "load": "past_covariate", "plan": "known_covariate"}


def write_valid(root, values, num_items=8):
    """Hourly items of three variates with these ``values`` [T] in each."""
    directory = root / paths.VALID
    directory.mkdir(parents=True)
    names = [f"i{n}" for n in range(num_items)]
    frames = [
        pl.DataFrame(
            {
                "item_id": [name] * LENGTH,
                "variate": [variate] * LENGTH,
                "timestamp": np.arange(LENGTH) * HOUR_US,
                "value": values.astype(np.float32),
            }
        ).cast(dict(SERIES_SCHEMA))
        for name in names
        for variate in sorted(ROLE_OF)
    ]
    pl.concat(frames).write_parquet(shard_path(directory, 0))
    rows = [
        (name, variate, ROLE_OF[variate], "1h", name, "test")
        for name in names
        for variate in sorted(ROLE_OF)
    ]
    pl.DataFrame(rows, schema=ITEMS_SCHEMA, orient="row").write_parquet(directory / ITEMS_FILE)


def params_with(**changes):
    values = yaml.safe_load(paths.PARAMS.read_text())
    small = {"prediction_length": 4, "stride": 4, "num_test_origins": 6, "min_context": 8}
    values["split"] |= small | {"num_validation_origins": 3}
    values["augment"] |= {"num_synthetic": 12, "synthetic_length": 100} | changes
    return Params.model_validate(values)


def packed(root, values=None, **changes):
    write_valid(root, np.arange(LENGTH) if values is None else values)
    params = params_with(**changes)
    split.run(params, root)
    summary = augment.run(params, root)
    return Corpus.open(root / paths.CORPUS), Splits.load(root / paths.SPLITS), summary


def test_corpus_holds_the_seen_items_up_to_the_last_cutoff(tmp_path):
    corpus, splits, summary = packed(tmp_path)
    num_real = len(splits.train_items)
    assert corpus.item_ids[:num_real] == splits.train_items
    assert not set(splits.held_out_items) & set(corpus.item_ids)
    assert corpus.is_synthetic.tolist() == [False] * num_real + [True] * 12
    assert corpus.cutoffs == tuple(splits.cutoffs_us)
    seen = {item.item_id: item for item in read_items(tmp_path / paths.VALID)}
    for n in range(num_real):
        item = seen[corpus.item_id(n)]
        np.testing.assert_array_equal(corpus.block(n), item.values[:, : corpus.length[n]])
        for name, time_us in splits.cutoffs_us.items():
            assert corpus.limit(n, name) == (item.timestamps < time_us).sum()
        assert corpus.length[n] == corpus.limit(n, fold_cutoff(len(splits.folds) - 1))
        assert corpus.roles_of(n).tolist() == [0, 1, 2]  # cpu, load, plan
        origins = item.timestamps[corpus.validation_positions[n]]
        np.testing.assert_array_equal(origins, splits.validation_origins_us)
    metrics = json.loads((tmp_path / paths.METRICS / "augment.json").read_text())
    assert metrics["real_items"] == num_real
    assert metrics["synthetic_points"] == 100 * corpus.num_variates[num_real:].sum()
    assert sum(part["items"] for part in metrics["mixture"]["families"].values()) == 12
    assert f"{num_real} real items" in summary.text


def test_nothing_of_the_test_period_reaches_training_or_validation(tmp_path):
    """From raw values to batches: 1e9 stands behind the cut-off, and is never met."""
    write_valid(tmp_path / "plain", np.ones(LENGTH))
    split.run(params_with(), tmp_path / "plain")
    cutoffs = Splits.load(tmp_path / "plain" / paths.SPLITS).cutoffs_us
    for name, time_us in cutoffs.items():
        values = np.ones(LENGTH)
        values[np.arange(LENGTH) * HOUR_US >= time_us] = 1e9
        corpus, _, _ = packed(tmp_path / name, values, synthetic_share=0.0)
        windows = TrainingWindows(
            corpus,
            cutoff=name,
            context_length=64,
            batch_size=8,
            num_variates=4,
            seed=0,
            augment=AugmentSettings(noise=1.0, noise_std=0.0125, time_mask=0.5),
        )
        assert max(windows.batch(step).target.max() for step in range(30)) < 2
        if name == "validation":
            batches = validation_batches(
                corpus,
                prediction_length=4,
                context_length=64,
                batch_size=8,
                num_variates=4,
                max_windows=256,
            )
            assert max(batch.target.max() for batch in batches) < 2


def test_a_day_that_goes_on_behind_a_cutoff_is_not_trained_on(tmp_path):
    root = tmp_path
    write_valid(root, np.ones(LENGTH))
    days = pl.DataFrame(
        {
            "item_id": "daily",
            "variate": "cpu",
            "timestamp": np.arange(7) * 24 * HOUR_US,
            "value": np.ones(7, np.float32),
        }
    )
    days.cast(dict(SERIES_SCHEMA)).write_parquet(shard_path(root / paths.VALID, 1))
    table = root / paths.VALID / ITEMS_FILE
    row = pl.DataFrame(
        [("daily", "cpu", "target", "1D", "daily", "test")], schema=ITEMS_SCHEMA, orient="row"
    )
    pl.concat([pl.read_parquet(table), row]).write_parquet(table)
    params = params_with()
    split.run(params, root)
    augment.run(params, root)
    corpus, splits = Corpus.open(root / paths.CORPUS), Splits.load(root / paths.SPLITS)
    n = corpus.item_ids.index("daily")
    for name, time_us in splits.cutoffs_us.items():
        assert corpus.limit(n, name) == time_us // (24 * HOUR_US)


def test_validation_targets_are_those_of_the_validation_origins(tmp_path):
    corpus, splits, _ = packed(tmp_path)
    batches = validation_batches(
        corpus,
        prediction_length=4,
        context_length=64,
        batch_size=8,
        num_variates=3,
        max_windows=256,
    )
    firsts = {float(row[0, 64]) for batch in batches for row in batch.target}
    hours = {(us // HOUR_US) for us in splits.validation_origins_us.tolist()}
    assert firsts == hours
    last_hour = to_us(splits.test_start) // HOUR_US
    assert max(batch.target.max() for batch in batches) == last_hour - 1


@pytest.mark.parametrize(("share", "num_synthetic"), [(0.0, 0), (1.0, 12)])
def test_share_of_nothing_and_of_all(tmp_path, share, num_synthetic):
    corpus, _, _ = packed(tmp_path, synthetic_share=share)
    assert corpus.is_synthetic.sum() == num_synthetic
    assert corpus.weight[corpus.is_synthetic].sum() == pytest.approx(share)
    assert corpus.weight.sum() == pytest.approx(1)
    assert (corpus.validation_positions[~corpus.is_synthetic] >= 0).any()


def test_same_inputs_give_the_same_bytes_and_another_seed_others(tmp_path):
    contents = []
    for name in ("a", "b"):
        packed(tmp_path / name)
        contents.append(
            [path.read_bytes() for path in sorted((tmp_path / name / paths.CORPUS).iterdir())]
        )
    assert contents[0] == contents[1]
    other = params_with().model_copy(update={"seed": 1})
    augment.run(other, tmp_path / "a")
    assert (tmp_path / "a" / paths.CORPUS / "part-00000.f32").read_bytes() not in contents[0]


def test_synthetic_share_without_series_is_a_usage_error(tmp_path):
    nothing = dict.fromkeys(FAMILIES, 0.0)
    with pytest.raises(ConfigError) as caught:
        augment.run(params_with(num_synthetic=0, families=nothing), tmp_path)
    first, second = str(caught.value).splitlines()
    assert first == (
        "params.yaml: augment.num_synthetic = 0, at least 1 where augment.synthetic_share = 0.25; "
        "raise it, or set the share to 0"
    )
    assert second.startswith("params.yaml: augment.families = all 0, at least one weight above 0")


def test_fingerprints_hold_the_real_series_up_to_t0_alone(tmp_path):
    steps = np.random.default_rng(0).standard_normal(LENGTH)
    corpus, splits, _ = packed(tmp_path, np.cumsum(steps))
    found = Fingerprints.load(tmp_path / paths.FINGERPRINTS)
    assert found.items == splits.train_items
    limit = corpus.limit(0, "train")
    expected = record([("", corpus.block(0)[:, :limit])], all_windows=True)
    np.testing.assert_array_equal(found.hash[found.item == 0], expected.hash)
    assert len(expected) > 0
    beyond = record([("", corpus.block(0))], all_windows=True)
    assert len(beyond) > len(expected)
    metrics = json.loads((tmp_path / paths.METRICS / "augment.json").read_text())
    assert metrics["fingerprints"] == len(found)


def mixed(root, **changes):
    """Pack daily and hourly items of two sources, and return the metrics of what is drawn."""
    write_valid(root, np.arange(LENGTH), num_items=6)
    table = pl.read_parquet(root / paths.VALID / ITEMS_FILE).with_columns(
        source=pl.when(pl.col("item_id") < "i2").then(pl.lit("a.csv")).otherwise(pl.lit("b.csv"))
    )
    table.write_parquet(root / paths.VALID / ITEMS_FILE)
    mixture = {"size_exponent": 0.5, "temperature": 1.0, "frequency_balance": 0.0, "sources": {}}
    params = params_with(mixture=mixture | changes)
    values = params.split.model_copy(update={"held_out_share": 0.0})
    params = params.model_copy(update={"split": values})
    split.run(params, root)
    summary = augment.run(params, root)
    metrics = json.loads((root / paths.METRICS / "augment.json").read_text())
    return metrics["mixture"], summary.text


def test_realised_mixture_is_told(tmp_path):
    drawn, text = mixed(tmp_path, sources={"a*": 6.0})
    corpus = Corpus.open(tmp_path / paths.CORPUS)
    points = int(corpus.limits_at("train")[0]) * 3
    made = 100 * corpus.num_variates[corpus.is_synthetic].sum()
    assert drawn["sources"] == {
        "a.csv": {"items": 2, "points": 2 * points, "share": 0.5625},
        "b.csv": {"items": 4, "points": 4 * points, "share": 0.1875},
        "synthetic": {"items": 12, "points": made, "share": 0.25},
    }
    assert drawn["frequencies"] == {"1h": {"items": 6, "points": 6 * points, "share": 0.75}}
    assert sum(part["share"] for part in drawn["families"].values()) == pytest.approx(
        0.25, abs=1e-4
    )
    assert text.endswith("; draws: 56% a.csv, 25% synthetic, 19% b.csv")


@pytest.mark.parametrize(
    "change",
    [
        {"size_exponent": 0.0},
        {"temperature": 4.0},
        {"frequency_balance": 0.25},
        {"sources": {"b.csv": 0.5}},
    ],
)
def test_each_option_of_the_mixture_reaches_the_corpus(tmp_path, change):
    mixed(tmp_path, **change)
    names = json.loads((tmp_path / paths.CORPUS / "index.json").read_text())
    assert names["mixture"] == names["mixture"] | change


def test_unknown_source_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"^params.yaml: augment.mixture.sources.c.csv = 2, one of a.csv, b.csv or a pattern "
        r"that fits one is allowed; mend the name$",
    ):
        mixed(tmp_path, sources={"c.csv": 2.0})
    assert not (tmp_path / paths.CORPUS).exists()


def test_sources_beyond_the_first_are_told_together(tmp_path):
    parts = [Part(f"s{n:02d}", 1, 10, 0.1 - n * 0.001) for n in range(augment.MOST_LISTED + 3)]
    listed = augment.listed(parts)
    assert len(listed) == augment.MOST_LISTED + 1
    assert listed["3 others"] == {"items": 3, "points": 30, "share": pytest.approx(0.105)}


# Runs a stage of the project and prints by how many megabytes the process grew at its peak.
RUN_STAGE = """
import importlib, sys
from pathlib import Path
import yaml
from toto_core.config import Params
stage = importlib.import_module(f"flows.{sys.argv[3]}")
def peak_mb():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
params = Params.model_validate(yaml.safe_load(Path(sys.argv[2]).read_text()))
before = peak_mb()
stage.run(params, Path(sys.argv[1]))
print(peak_mb() - before)
"""


def peak_of_packing(root, rows, names):
    """Pack hourly ``rows`` of the items ``names``; the megabytes that it takes at its peak."""
    directory = root / paths.VALID
    directory.mkdir(parents=True)
    rows.cast(dict(SERIES_SCHEMA)).write_parquet(shard_path(directory, 0), row_group_size=1_000_000)
    facts = [(name, "y", "target", "1h", name, "test") for name in names]
    pl.DataFrame(facts, schema=ITEMS_SCHEMA, orient="row").write_parquet(directory / ITEMS_FILE)
    shortest = {"prediction_length": 1, "stride": 1, "num_test_origins": 1, "num_folds": 1}
    shortest |= {"num_validation_origins": 1, "min_context": 1, "held_out_share": 0.0}
    params = params_with(synthetic_share=0.0)
    params = params.model_copy(update={"split": params.split.model_copy(update=shortest)})
    file = root / "params.yaml"
    file.write_text(yaml.safe_dump(params.model_dump(mode="json", by_alias=True)))
    for stage in ("split", "augment"):
        command = [sys.executable, "-c", RUN_STAGE, str(root), str(file), stage]
        # Two threads decode side by side or not, as it happens, which moves the peak.
        one_reader = os.environ | {"POLARS_MAX_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_reader)
    return float(done.stdout)


linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")


@pytest.mark.slow
@linux
def test_a_long_item_is_packed_in_a_few_bytes_a_point(tmp_path):
    num_steps = 10_000_000
    rows = pl.select(
        item_id=pl.lit("a"),
        variate=pl.lit("y"),
        timestamp=pl.int_range(num_steps) * HOUR_US,
        value=pl.int_range(num_steps) % 1000,
    )
    peak_mb = peak_of_packing(tmp_path, rows, ["a"])
    assert (tmp_path / paths.CORPUS / "part-00000.f32").stat().st_size > 3.99 * num_steps
    # Its values, its time stamps, whether each is observed, and what is read at a time.
    assert peak_mb * 2**20 < 14 * num_steps + 150 * 2**20


@pytest.mark.slow
@linux
def test_items_of_three_points_are_packed_in_little_more_than_their_names(tmp_path):
    names = sorted(f"item-{n}" for n in range(30_000))
    rows = pl.DataFrame(
        {
            "item_id": np.repeat(names, 3),
            "variate": "y",
            "timestamp": np.tile(np.arange(3) * HOUR_US, len(names)),
            "value": np.arange(3 * len(names)) % 1000,
        }
    )
    peak_mb = peak_of_packing(tmp_path, rows, names)
    assert Corpus.open(tmp_path / paths.CORPUS).num_items == len(names)
    assert peak_mb * 2**20 < 1500 * len(names) + 50 * 2**20


def test_stage_that_finds_no_room_says_so_in_one_line(prepared, tmp_path):
    """The system lets no file grow beyond 4 KiB, as a full disk would."""
    shutil.copytree(prepared / "data", tmp_path / "data")
    before = (tmp_path / paths.CORPUS / "part-00000.f32").read_bytes()
    params = small_params().model_dump(mode="json", by_alias=True)
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    here = {"PYTHONPATH": str(paths.PARAMS.resolve().parent), "TOTO_PREFECT": "off"}
    command = f"ulimit -f 4; exec {sys.executable} -m flows.augment"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=os.environ | here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        r"data/corpus: file too large, \d+ bytes are free and more than \d{4,} are needed \(\d "
        r"items were begun, the rest is not counted\); make room and run again, nothing torn "
        r"was left",
        line,
    )
    assert (tmp_path / paths.CORPUS / "part-00000.f32").read_bytes() == before
    assert [path.name for path in (tmp_path / "data").glob(".*")] == []
