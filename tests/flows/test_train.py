"""The train stage: what it writes, that it repeats, resumes and says what is wrong."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from killed_run import run_and_kill
from small_corpus import small_params

from flows import fitting, paths, train
from flows.fitting import hash_data, model_config
from toto_core.data.corpus import Corpus
from toto_core.data.fingerprints import Fingerprints
from toto_core.errors import ConfigError, DataError, TrainingError
from toto_core.evaluation.protocol import protocol_hash
from toto_core.files import write_json
from toto_core.model import Toto2, for_context
from toto_core.training.checkpoint import file_hash

REPOSITORY = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "project")


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """A project after the stage has run; not to be changed."""
    root = shutil.copytree(prepared, tmp_path_factory.mktemp("trained") / "project")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "disabled")
        torch.set_num_threads(1)
        return root, train.run(small_params(), root)


def outputs(root):
    """Hash of every file that the stage writes."""
    files = [
        path
        for folder in ("models", "reports/plots")
        for path in sorted((root / folder).rglob("*"))
        if path.is_file()
    ]
    files.append(root / "reports/metrics/train.json")
    return {str(path.relative_to(root)): file_hash(path) for path in files}


def read(path):
    return json.loads(path.read_text())


def test_candidate_loads_and_is_the_best_checkpoint(trained):
    root, _ = trained
    metrics = read(root / "reports/metrics/train.json")
    model = Toto2.from_pretrained(root / "models/candidate")
    params = small_params()
    assert model.config == for_context(model_config(params.model), 96)
    best = root / f"models/checkpoints/step-{metrics['best_step']:06d}/model.safetensors"
    assert best.read_bytes() == (root / "models/candidate/model.safetensors").read_bytes()
    assert len(list((root / "models/checkpoints").iterdir())) == 2


def test_metrics_and_curve_say_the_same(trained):
    root, summary = trained
    metrics = read(root / "reports/metrics/train.json")
    assert metrics == dict(summary.metrics)
    assert metrics["steps"] == 6
    assert (
        metrics["parameters"] == Toto2.from_pretrained(root / "models/candidate").num_parameters()
    )
    with (root / "reports/plots/loss.csv").open() as file:
        rows = list(csv.DictReader(file))
    validation = {int(r["step"]): float(r["loss"]) for r in rows if r["split"] == "validation"}
    assert list(validation) == [2, 4, 6]
    assert (
        validation[metrics["best_step"]] == metrics["validation_loss"] == min(validation.values())
    )
    losses = [float(r["loss"]) for r in rows if r["split"] == "train"]
    assert len(losses) == 6
    assert losses[-1] == metrics["train_loss"]
    assert 0 < metrics["points_seen"] <= 6 * 4 * 2 * 96


def test_run_facts_name_data_and_the_time_training_ended(trained):
    root, _ = trained
    facts = read(root / "models/candidate/run.json")
    splits = read(root / "data/splits.json")
    assert facts["splits_sha256"] == file_hash(root / "data/splits.json")
    for name in ("index.json", "index.npz"):
        assert facts["corpus_sha256"][name] == file_hash(root / "data/corpus" / name)
    assert facts["prediction_length"] == splits["prediction_length"]
    assert facts["context_length"] == 96
    hour_before = np.datetime64(splits["validation_start"][:19]) - np.timedelta64(1, "h")
    assert np.datetime64(facts["last_training_time"][:19]) == hour_before
    assert facts["train"]["max_steps"] == 6
    assert facts["quantile_levels"] == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]


def test_candidate_takes_the_frozen_protocol_along(trained):
    root, _ = trained
    facts = read(root / "models/candidate/run.json")
    for taken, made in (
        (paths.FROZEN_PROTOCOL, paths.PROTOCOL),
        (paths.FROZEN_TARGETS, paths.TARGETS),
    ):
        assert (root / taken).read_bytes() == (root / made).read_bytes()
    assert facts["protocol_sha256"] == protocol_hash(read(root / paths.PROTOCOL))
    start = read(root / "data/splits.json")["validation_start"]
    assert facts["training_ends"] == {"1h": start.replace("Z", "+00:00")}


def test_success_leaves_no_scratch(trained):
    root, _ = trained
    assert list((root / "runs").iterdir()) == []


def test_second_run_writes_the_same_bytes(trained, project):
    root, _ = trained
    train.run(small_params(), project)
    assert outputs(project) == outputs(root)


def test_killed_stage_resumes_to_the_same_bytes_and_other_params_start_afresh(
    trained, project, caplog
):
    root, _ = trained
    caplog.set_level("INFO", logger="flows")
    run_and_kill(project, small_params())
    assert not (project / "models").exists()
    assert len(list(project.glob("runs/*/state-*"))) >= 1

    train.run(small_params(train={"lr": 0.1}), project)
    assert not any("goes on" in message for message in caplog.messages)
    assert outputs(project) != outputs(root)

    caplog.clear()
    train.run(small_params(), project)
    assert any(message.startswith("train: goes on from step ") for message in caplog.messages)
    assert outputs(project) == outputs(root)
    assert list((project / "runs").iterdir()) == []


def test_run_of_other_code_starts_afresh(trained, project, tmp_path, caplog):
    root, _ = trained
    other = tmp_path / "other"
    for package in ("flows", "toto_core"):
        shutil.copytree(REPOSITORY / package, other / package)
    with (other / "toto_core/optim/schedule.py").open("a") as file:
        file.write("\n\ndef wsd_factor(step, **shares):\n    return 0.1\n")
    run_and_kill(project, small_params(), other)
    caplog.set_level("INFO", logger="flows")
    train.run(small_params(), project)
    assert not any("goes on" in message for message in caplog.messages)
    assert outputs(project) == outputs(root)


def test_progress_is_a_line_for_each_validation(project, caplog):
    with caplog.at_level("INFO", logger="flows.progress"):
        train.run(small_params(), project)
    lines = [message for message in caplog.messages if "memory" not in message]
    assert len(lines) == 3
    assert re.fullmatch(
        r"train: step 2/6, loss \d\.\d{4}, validation \d\.\d{4}, \d+\.\d\dM points/s, "
        r"MFU \d+\.\d%, \d+ s left",
        lines[0],
    )


def test_memory_is_told_before_and_after(project, caplog):
    with caplog.at_level("INFO", logger="flows.progress"):
        train.run(small_params(), project)
    assert "memory of a step, estimated: " in caplog.messages[0]
    assert "memory of a step, measured: " in caplog.messages[-1]


def test_checkpointed_activations_give_the_same_bytes(trained, project):
    root, _ = trained
    train.run(small_params(train={"activation_checkpointing": True}), project)
    name = "models/candidate/model.safetensors"
    assert file_hash(project / name) == file_hash(root / name)


def test_run_within_a_limit_of_time_names_the_steps_that_repeat_it(project, caplog):
    """As a run goes on that was killed after its trial had found that five steps fit."""
    limited = small_params(train={"max_steps": 10**6, "max_minutes": 0.001, "validate_every": 5})
    store = fitting.store_of(train.job(limited, project), None, fitting.hash_data(project))
    write_json(store.directory / "budget.json", {"max_steps": 5})
    with caplog.at_level("INFO", logger="flows.progress"):
        train.run(limited, project)
    assert "max_steps: 5 without it gives the same bytes" in caplog.messages[0]
    assert read(project / "models/candidate/run.json")["train"]["max_steps"] == 5
    assert read(project / "reports/metrics/train.json")["steps"] == 5
    weights = file_hash(project / "models/candidate/model.safetensors")
    train.run(small_params(train={"max_steps": 5, "validate_every": 5}), project)
    assert file_hash(project / "models/candidate/model.safetensors") == weights


def test_gpu_that_is_absent_is_refused_before_anything_is_trained(project):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ConfigError, match=r"^train: device = cuda, a GPU that torch finds "):
        train.run(small_params(train={"device": "cuda"}), project)


def test_unknown_size_names_the_known_ones(project):
    with pytest.raises(
        ConfigError,
        match=r"^params.yaml: model.size = 'huge', one of nano, 1m, 4m, .*; choose one of these$",
    ):
        train.run(small_params(model={"size": "huge"}), project)


def test_corpus_without_a_window_is_one_line(project):
    corpus = Corpus.open(project / "data/corpus")
    with np.load(project / "data/corpus/index.npz") as stored:
        arrays = {key: stored[key] for key in stored.files}
    arrays["limits"] = np.zeros_like(corpus.limits)
    np.savez(project / "data/corpus/index.npz", **arrays)
    with pytest.raises(DataError, match=r"corpus: usable items before the cut-off train = 0 of 7"):
        train.run(small_params(), project)
    assert not (project / "models").exists()


def test_infinite_loss_leaves_no_candidate(project):
    with pytest.raises(TrainingError, match=r"^train: step \d: (loss|gradient norm) = (nan|inf), "):
        train.run(small_params(train={"loss_scale": 1e38, "max_steps": 3}), project)
    assert not (project / "models").exists()


@pytest.mark.parametrize("name", ["corpus/index.json", "corpus/index.npz", "splits.json"])
def test_data_hash_changes_with_every_file(project, name):
    before = hash_data(project)
    path = project / "data" / name
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    after = hash_data(project)
    assert {name for name in before if before[name] != after[name]} == {path.name}
    assert set(before) == {"index.json", "index.npz", "splits.json"}


def test_damaged_shard_is_named_before_a_run_begins(project):
    path = project / "data/corpus/part-00000.f32"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match=r"corpus/part-00000\.f32: sha256 = \w{12}\.\., .* damaged"):
        train.run(small_params(), project)
    assert not (project / "models").exists()


def test_candidate_carries_the_fingerprints_of_what_it_saw(trained):
    root, _ = trained
    assert (root / paths.SEEN).read_bytes() == (root / paths.FINGERPRINTS).read_bytes()
    assert Fingerprints.load(root / paths.SEEN).items == ("a", "b", "c")
