"""What a killed run goes on from: its state on disk, checked, with the one before it in reserve.

A store holds

- ``state-XXXXXXXX/`` (number of finished steps): the tensors, in one safetensors file of each
  process, and ``state.json``, which carries the SHA-256 of these files, of the weights that it
  names and of itself;
- ``weights/XXXXXXXX.safetensors``: averaged weights of the best validations.

Both are written under another name, synced and renamed, so a name that exists was complete once;
the hashes find what the disk did to it since. No pickle: a checkpoint cannot run code.

Several processes call each method together, on one file system; what one of them wrote is read by
any number of them.
"""

import fcntl
import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import (
    HuggingFaceStorageReader,
    HuggingFaceStorageWriter,
)
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_shards
from torch.distributed.checkpoint.state_dict_saver import save as save_shards

from toto_core.errors import CheckpointError
from toto_core.files import writing
from toto_core.training.distributed import gathered, rank, told, world_size

_KEPT = 2  # the newest, and one in reserve
_TENSORS = "tensors.safetensors"
_STATE = "state.json"
_LOCK = "lock"

Like = Callable[[str, torch.Size, torch.dtype], Tensor]


@dataclass(frozen=True)
class Snapshot:
    """A state on disk or about to be.

    Attributes:
        step: finished optimiser steps.
        tensors: by name.
        values: everything else, as JSON holds it.
        weights: step to SHA-256 of each file of averaged weights that ``values`` relies on.
    """

    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, object]
    weights: Mapping[int, str]


