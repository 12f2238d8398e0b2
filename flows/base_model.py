"""Find the model that ``train.init`` names: a directory, or a model on the Hugging Face hub.

A copy in the hub's cache is used without asking the hub, so that the refits of one pipeline start
alike and nothing depends on what the hub says today; another version needs its revision.
"""

import dataclasses
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from toto_core.config import ModelParams
from toto_core.errors import CheckpointError, ConfigError, DataError
from toto_core.model import SIZES, ModelConfig
from toto_core.model.sizes import native_context
from toto_core.model.weights import CONFIG, load_config, model_files
from toto_core.training.checkpoint import file_hash

_HUB_ID = re.compile(r"(?P<name>[\w-][\w.-]*/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")
_HUB_FILES = [CONFIG, "*.safetensors", "*.safetensors.index.json"]
_PATIENCE_S = 5.0  # with a hub that does not answer
# What is no part of a size: the base's constants are kept, and its head is compared by itself.
_OF_THE_BASE = {"residual_mult", "residual_attn_ratio", "norm_eps"}
_OF_THE_HEAD = {"head", "quantile_levels", "num_components"}


@dataclass(frozen=True)
class BaseModel:
    """A model to start from.

    Attributes:
        config: its own, kept as it is.
        facts: what a result says of it: ``init``, ``revision`` (the commit on the hub, or None),
            the SHA-256 of each of its files and, of a model that was trained here, the
            ``last_training_time`` and the ``base`` that its own run.json names, else None.
    """

    directory: Path
    config: ModelConfig
    facts: dict[str, object]


def find_base(init: str, root: Path, params: ModelParams) -> BaseModel:
    """Find the model that ``init`` names; a directory (from ``root``) counts before a hub id.

    Args:
        params: what the result shall be; its size is known.

    Raises:
        ConfigError: if there is none, the hub cannot be asked, or ``params`` describe another one.
        CheckpointError: if its directory is no whole model.
    """
    directory, revision = locate(init, root)
    config = load_config(directory)
    faults = _mismatches(config, init, params)
    if faults:
        raise ConfigError("\n".join(f"params.yaml: {fault}" for fault in faults))
    facts = {
        "init": init,
        "revision": revision,
        "sha256": {path.name: file_hash(path) for path in model_files(directory)},
        **_history(directory),
    }
    return BaseModel(directory, config, facts)


def locate(
    init: str, root: Path, *, where: str = "params.yaml: train.init"
) -> tuple[Path, str | None]:
    """Find the directory of a model, and its commit if it is one of the hub.

    Raises:
        ConfigError: if there is none, or the hub cannot be asked.
    """
    directory = root / Path(init).expanduser()
    if directory.is_dir():
        return directory, None
    found = _HUB_ID.fullmatch(init)
    if found is None:
        raise ConfigError(
            f"{where} = {init!r}, no such directory is there and it is no hub id (owner/name or "
            "owner/name@revision); mend it"
        )
    directory = _from_hub(f"{where} = {init!r}", found["name"], found["revision"])
    return directory, directory.name


def stored_base(candidate: Path, root: Path) -> Path | None:
    """Find the model that a candidate was fine-tuned from, as its ``run.json`` names it.

    Returns:
        its directory; None where the candidate was trained from scratch or does not say, and
        where no step was better than the base: the candidate is the base then.

    Raises:
        ConfigError: if there is none any more.
        DataError: if it is not, byte for byte, the one that training began with.
    """
    run = _known(candidate)
    base = run.get("base")
    if not isinstance(base, dict) or run.get("best_step") == 0:
        return None
    init, revision = str(base["init"]), base.get("revision")
    directory, _ = locate(f"{init.partition('@')[0]}@{revision}" if revision else init, root)
    now = {path.name: file_hash(path) for path in model_files(directory)}
    changed = sorted(name for name, digest in base["sha256"].items() if now.get(name) != digest)
    if changed:
        raise DataError(
            f"{directory}: {', '.join(changed)} = changed since {candidate.name} was fine-tuned "
            "from it, the same bytes are needed to judge the two; restore them, or train anew"
        )
    return directory


def _history(directory: Path) -> dict[str, object]:
    known = _known(directory)
    return {key: known.get(key) for key in ("last_training_time", "base")}


def _known(directory: Path) -> dict[str, Any]:
    """What the ``run.json`` of a model says, if there is one."""
    try:
        run = json.loads((directory / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        run = None
    return run if isinstance(run, dict) else {}


def _from_hub(where: str, name: str, revision: str | None) -> Path:
    """The folder of the hub's cache with the model, which is fetched if it is not there."""
    from huggingface_hub import HfApi, snapshot_download  # noqa: PLC0415  (slow, seldom needed)
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError  # noqa: PLC0415

    download = partial(snapshot_download, name, revision=revision, allow_patterns=_HUB_FILES)
    try:
        cached = Path(download(local_files_only=True))
        model_files(cached)
        return cached
    except (LocalEntryNotFoundError, CheckpointError):
        pass  # not there, or not all of it
    except HFValidationError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{where}, {reason}; mend it") from None
    with _hub_in_one_line(where):
        # The first question of the download itself would wait for a silent hub without end.
        HfApi().model_info(name, revision=revision, timeout=_PATIENCE_S)
        return Path(download())


@contextmanager
def _hub_in_one_line(where: str) -> Iterator[None]:
    """Say in one line why the hub gives nothing.

    Raises:
        ConfigError: in place of the errors of its client.
    """
    import httpx2  # noqa: PLC0415
    from huggingface_hub import errors  # noqa: PLC0415

    try:
        yield
    except errors.GatedRepoError:
        reason = "its owner asks for consent; give it on the hub, then log in with 'hf auth login'"
    except errors.RepositoryNotFoundError:
        reason = (
            "neither a directory here nor a public model on the hub; mend it, or log in with "
            "'hf auth login' if it is private"
        )
    except errors.RevisionNotFoundError:
        reason = "the hub has the model but no such revision; name a branch, tag or commit of it"
    except (httpx2.HTTPError, OSError) as error:
        reason = (
            "neither a directory here nor in the hub's cache, and the hub gives no answer "
            f"({type(error).__name__}); connect to the network, or copy the model here and name "
            "its directory"
        )
    else:
        return
    raise ConfigError(f"{where}, {reason}")


def _mismatches(found: ModelConfig, init: str, params: ModelParams) -> list[str]:
    sizes = {name: _shape(config) for name, config in SIZES.items()}
    faults = []
    if sizes[params.size] != _shape(found):
        same = [name for name, shape in sizes.items() if shape == _shape(found)]
        is_of = f"has the size {same[0]}" if same else f"has none of the sizes {', '.join(sizes)}"
        remedy = f"set it to {same[0]}" if same else "start from another model"
        faults.append(f"model.size = {params.size}, train.init = {init!r} {is_of}; {remedy}")
    for key in ("head", "quantile_levels", *(["num_components"] * (params.head == "student_t"))):
        wanted, has = getattr(params, key), getattr(found, key)
        if wanted != has:
            faults.append(f"model.{key} = {wanted}, train.init = {init!r} has {has}; set it so")
    longest = native_context(found)
    if params.context_length > longest:
        faults.append(
            f"model.context_length = {params.context_length}, at most {longest} steps (the "
            f"context of train.init = {init!r}) is allowed; lower it"
        )
    return faults


def _shape(config: ModelConfig) -> dict[str, object]:
    values = dataclasses.asdict(config)
    return {key: values[key] for key in values.keys() - _OF_THE_BASE - _OF_THE_HEAD}
