"""Faults of a project that can be seen before anything runs: params.yaml, dvc.yaml, DVC, git."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows import paths
from toto_core.config import Params, load_params
from toto_core.errors import ConfigError
from toto_core.evaluation.extras import check_installed

PIPELINE = Path("dvc.yaml")


def check_project(root: Path) -> Params:
    """Return the parameters of the project in ``root``.

    Raises:
        ConfigError: one line for each fault of params.yaml, dvc.yaml and the set-up of DVC.
    """
    faults = list(_set_up_faults(root))
    params = None
    try:
        params = load_params(root / paths.PARAMS)
    except ConfigError as error:
        faults.append(str(error))
    stages = {}
    try:
        stages = load_stages(root)
    except ConfigError as error:
        faults.append(str(error))
    if stages:
        faults.extend(_dependency_faults(root, stages))
    if params is not None:
        try:
            check_installed(params.evaluate.baselines)
        except ConfigError as error:
            faults.append(str(error))
    if stages and params is not None:
        faults.extend(_section_faults(stages))
        faults.extend(_fold_faults(stages, params))
    if faults or params is None:
        raise ConfigError("\n".join(faults))
    return params


def _set_up_faults(root: Path) -> Iterator[str]:
    if not (root / ".dvc").is_dir():
        yield "project: no .dvc folder, a DVC project is needed; run from its root, or `dvc init`"
        return
    config = root / ".dvc/config"
    no_scm = config.is_file() and "no_scm = true" in config.read_text(encoding="utf-8").lower()
    parents = (root.resolve(), *root.resolve().parents)
    if not no_scm and not any((parent / ".git").exists() for parent in parents):
        yield "project: no git repository, DVC needs one; run `git init`"


def load_stages(root: Path) -> dict[str, Mapping[str, Any]]:
    """Return the stages of dvc.yaml with every matrix spread out, by DVC's names for them.

    Raises:
        ConfigError: there is no dvc.yaml, or no stage in it.
    """
    try:
        text = (root / PIPELINE).read_text(encoding="utf-8")
        value = yaml.safe_load(text)
    except FileNotFoundError:
        raise ConfigError(f"{PIPELINE}: not found, the graph is needed; restore it") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{PIPELINE}: {' '.join(str(error).split())}; mend the YAML") from None
    stages = value.get("stages") if isinstance(value, dict) else None
    if not isinstance(stages, dict) or not stages:
        raise ConfigError(f"{PIPELINE}: stages = {stages!r}, at least one stage; restore it")
    spread: dict[str, Mapping[str, Any]] = {}
    for name, stage in stages.items():
        matrix = stage.get("matrix")
        if not matrix:
            spread[name] = stage
            continue
        for values in itertools.product(*matrix.values()):
            item = dict(zip(matrix, values, strict=True))
            spread[f"{name}@{'-'.join(map(str, values))}"] = _fill(stage, item)
    return spread


def _fill(value: Any, item: Mapping[str, object]) -> Any:  # noqa: ANN401 - a YAML tree
    if isinstance(value, dict):
        return {_fill(key, item): _fill(part, item) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, item) for part in value]
    if isinstance(value, str):
        for key, part in item.items():
            value = value.replace(f"${{item.{key}}}", str(part))
    return value


def entries(stage: Mapping[str, Any], kind: str) -> list[str]:
    """Return the paths or sections that a stage lists under ``kind``, without their options."""
    return [
        key
        for entry in stage.get(kind) or []
        for key in (entry if isinstance(entry, dict) else [entry])
    ]


def _dependency_faults(root: Path, stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    made = {
        out
        for stage in stages.values()
        for kind in ("outs", "metrics", "plots")
        for out in entries(stage, kind)
    }
    for name, stage in stages.items():
        for dep in entries(stage, "deps"):
            below = any(dep.startswith(f"{out}/") for out in made)
            if dep not in made and not below and not (root / dep).exists():
                yield (
                    f"{PIPELINE}: stages.{name}.deps = {dep}, a file of the project or an output "
                    "of another stage; mend the path or restore the file"
                )


def _section_faults(stages: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    sections = {field.alias or name for name, field in Params.model_fields.items()}
    used = {key.split(".")[0] for stage in stages.values() for key in entries(stage, "params")}
    for section in sorted(sections - used):
        yield (
            f"{PIPELINE}: params.yaml's section {section} = used by no stage, each section by at "
            "least one; name it under params of the stage that reads it"
        )
    for section in sorted(used - sections):
        yield (
            f"{PIPELINE}: params = {section}, one of {', '.join(sorted(sections))}; "
            "remove it or mend its name"
        )


def _fold_faults(stages: Mapping[str, Mapping[str, Any]], params: Params) -> Iterator[str]:
    folds = [name.partition("@")[2] for name in stages if name.startswith("crossval@")]
    expected = [str(fold) for fold in range(params.split.num_folds)]
    if folds and folds != expected:
        yield (
            f"{PIPELINE}: stages.crossval.matrix.fold = [{', '.join(folds)}], "
            f"[{', '.join(expected)}] where params.yaml has split.num_folds = "
            f"{params.split.num_folds}; change one of the two"
        )
    forecasts = {out for name in stages for out in _fold_outs(name, stages[name])}
    read = {dep for dep in entries(stages.get("evaluate", {}), "deps") if "/fold-" in dep}
    if folds == expected and forecasts != read:
        yield (
            f"{PIPELINE}: stages.evaluate.deps = {', '.join(sorted(read)) or 'no fold'}, "
            f"{', '.join(sorted(forecasts))}; name the forecasts of every fold"
        )


def _fold_outs(name: str, stage: Mapping[str, Any]) -> list[str]:
    return entries(stage, "outs") if name.startswith("crossval@") else []
