"""A checkpoint is whole or it is passed over."""

import json
import subprocess
import sys

import pytest
import torch

from toto_core.errors import CheckpointError
from toto_core.training.checkpoint import CheckpointStore, Snapshot, file_hash, run_key


def snapshot(step, weights=None):
    tensors = {"a": torch.full((3, 2), float(step)), "b": torch.arange(4)}
    return Snapshot(step, tensors, {"curve": [0.1, 1 / 3]}, weights or {})


@pytest.fixture
def store(tmp_path):
    return CheckpointStore(tmp_path / "run", interval_s=0.0)


def test_snapshot_comes_back_as_it_was(store):
    store.save(snapshot(7))
    found, faults = store.load()
    assert faults == []
    assert found.step == 7
    assert found.values == {"curve": [0.1, 1 / 3]}
    assert torch.equal(found.tensors["a"], torch.full((3, 2), 7.0))
    assert torch.equal(found.tensors["b"], torch.arange(4))


def test_empty_store_has_nothing(store):
    assert store.load() == (None, [])


def test_newest_two_are_kept(store):
    for step in (1, 2, 3, 4):
        store.save(snapshot(step))
    names = sorted(path.name for path in store.directory.iterdir())
    assert names == ["state-00000003", "state-00000004"]


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def flip(path):
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [truncate, flip, lambda path: path.unlink()])
@pytest.mark.parametrize("name", ["tensors.safetensors", "state.json"])
def test_damaged_checkpoint_is_passed_over_for_the_one_before(store, damage, name):
    store.save(snapshot(1))
    store.save(snapshot(2))
    damage(store.directory / "state-00000002" / name)
    found, faults = store.load()
    assert found.step == 1
    assert len(faults) == 1
    assert str(store.directory / "state-00000002" / name) in faults[0]


def test_changed_value_in_the_state_is_recognised(store):
    store.save(snapshot(2))
    path = store.directory / "state-00000002" / "state.json"
    content = json.loads(path.read_text())
    content["body"]["step"] = 3
    path.write_text(json.dumps(content))
    found, faults = store.load()
    assert found is None
    assert "when it was written; it is passed over" in faults[0]


def test_two_damaged_checkpoints_leave_nothing(store):
    for step in (1, 2):
        store.save(snapshot(step))
        truncate(store.directory / f"state-{step:08d}" / "tensors.safetensors")
    found, faults = store.load()
    assert found is None
    assert len(faults) == 2


def test_checkpoint_without_the_weights_it_names_is_passed_over(store):
    first = store.save_weights(1, {"w": torch.ones(2)})
    store.save(snapshot(1, {1: first}))
    second = store.save_weights(2, {"w": torch.zeros(2)})
    store.save(snapshot(2, {2: second}))
    flip(store.directory / "weights" / "00000002.safetensors")
    assert store.load()[0].step == 1


def test_damaged_checkpoint_does_not_take_the_place_of_the_reserve(store):
    for step in (1, 2, 5):
        store.save(snapshot(step))
    truncate(store.directory / "state-00000005" / "tensors.safetensors")
    assert store.load()[0].step == 2
    store.save(snapshot(3))
    truncate(store.directory / "state-00000003" / "tensors.safetensors")
    found, faults = store.load()
    assert found.step == 2
    assert len(faults) == 1


def test_weights_are_removed_once_no_kept_checkpoint_names_them(store):
    first = store.save_weights(1, {"w": torch.ones(2)})
    store.save(snapshot(1, {1: first}))
    second = store.save_weights(2, {"w": torch.zeros(2)})
    store.save(snapshot(2, {2: second}))
    weights = store.directory / "weights"
    assert sorted(path.name for path in weights.iterdir()) == [
        "00000001.safetensors", "00000002.safetensors",
    ]  # fmt: skip
    store.save(snapshot(3, {2: second}))
    assert [path.name for path in weights.iterdir()] == ["00000002.safetensors"]
    assert torch.equal(store.load_weights(2)["w"], torch.zeros(2))


def test_unfinished_write_is_not_seen(store):
    store.save(snapshot(1))
    (store.directory / ".state-00000002.123.tmp").mkdir()
    found, faults = store.load()
    assert found.step == 1
    assert faults == []


def test_store_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = CheckpointStore(tmp_path / "file", interval_s=0.0)
    with pytest.raises(CheckpointError, match=r"file: the checkpoint cannot be written \(.*\); "):
        store.save(snapshot(1))


def test_removed_store_is_gone(store):
    store.save(snapshot(1))
    store.remove()
    assert not store.directory.exists()
    store.remove()


def test_store_belongs_to_one_process_until_it_ends(store):
    code = (
        "import sys; from pathlib import Path; "
        "from toto_core.training.checkpoint import CheckpointStore; "
        "store = CheckpointStore(Path(sys.argv[1]), interval_s=0); store.claim(); "
        "print('claimed', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(store.directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout.readline() == b"claimed\n"
        with pytest.raises(
            CheckpointError,
            match=rf"^{store.directory}: another process trains there, one at a time is possible; "
            "wait for it or stop it$",
        ):
            store.claim()
        process.kill()
        process.wait()
        store.claim()
        CheckpointStore(store.directory, interval_s=0.0).claim()


def test_due_waits_for_the_interval(tmp_path):
    assert CheckpointStore(tmp_path, interval_s=0.0).due()
    assert not CheckpointStore(tmp_path, interval_s=3600.0).due()


def test_run_key_changes_with_every_value():
    keys = {run_key({"seed": s, "lr": lr}) for s in (0, 1) for lr in (0.1, 0.2)}
    assert len(keys) == 4
    assert run_key({"a": 1, "b": 2}) == run_key({"b": 2, "a": 1})


def test_file_hash_is_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert file_hash(tmp_path / "x").startswith("ba7816bf8f01cfea")
    with pytest.raises(CheckpointError, match="no: No such file or directory, a readable file"):
        file_hash(tmp_path / "no")
