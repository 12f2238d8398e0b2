"""Several processes train as one does, stop as one does and go on as one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import run_ranks
import torch
from safetensors.torch import load_file
from tiny_model import make_settings

from toto_core.errors import ConfigError
from toto_core.training import distributed

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# NorMuon rounds its momentum to bfloat16, where the last bit of a float32 sum may turn a rounding.
# What that does to the loss grows with the rate (docs/distributed.md).
NORMUON = {"lr": 0.02, "momentum": 0.96, "beta2": 0.999, "weight_decay": 0.1}
BASE = {"accumulation": 4, "validate_every": 10, "max_steps": 20, "normuon": NORMUON}
CLOSE = 1e-5  # relative, of a loss whose terms are added up in another order


def changes(parallel, optimizer, **more):
    return BASE | {"parallel": parallel, "optimizer": optimizer} | more


def ranks(tmp_path, num, jobs):
    """Run jobs under torchrun; returns its exit code and what it wrote to stderr."""
    listed = tmp_path / f"jobs-{num}.json"
    for job in jobs:
        Path(job["folder"]).mkdir(exist_ok=True)
    listed.write_text(json.dumps([job | {"folder": str(job["folder"])} for job in jobs]))
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={num}"]
    done = subprocess.run(
        [sys.executable, "-m", *torchrun, str(HERE / "run_ranks.py"), str(listed)],
        env=os.environ
        | {"PYTHONPATH": f"{HERE}:{HERE.parents[1]}", "OMP_NUM_THREADS": "1", "LOGLEVEL": "ERROR"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stderr


def losses(records):
    return {
        (record["step"], key): record[key]
        for record in records
        if "step" in record
        for key in ("loss", "val_loss", "points")
        if key in record
    }


def outcome(folder):
    found = json.loads((folder / "records.json").read_text())
    return found["records"], load_file(folder / "tensors.safetensors"), found["values"]


def assert_same_curve(found, expected):
    found, expected = losses(found), losses(expected)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=CLOSE, abs=0), key


def assert_same_bytes(folder, other):
    (_, tensors, values), (_, expected, expected_values) = outcome(folder), outcome(other)
    assert tensors.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(tensors[name], expected[name])] == []
    assert values == expected_values


def solo(folder, **job):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    Path(folder).mkdir(exist_ok=True)
    job = {"folder": folder, **job}
    records, state = run_ranks.run(job)
    run_ranks.write(job, records, state)
    torch.set_num_threads(before)
    return records


@pytest.mark.parametrize("num", [2, 4])
def test_curve_is_that_of_one_process(tmp_path, num):
    kinds = [(p, o) for p in ("ddp", "fsdp2") for o in ("adamw", "normuon")]
    jobs = [
        {"folder": tmp_path / f"{p}-{o}", "changes": changes(p, o), "interval_s": 3600.0}
        for p, o in kinds
    ]
    code, err = ranks(tmp_path, num, jobs)
    assert code == 0, err
    for optimizer in ("adamw", "normuon"):
        expected = solo(tmp_path / optimizer, changes=changes("ddp", optimizer), interval_s=3600.0)
        for parallel in ("ddp", "fsdp2"):
            found, _, _ = outcome(tmp_path / f"{parallel}-{optimizer}")
            assert_same_curve(found, expected)
