"""What ``toto judge`` can be pointed at: a Python callable, a file of quantiles, a model."""

import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from flows import paths
from flows.base_model import locate
from flows.network import predictor
from toto_core.config import Params
from toto_core.errors import ConfigError
from toto_core.evaluation.backtest import Answer, asked
from toto_core.evaluation.faults import Faults
from toto_core.evaluation.submitted import Submitted
from toto_core.registry.fingerprint import model_sha256


@dataclass(frozen=True)
class Subject:
    """What is judged.

    Attributes:
        name: in words that can be a folder.
        answer: its quantiles.
        faults: takes note of what its forecasts get wrong.
        end: called when everything was asked.
        directory: of its model, which may say what it was trained on; None: it has none.
    """

    name: str
    answer: Answer
    faults: Faults
    end: Callable[[], None] = lambda: None
    directory: Path | None = None


def of_callable(reference: str, root: Path, params: Params) -> Subject:
    """Find ``module:function``, from ``root`` or among what is installed.

    It is called as ``backtest`` says; if it has a parameter ``prediction_length`` it is told.

    Raises:
        ConfigError: if there is none.
    """
    where = f"judge: --forecaster = {reference}"
    module, _, name = reference.partition(":")
    if not (module and name):
        raise ConfigError(f"{where}, module:function is needed; name both")
    sys.path.insert(0, str(root.resolve()))
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{where}, a module that can be imported is needed ({error}); run from its folder or "
            "install it"
        ) from None
    finally:
        sys.path.pop(0)
    function: Any = getattr(found, name, None)
    if not callable(function):
        raise ConfigError(f"{where}, a function is needed and {name} of {module} is none; mend it")
    length = params.split.prediction_length
    predict: Any = function
    if "prediction_length" in inspect.signature(function).parameters:
        predict = partial(function, prediction_length=length)
    answer = asked(predict, length, params.model.context_length)
    return Subject(plain(reference), answer, Faults())


def of_file(path: Path, params: Params) -> Subject:
    """Read the quantiles of a Parquet file.

    Raises:
        DataError: as ``Submitted`` does.
    """
    read = Submitted(path, prediction_length=params.split.prediction_length)
    return Subject(plain(path.stem), read.answer, read.faults, end=read.end)


def of_model(init: str, root: Path, params: Params) -> Subject:
    """Load a model: a directory, or a hub id; with its correction if it is the project's own.

    Raises:
        ConfigError: if there is none.
        CheckpointError: if it is no whole model.
    """
    directory, _ = locate(init, root, where="judge: --model")
    context_length, length = params.model.context_length, params.split.prediction_length
    predict = predictor(
        directory,
        context_length=context_length,
        prediction_length=length,
        batch_size=params.evaluate.batch_size,
        calibration=_correction(directory, root),
    )
    answer = asked(predict, length, context_length)
    return Subject(plain(init), answer, Faults(), directory=directory)


def _correction(directory: Path, root: Path) -> Path | None:
    """The project's correction of quantiles, if it was learnt for this model."""
    path = root / paths.CALIBRATION
    try:
        learnt_for = json.loads(path.read_text(encoding="utf-8"))["candidate"]
    except (OSError, ValueError, KeyError):
        return None
    return path if learnt_for == model_sha256(directory) else None


def plain(name: str) -> str:
    """Turn a name into one that can be a folder: letters, digits, dots, dashes."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "unnamed"
