"""Several processes train as one does, stop together, go on to the same bytes, and die loudly."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import run_ranks
import torch
from safetensors.torch import load_file

from toto_core.training.signals import TerminatedError

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
# NorMuon orthogonalises in bfloat16, where the last bit of a float32 sum may turn a rounding; the
# loss shows it the more, the higher the rate (docs/distributed.md).
NORMUON = {
    "lr": 0.01,
    "width_rule": "published",
    "momentum": 0.96,
    "beta2": 0.999,
    "weight_decay": 2e-8,
}
CLOSE = 1e-5  # relative, of a loss whose terms are added up in another order
NEVER = 3600.0


def job(folder, parallel="fsdp2", optimizer="normuon", **more):
    changes = {"accumulation": 4, "validate_every": 10, "max_steps": 20, "normuon": NORMUON}
    changes |= {"parallel": parallel, "optimizer": optimizer}
    return {"folder": str(folder), "changes": changes, "interval_s": NEVER} | more


@contextmanager
def started(num, jobs, *, timeout_s=60):
    """torchrun with jobs for ``num`` processes."""
    for each in jobs:
        Path(each["folder"]).mkdir(exist_ok=True)
    listed = Path(jobs[0]["folder"]) / "jobs.json"
    listed.write_text(json.dumps(jobs))
    torchrun = ["--standalone", f"--nproc-per-node={num}", "--shutdown-timeout=3"]
    script = [str(HERE / "run_ranks.py"), str(listed), str(timeout_s)]
    paths = {"PYTHONPATH": f"{HERE}:{HERE.parents[1]}", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *torchrun, *script],
        env=os.environ | paths,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process


def ranks(num, jobs, **options):
    """Run jobs to their end; returns the exit code and what was written to stderr."""
    with started(num, jobs, **options) as process:
        _, err = process.communicate(timeout=300)
    left = [p for p in psutil.process_iter() if jobs[0]["folder"] in " ".join(cmdline(p))]
    assert left == []
    return process.returncode, err


def cmdline(process):
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def solo(each):
    Path(each["folder"]).mkdir(exist_ok=True)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        run_ranks.write(each, *run_ranks.run(each))
    finally:
        torch.set_num_threads(before)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder for each run: of one, two and four processes, whole and handed on; read only."""
    root = tmp_path_factory.mktemp("runs")
    solo(job(root / "1-adamw", optimizer="adamw"))
    solo(job(root / "1-normuon"))
    with pytest.raises(TerminatedError):
        solo(job(root / "1-stopped", term=[0, 10]))
    kinds = [(p, o) for p in ("ddp", "fsdp2") for o in ("adamw", "normuon")]
    two = [job(root / f"2-{p}-{o}", p, o) for p, o in kinds]
    two.append(job(root / "2-stopped", term=[1, 10]))
    two.append(job(root / "2-to-2", **{"from": str(root / "2-stopped")}))
    two.append(job(root / "1-to-2", **{"from": str(root / "1-stopped")}))
    two.append(job(root / "2-broken", "ddp", broken=13))
    uneven = job(root / "2-uneven")
    two.append(uneven | {"changes": uneven["changes"] | {"accumulation": 3}})
    code, err = ranks(2, two)
    assert code == 0, err
    four = [job(root / f"4-{p}-{o}", p, o) for p, o in kinds[1:3]]
    four.append(job(root / "2-to-4", **{"from": str(root / "2-stopped")}))
    four.append(job(root / "4-stopped", "ddp", term=[2, 7]))
    four.append(job(root / "4-to-4", "ddp", **{"from": str(root / "4-stopped")}))
    four.append(job(root / "4-stopped-shards", term=[3, 10]))
    code, err = ranks(4, four)
    assert code == 0, err
    solo(job(root / "4-to-1", **{"from": str(root / "4-stopped-shards")}))
    return root


def losses(folder, keys=("loss", "val_loss", "points")):
    records = json.loads((folder / "records.json").read_text())["records"]
    steps = [record for record in records if "step" in record]
    return {(record["step"], key): record[key] for record in steps for key in keys if key in record}


def assert_same_bytes(folder, other):
    found, expected = (load_file(path / "tensors.safetensors") for path in (folder, other))
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    values = [json.loads((path / "records.json").read_text())["values"] for path in (folder, other)]
    assert values[0] == values[1]


