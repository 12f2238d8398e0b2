"""Stages that train in several processes: what they write, how they stop, what they say."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file
from small_corpus import small_params

from flows import crossval, train
from flows.launch import launch
from toto_core.errors import ConfigError, TrainingError
from toto_core.training.checkpoint import file_hash

REPOSITORY = Path(__file__).parents[2]
# In bfloat16 the last bit of a sum may turn a rounding.
TWO = {"processes": 2, "accumulation": 2, "max_steps": 6, "lr": 0.05, "precision": "float32"}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True)
def environment_of_workers(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "project")


def written(project, **changes):
    """Parameters that also stand in the project's params.yaml, where the workers read them."""
    params = small_params(train=TWO | changes, crossval={"max_steps": 4})
    values = params.model_dump(mode="json", by_alias=True)
    (project / "params.yaml").write_text(yaml.safe_dump(values))
    return params


def outputs(root):
    files = [p for p in sorted((root / "models").rglob("*")) if p.is_file()]
    files += [root / "reports/metrics/train.json", root / "reports/plots/loss.csv"]
    return {str(path.relative_to(root)): file_hash(path) for path in files}


def weights(root):
    return load_file(root / "models/candidate/model.safetensors")


def workers(project):
    """Processes that work for a project, whoever started them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(project) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


@pytest.mark.slow
def test_two_processes_write_what_one_writes_and_repeat_to_the_byte(prepared, tmp_path, caplog):
    caplog.set_level("INFO", logger="flows")
    roots = {name: shutil.copytree(prepared, tmp_path / name) for name in ("one", "two", "again")}
    train.run(written(roots["one"], processes=1), roots["one"])
    caplog.clear()
    train.run(written(roots["two"], parallel="fsdp2"), roots["two"])
    steps = [m for m in caplog.messages if m.startswith("train: step ")]
    assert [m.split(",")[0] for m in steps] == [f"train: step {n}/6" for n in (2, 4, 6)]
    train.run(written(roots["again"], parallel="fsdp2"), roots["again"])
    assert outputs(roots["again"]) == outputs(roots["two"])
    assert outputs(roots["two"]).keys() == outputs(roots["one"]).keys()
    one, two = weights(roots["one"]), weights(roots["two"])
    for name, tensor in one.items():
        is_told = torch.ones(tensor.shape, dtype=torch.bool)
        if name.endswith("in_proj.bias"):
            # Attention does not change with a shift of all keys, so the gradient of their bias is
            # nothing but rounding (rotated features apart), and AdamW steps by its sign.
            is_told[len(tensor) // 3 : 2 * len(tensor) // 3] = False
        torch.testing.assert_close(two[name][is_told], tensor[is_told], rtol=1e-5, atol=1e-5)
    assert list((roots["two"] / "runs").iterdir()) == []


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


@pytest.mark.slow
def test_stage_takes_over_what_two_torchruns_finished(project, caplog):
    params = written(project, parallel="fsdp2")
    torchrun = ["torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d"]
    torchrun += [f"--rdzv-endpoint=localhost:{free_port()}", "--rdzv-id=run1"]
    worker = ["-m", "flows.worker", "crossval", "--fold=0"]
    command = [sys.executable, "-m", *torchrun, *worker]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with (
        subprocess.Popen(command, cwd=project, **pipes) as first,
        subprocess.Popen(command, cwd=project, **pipes) as second,
    ):
        told = [process.communicate(timeout=180)[1] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], told
    assert sum("crossval 0: step 2/4" in text for text in told) == 1
    caplog.set_level("INFO", logger="flows")
    crossval.run(params, project, fold=0)
    assert not any(message.startswith("crossval 0: step ") for message in caplog.messages)
    metrics = json.loads((project / "reports/metrics/crossval-0.json").read_text())
    assert metrics["steps"] == 4


@contextmanager
def started(project):
    """Stage train in a process of its own, which does not outlive a failed test."""
    with subprocess.Popen(
        [sys.executable, "-m", "flows.train"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(condition, *, seconds=180.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
    return condition()


@pytest.mark.slow
def test_signal_to_the_stage_lets_its_processes_save_and_stop(project):
    written(project, max_steps=100_000)
    with started(project) as process:
        wait_for(lambda: list(project.glob("runs/*/state-*")) or process.poll() is not None)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=180)
    assert process.returncode == 130, err
    last = err.splitlines()[-1]
    assert last.startswith("train: stopped after step "), err
    step = int(last.split()[4])
    assert max(project.glob("runs/*/state-*")).name == f"state-{step:08d}"
    assert workers(project) == []


@pytest.mark.slow
def test_death_of_a_process_is_named_and_death_of_the_stage_leaves_none(project):
    written(project, max_steps=100_000)
    with started(project) as process:
        states = lambda: list(project.glob("runs/*/state-*"))  # noqa: E731
        wait_for(lambda: states() or process.poll() is not None)
        ranked = {p.environ().get("RANK"): p for p in workers(project) if "RANK" in p.environ()}
        ranked["1"].kill()
        _, err = process.communicate(timeout=180)
    assert process.returncode == 1
    assert err.splitlines()[-1] == (
        "train: process 1 of 2 = killed by SIGKILL (as the kernel does where memory is short), "
        "all are needed to the end; run dvc repro to go on from the last checkpoint"
    )
    assert workers(project) == []
    saved = max(states())
    with started(project) as process:
        wait_for(lambda: max(states()) > saved or process.poll() is not None)
        process.kill()
        process.wait()
        wait_for(lambda: not workers(project), seconds=60)


@pytest.mark.slow
def test_refusal_of_the_processes_is_the_refusal_of_the_stage(project):
    with pytest.raises(TrainingError, match=r"^train: step \d: (loss|gradient norm) = (nan|inf), "):
        train.run(written(project, loss_scale=1e38), project)
    assert not (project / "models").exists()
    with pytest.raises(
        ConfigError,
        match=r"^torchrun: processes = 2, train.processes = 1 is needed; start as many, or change",
    ):
        launch(
            "train",
            train.job(written(project, processes=1), project).worker,
            processes=2,
            threads=1,
            root=project,
            log=lambda record: None,
        )
