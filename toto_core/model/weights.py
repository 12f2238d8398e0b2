"""Model directories in the released format: ``config.json`` and safetensors, one file or sharded.

The names and shapes of the tensors are those of the released checkpoints, so that directories
written here load in the ``toto-2`` package and the other way round.
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from toto_core.errors import CheckpointError
from toto_core.files import write_json, writing
from toto_core.model.sizes import ModelConfig, config_from_json, residual_taus
from toto_core.model.toto import Toto2

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"

_MARKS = {"d_model", "layer_group_size"}  # keys that Toto 1.0 does not have
_TAU_TOLERANCE = 1e-5  # relative; the stored values are float32


def save_model(model: Toto2, directory: Path) -> None:
    """Write ``config.json`` and ``model.safetensors`` into ``directory``, each atomically."""
    directory.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().float().cpu().contiguous()
        for name, tensor in model.state_dict().items()
    }
    with writing(directory / WEIGHTS) as temporary:
        save_file(tensors, temporary, metadata={"format": "pt"})
    write_json(directory / CONFIG, model.config.to_json())


def load_model(directory: Path) -> Toto2:
    """Build the network that ``directory`` describes and fill it with its weights.

    Raises:
        CheckpointError: if a file is missing or torn, a key of the configuration is unknown or
            unsupported, or a tensor is missing, unknown, of another shape, not finite or (tau)
            not what the configuration implies. One line for each fault.
    """
    config = load_config(directory)
    tensors = _read_tensors(directory)
    with torch.device("meta"):
        model = Toto2(config, seed=None)
    faults = _faults(tensors, model)
    if faults:
        raise CheckpointError("\n".join(f"{directory}: {fault}" for fault in faults))
    model = Toto2(config, seed=None)
    model.load_state_dict(tensors)
    return model


def load_config(directory: Path) -> ModelConfig:
    """Read and check ``config.json``.

    Raises:
        CheckpointError: if it is missing, no JSON object, or describes another network.
    """
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory}: not found, a directory with {CONFIG} and {WEIGHTS} is needed; train a "
            "model or mend the path"
        )
    values = _read_json(directory / CONFIG)
    if not values.keys() & _MARKS:
        raise CheckpointError(
            f"{directory / CONFIG}: {' and '.join(sorted(_MARKS))} are missing, the format of Toto "
            "2.0 is needed; load a model of that version"
        )
    try:
        return config_from_json(values)
    except ValueError as error:
        lines = str(error).splitlines()
        raise CheckpointError(
            "\n".join(f"{directory / CONFIG}: {line.removeprefix('config: ')}" for line in lines)
        ) from None


def _read_json(path: Path) -> dict[str, object]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: not found, it is needed; copy the whole model") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path}: {error}, JSON is needed; copy the model again") from None
    if not isinstance(values, dict):
        raise CheckpointError(
            f"{path}: {type(values).__name__}, a JSON object is needed; copy the model again"
        )
    return values


def model_files(directory: Path) -> list[Path]:
    """The files of the model in ``directory``: its configuration, then its weights.

    Raises:
        CheckpointError: one line for each that is missing, or if the index of sharded weights is
            broken.
    """
    files = [directory / CONFIG, directory / WEIGHTS]
    if (directory / INDEX).exists() and not (directory / WEIGHTS).exists():
        files[1:] = [directory / INDEX, *_shards(directory)]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise CheckpointError(
            "\n".join(f"{path}: not found, it is needed; copy the whole model" for path in missing)
        )
    return files


def _shards(directory: Path) -> list[Path]:
    shards = _read_json(directory / INDEX).get("weight_map")
    if not isinstance(shards, dict):
        raise CheckpointError(
            f"{directory / INDEX}: weight_map = {shards!r}, a JSON object is needed; copy the "
            "model again"
        )
    return [directory / name for name in sorted({str(name) for name in shards.values()})]


def _read_tensors(directory: Path) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for path in model_files(directory):
        if path.suffix != ".json":
            tensors |= _read_file(path)
    return tensors


def _read_file(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"{path}: {reason}, a whole safetensors file is needed; copy the model again"
        ) from None


def _faults(tensors: Mapping[str, Tensor], model: Toto2) -> list[str]:
    expected = model.state_dict()
    faults = [
        f"{name} is missing, {CONFIG} implies it; copy the whole model"
        for name in expected
        if name not in tensors
    ]
    for name in sorted(tensors):
        found = tensors[name]
        if name not in expected:
            faults.append(f"{name} is unknown, {CONFIG} implies no such tensor; load another model")
        elif found.shape != expected[name].shape:
            faults.append(
                f"{name} = {tuple(found.shape)}, {tuple(expected[name].shape)} is implied by "
                f"{CONFIG}; load another model"
            )
        elif not found.isfinite().all():
            bad = int((~found.isfinite()).sum())
            faults.append(f"{name} = {bad} of {found.numel()} values not finite, none is allowed; "
                          "go back to an earlier checkpoint")  # fmt: skip
    return faults + _tau_faults(tensors, model.config)


def _tau_faults(tensors: Mapping[str, Tensor], config: ModelConfig) -> list[str]:
    faults = []
    for index, taus in enumerate(residual_taus(config)):
        for kind, implied in zip(("attn", "mlp"), taus, strict=True):
            name = f"transformer.layers.{index}.{kind}_tau"
            found = tensors.get(name)
            if found is None or found.numel() != 1 or not found.isfinite():
                continue
            if not math.isclose(found.item(), implied, rel_tol=_TAU_TOLERANCE):
                faults.append(
                    f"{name} = {found.item():.6g}, {implied:.6g} is implied by {CONFIG}; mend "
                    "residual_mult or residual_attn_ratio"
                )
    return faults