KINDS = (
    "2-ddp-adamw", "2-ddp-normuon", "2-fsdp2-adamw", "2-fsdp2-normuon",
    "4-ddp-normuon", "4-fsdp2-adamw",
)  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_curve_is_that_of_one_process(runs, kind):
    found = losses(runs / kind)
    optimizer = kind.rpartition("-")[2]
    expected = losses(runs / f"1-{optimizer}")
    assert len(expected) == 20 + 20 + 2
    assert found == pytest.approx(expected, rel=CLOSE, abs=0)
    # Neither optimiser heeds the scale of all gradients, but clipping does.
    norms = [losses(runs / name, ["grad_norm"]) for name in (kind, f"1-{optimizer}")]
    assert norms[0] == pytest.approx(norms[1], rel=1e-3)


@pytest.mark.parametrize("change", ["1-to-2", "2-to-4", "4-to-1"])
def test_run_goes_on_with_another_number_of_processes(runs, change):
    found = losses(runs / change)
    expected = {key: value for key, value in losses(runs / "1-normuon").items() if key[0] > 10}
    assert found == pytest.approx(expected, rel=CLOSE, abs=0)


def test_all_processes_stop_at_the_step_of_a_signal_to_one(runs):
    texts = [(runs / f"2-stopped/error-{n}.txt").read_text() for n in (0, 1)]
    assert texts[0] == texts[1]
    assert texts[0] == (
        "TerminatedError: train: stopped after step 10 of 20, the state is saved; run dvc repro "
        "to go on"
    )


def test_stopped_run_goes_on_to_the_bytes_of_a_whole_one(runs):
    assert_same_bytes(runs / "2-to-2", runs / "2-fsdp2-normuon")
    # With four processes the order of a sum would show where its terms lie in DDP's buckets.
    assert_same_bytes(runs / "4-to-4", runs / "4-ddp-normuon")


def test_shards_are_files_of_each_process_without_pickle(runs):
    (folder,) = (runs / "4-stopped-shards/store").glob("state-*")
    names = sorted(path.name for path in folder.iterdir())
    assert names[:4] == [f"shard-0000{n}-model-00001-of-00001.safetensors" for n in (1, 2, 3, 4)]
    assert names[4:] == ["state.json"]
    assert set(json.loads((folder / "state.json").read_text())["body"]["tensors"]) == set(names[:4])


def test_torn_shard_gives_way_to_the_checkpoint_before_it(runs, tmp_path):
    store = shutil.copytree(runs / "4-stopped-shards", tmp_path / "torn") / "store"
    (newest,) = store.glob("state-*")
    shutil.copytree(newest, store / "state-00000012")
    torn = store / "state-00000012/shard-00003-model-00001-of-00001.safetensors"
    torn.write_bytes(torn.read_bytes()[:-100])
    solo(job(tmp_path / "on", **{"from": str(tmp_path / "torn")}))
    records = json.loads((tmp_path / "on/records.json").read_text())["records"]
    assert "shard-00003-model-00001-of-00001.safetensors: sha256 = " in records[0]["message"]
    assert records[1]["message"] == "train: goes on from step 10"


def test_broken_item_of_one_process_is_named_by_all(runs):
    texts = [(runs / f"2-broken/error-{n}.txt").read_text() for n in (0, 1)]
    assert texts[0] == texts[1]
    assert texts[0] == (
        "TrainingError: train: step 3: loss = nan, a finite number is needed; look at the items "
        "item-13-1, item-14-1, item-15-1, or lower train.lr"
    )


def test_accumulation_that_cannot_be_shared_out_is_refused(runs):
    assert (runs / "2-uneven/error-1.txt").read_text() == (
        "ConfigError: train: accumulation = 3, a multiple of the 2 processes is allowed; change "
        "train.accumulation or train.processes"
    )


def test_killed_processes_go_on_to_the_bytes_of_a_whole_run(runs, tmp_path):
    """All of them while they write a checkpoint, then one by itself."""
    often = job(tmp_path / "killed", interval_s=0.0)
    store = tmp_path / "killed/store"
    with started(2, [often]) as process:
        while process.poll() is None:
            if list(store.glob(".state-0000000[5-9].*")):
                family = [process, *psutil.Process(process.pid).children(recursive=True)]
                for member in family:
                    member.kill()
    assert process.returncode < 0
    code, _ = ranks(2, [often | {"kill": [1, 14]}])
    assert code == 1
    newest = max(store.glob("state-*")).name
    assert newest == "state-00000013"
    code, err = ranks(2, [often])
    assert code == 0, err
    assert_same_bytes(tmp_path / "killed", runs / "2-fsdp2-normuon")


def test_process_that_hangs_ends_the_run_after_the_timeout(tmp_path):
    code, err = ranks(2, [job(tmp_path / "frozen", freeze=[1, 3])], timeout_s=3)
    assert code == 1
    assert "Timed out" in err or "timeout" in err.lower()
