"""Each stage of dvc.yaml depends on all the code that decides its outputs."""

import ast
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]

# What carries a stage but decides nothing of what it writes: a change here reruns no training.
PLUMBING = {
    "flows/__init__.py",
    "flows/api.py",
    "flows/observed.py",
    "flows/paths.py",
    "flows/progress.py",
    "flows/stage.py",
    "flows/terminal.py",
    "flows/tracking.py",
    "toto_core/__init__.py",
    "toto_core/config.py",
    "toto_core/errors.py",
    "toto_core/files.py",
}


def module_files(name: str) -> list[Path]:
    """The files that importing module ``name`` of this project runs, its packages included."""
    parts = name.split(".")
    inits = [ROOT.joinpath(*parts[:n], "__init__.py") for n in range(1, len(parts) + 1)]
    return [path for path in [*inits, ROOT.joinpath(*parts).with_suffix(".py")] if path.is_file()]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.split(".")[0] in {"flows", "toto_core"}}


def closure(path: Path) -> set[str]:
    seen, queue = set(), [path]
    while queue:
        current = queue.pop()
        name = current.relative_to(ROOT).as_posix()
        if name in seen or name in PLUMBING:
            continue
        seen.add(name)
        queue += [file for module in imported(current) for file in module_files(module)]
    return seen


def is_covered(name: str, deps: list[str]) -> bool:
    return any(name == dep or name.startswith(f"{dep}/") for dep in deps)


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_all_code_it_imports(stage: str) -> None:
    deps = [dep for dep in STAGES[stage]["deps"] if isinstance(dep, str)]
    code = closure(ROOT / "flows" / f"{stage}.py")
    missing = {name for name in code if not is_covered(name, deps)}
    inits = {name for name in missing if name.endswith("__init__.py") and _is_empty(ROOT / name)}
    assert sorted(missing - inits) == []


@pytest.mark.parametrize("stage", STAGES)
def test_stage_depends_on_no_code_it_does_not_import(stage: str) -> None:
    deps = [dep for dep in STAGES[stage]["deps"] if dep.startswith(("flows/", "toto_core/"))]
    code = closure(ROOT / "flows" / f"{stage}.py")
    assert [dep for dep in deps if not any(is_covered(name, [dep]) for name in code)] == []


def _is_empty(path: Path) -> bool:
    """Whether a package's file holds its docstring and nothing else."""
    return len(ast.parse(path.read_text()).body) <= 1