class CheckpointStore:
    """The checkpoints of one run, in a folder of its own.

    Args:
        interval_s: seconds between two saves that ``due`` asks for.
    """

    def __init__(self, directory: Path, *, interval_s: float) -> None:
        self.directory = directory
        self.interval_s = interval_s
        self._saved_at = time.monotonic()

    def claim(self) -> None:
        """Keep other processes out until this one ends; two would remove each other's files.

        Raises:
            CheckpointError: if another process is there already, or the disk refuses.
        """
        if rank():
            return  # process 0 stands for all
        with _disk(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            # Left open: the lock goes with the process, however that ends.
            lock = os.open(self.directory / _LOCK, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise CheckpointError(
                f"{self.directory}: another process trains there, one at a time is possible; "
                "wait for it or stop it"
            ) from None
        except OSError:
            return  # some file systems have no locks

    def due(self) -> bool:
        """Whether the last save, or the start, is ``interval_s`` ago."""
        return time.monotonic() - self._saved_at >= self.interval_s

    def save(self, snapshot: Snapshot) -> None:
        """Write a snapshot, then remove all but it, the one before it and the weights they rely on.

        A later one goes as well: the run would have gone on from it, were it sound.

        Raises:
            CheckpointError: if the disk refuses; earlier checkpoints are then as they were.
        """
        with _disk(self.directory), _writing_folder(self._state_path(snapshot.step)) as folder:
            _write_tensors(folder, snapshot.tensors)
            body = {
                "step": snapshot.step,
                "tensors": _hashes(sorted(folder.iterdir())),
                "values": snapshot.values,
                "weights": {str(step): digest for step, digest in snapshot.weights.items()},
            }
            if rank() == 0:
                text = json.dumps({"body": body, "hash": _text_hash(body)})
                (folder / _STATE).write_text(text, encoding="utf-8")
        if rank() == 0:
            self._prune(snapshot.step)
        self._saved_at = time.monotonic()

    def load(self, like: Like | None = None) -> tuple[Snapshot | None, list[str]]:
        """Read the newest sound snapshot, if any, and one line for each that was not sound.

        Args:
            like: makes room for a tensor of this name, size and dtype, sharded (DTensor) where
                this process wants its share only; None: all of it.
        """
        path, faults = told(self._newest_sound() if rank() == 0 else (None, []))
        if path is None:
            return None, faults
        body = _read_state(path / _STATE)
        weights = {int(step): digest for step, digest in body["weights"].items()}
        return Snapshot(body["step"], _load_tensors(path, like), body["values"], weights), faults

    def holds_the_end(self) -> bool:
        """Whether the newest snapshot, if it is sound, says that its run is over."""
        path, _ = self._newest_sound()
        return path is not None and _read_state(path / _STATE)["values"].get("is_over", False)

    def save_weights(self, step: int, tensors: Mapping[str, Tensor]) -> str:
        """Write the averaged weights after ``step`` steps; return the file's SHA-256."""
        path = self._weights_path(step)
        if rank() == 0:
            with _disk(self.directory), writing(path) as file:
                save_file(dict(tensors), file)
        return told(file_hash(path) if rank() == 0 else "")

    def load_weights(self, step: int) -> dict[str, Tensor]:
        """Read the averaged weights after ``step`` steps."""
        return _read_tensors(self._weights_path(step))

    def remove(self) -> None:
        """Remove the whole store: the run has succeeded."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _state_path(self, step: int) -> Path:
        return self.directory / f"state-{step:08d}"

    def _state_paths(self) -> list[Path]:
        return sorted(self.directory.glob("state-*"))

    def _weights_path(self, step: int) -> Path:
        return self.directory / "weights" / f"{step:08d}.safetensors"

    def _newest_sound(self) -> tuple[Path | None, list[str]]:
        faults = []
        for path in reversed(self._state_paths()):
            try:
                self._check(path)
            except CheckpointError as error:
                faults.append(str(error))
            else:
                return path, faults
        return None, faults

    def _check(self, path: Path) -> None:
        body = _read_state(path / _STATE)
        for name, digest in body["tensors"].items():
            _check_hash(path / name, digest)
        for step, digest in body["weights"].items():
            _check_hash(self._weights_path(int(step)), digest)

    def _prune(self, newest: int) -> None:
        paths = self._state_paths()
        kept = [path for path in paths if path <= self._state_path(newest)][-_KEPT:]
        for path in set(paths) - set(kept):
            shutil.rmtree(path)
        needed: set[Path] = set()
        for path in kept:
            try:
                steps = _read_state(path / _STATE)["weights"]
            except CheckpointError:
                continue
            needed |= {self._weights_path(int(step)) for step in steps}
        for path in set(self.directory.glob("weights/*")) - needed:
            path.unlink()


def run_key(values: object) -> str:
    """Name a run by all that decides its result: the SHA-256 of ``values`` as sorted JSON."""
    return _text_hash(values)


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        CheckpointError: if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path}: {error.strerror}, a readable file is needed; run dvc repro"
        ) from None


def _text_hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _read_state(path: Path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        body, digest = content["body"], content["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        raise CheckpointError(
            f"{path}: torn, a whole checkpoint is needed; it is passed over"
        ) from None
    if _text_hash(body) != digest:
        raise CheckpointError(
            f"{path}: sha256 = {_text_hash(body)[:12]}, {str(digest)[:12]} when it was written; "
            "it is passed over"
        )
    return body


def _check_hash(path: Path, digest: str) -> None:
    found = file_hash(path)
    if found != digest:
        raise CheckpointError(
            f"{path}: sha256 = {found[:12]}, {digest[:12]} when it was written; it is passed over"
        )


def _read_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path}: {error}, a safetensors file is needed; it is passed over"
        ) from None


@contextmanager
def _writing_folder(path: Path) -> Iterator[Path]:
    """Yield a folder for all processes to write to, moved to ``path`` once all have."""
    if rank():
        yield told(Path())
    else:
        with writing(path) as folder:
            folder.mkdir()
            yield told(folder)
    told(None)  # nobody goes on before the folder has its name


def _write_tensors(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write each process' shards, and an even share of what all of them have."""
    if world_size() == 1:
        save_file(dict(tensors), folder / _TENSORS)
    else:
        writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
        save_shards(dict(tensors), storage_writer=writer)


def _hashes(paths: list[Path]) -> dict[str, str]:
    """SHA-256 of each file, by name; the processes share the work."""
    own = [(path.name, file_hash(path)) for path in paths[rank() :: world_size()]]
    return dict(sorted(gathered(own)))


def _load_tensors(folder: Path, like: Like | None) -> dict[str, Tensor]:
    reader = HuggingFaceStorageReader(str(folder))
    stored = reader.read_metadata().state_dict_metadata
    make = like or (lambda _name, size, dtype: torch.empty(size, dtype=dtype))
    tensors = {
        name: make(name, facts.size, facts.properties.dtype)
        for name, facts in stored.items()
        if isinstance(facts, TensorStorageMetadata)
    }
    with warnings.catch_warnings():
        # That a single process reads alone is meant, and that each process asks for its own parts.
        warnings.simplefilter("ignore")
        load_shards(tensors, storage_reader=reader, no_dist=True)
    return tensors


@contextmanager
def _disk(directory: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError, CheckpointException) as error:
        raise CheckpointError(
            f"{directory}: the checkpoint cannot be written ({error}); make room or give write "
            "permission, then run dvc repro to go on from the one before"
        ) from None
