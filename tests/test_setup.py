"""The repository fits together: graph, code, parameters, deployment, examples."""

import ast
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import yaml

from flows.checks import PIPELINE, check_project, entries, load_stages
from toto_core.config import Params, load_params
from toto_core.errors import ConfigError

ROOT = Path(__file__).parents[1]
# How a stage is run and watched, and the reading of parameters, which DVC compares by itself.
WITHOUT_EFFECT = {
    "flows/__init__.py",
    *(f"flows/{name}.py" for name in ("stage", "api", "observed", "terminal", "tracking")),
    *(f"flows/{name}.py" for name in ("launch", "paths", "progress")),
    *(f"toto_core/{name}.py" for name in ("__init__", "config", "errors", "files")),
}


def imported(file: Path) -> Iterator[Path]:
    """Yield the files of this repository that ``file`` imports."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            base = ROOT / name.replace(".", "/")
            for candidate in (base.with_suffix(".py"), base / "__init__.py"):
                if candidate.is_file():
                    yield candidate


def needed(module: Path) -> set[str]:
    """Return every file of this repository that ``module`` imports, directly or not."""
    seen: set[Path] = set()
    todo = [module]
    while todo:
        file = todo.pop()
        name = file.relative_to(ROOT).as_posix()
        if file not in seen and name not in WITHOUT_EFFECT:
            seen.add(file)
            todo.extend(imported(file))
    return {file.relative_to(ROOT).as_posix() for file in seen if has_code(file)}


def module_of(stage: Mapping[str, object]) -> Path:
    """Return the file of ``python -m flows.<stage>``."""
    return ROOT / (str(stage["cmd"]).split()[2].replace(".", "/") + ".py")


def has_code(file: Path) -> bool:
    """Whether there is more in ``file`` than a docstring."""
    return any(not isinstance(node, ast.Expr) for node in ast.parse(file.read_text("utf-8")).body)


def edited(tmp_path: Path, name: str, before: str, after: str) -> Path:
    """Return a copy of the project's frame in which one file has been edited."""
    for part in ("flows", "toto_core"):
        (tmp_path / part).symlink_to(ROOT / part)
    for part in (".dvc", ".git", "data/raw"):
        (tmp_path / part).mkdir(parents=True)
    for file in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    text = (ROOT / name).read_text(encoding="utf-8")
    assert before in text
    (tmp_path / name).write_text(text.replace(before, after), encoding="utf-8")
    return tmp_path


def test_project_has_no_fault() -> None:
    assert check_project(ROOT).split.num_folds >= 1


@pytest.mark.parametrize("name", sorted(load_stages(ROOT)))
def test_stage_depends_on_all_the_code_it_runs(name: str) -> None:
    stage = load_stages(ROOT)[name]
    deps = entries(stage, "deps")
    missing = {
        file
        for file in needed(module_of(stage))
        if not any(file == dep or file.startswith(f"{dep}/") for dep in deps)
    }
    assert missing == set()


@pytest.mark.parametrize("name", sorted(load_stages(ROOT)))
def test_stage_depends_on_no_code_that_it_does_not_run(name: str) -> None:
    stage = load_stages(ROOT)[name]
    files = needed(module_of(stage))
    code = {dep for dep in entries(stage, "deps") if dep.startswith(("flows/", "toto_core/"))}
    assert {
        dep for dep in code if not any(f"{file}/".startswith(f"{dep}/") for file in files)
    } == set()


@pytest.mark.parametrize("name", sorted(load_stages(ROOT)))
def test_stage_names_every_section_of_the_parameters_that_it_reads(name: str) -> None:
    stage = load_stages(ROOT)[name]
    sections = {field.alias or key for key, field in Params.model_fields.items()}
    declared = set(entries(stage, "params"))
    texts = [
        (ROOT / file).read_text(encoding="utf-8")
        for file in needed(module_of(stage))
        if file.startswith("flows/")
    ]
    read = {
        (section.rstrip("_"), key)
        for text in texts
        for section, key in re.findall(r"\bparams\.([a-z_]+)(?:\.([a-z_]+))?", text)
    }
    assert [
        f"{section}.{key}"
        for section, key in sorted(read)
        if section in sections and not {section, f"{section}.{key}"} & declared
    ] == []


@pytest.mark.parametrize(
    ("file", "before", "after", "message"),
    [
        pytest.param(
            "params.yaml",
            "num_folds: 3",
            "num_folds: 2",
            "dvc.yaml: stages.crossval.matrix.fold = [0, 1, 2], [0, 1] where params.yaml has "
            "split.num_folds = 2; change one of the two",
            id="folds of the split",
        ),
        pytest.param(
            "dvc.yaml",
            "      - data/forecasts/fold-1.parquet\n",
            "",
            "dvc.yaml: stages.evaluate.deps = data/forecasts/fold-0.parquet, "
            "data/forecasts/fold-2.parquet, data/forecasts/fold-0.parquet, "
            "data/forecasts/fold-1.parquet, data/forecasts/fold-2.parquet; name the forecasts of "
            "every fold",
            id="a fold that is not judged",
        ),
        pytest.param(
            "dvc.yaml",
            "- flows/ingest.py",
            "- flows/injest.py",
            "dvc.yaml: stages.ingest.deps = flows/injest.py, a file of the project or an output of "
            "another stage; mend the path or restore the file",
            id="a dependency that is not there",
        ),
        pytest.param(
            "dvc.yaml",
            ", crossval, evaluate",
            ", evaluate",
            "dvc.yaml: params.yaml's section crossval = used by no stage, each section by at least "
            "one; name it under params of the stage that reads it",
            id="a section that no stage reads",
        ),
        pytest.param(
            "dvc.yaml",
            "params: [split]",
            "params: [split, validation]",
            "dvc.yaml: params = validation, one of augment, calibrate, crossval, evaluate, ingest, "
            "model, register, seed, split, train, validate; remove it or mend its name",
            id="a section that is not there",
        ),
        pytest.param(
            "dvc.yaml",
            "stages:\n",
            "stage:\n",
            "dvc.yaml: stages = None, at least one stage; restore it",
            id="a graph without stages",
        ),
    ],
)
def test_check_finds_the_fault(
    tmp_path: Path, file: str, before: str, after: str, message: str
) -> None:
    with pytest.raises(ConfigError) as info:
        check_project(edited(tmp_path, file, before, after))
    assert str(info.value) == message


def test_check_reports_the_faults_of_all_files_together(tmp_path: Path) -> None:
    root = edited(tmp_path, "params.yaml", "seed: 0", "seed: -1")
    (root / "dvc.yaml").unlink()
    (root / ".git").rmdir()
    with pytest.raises(ConfigError) as info:
        check_project(root)
    assert str(info.value).splitlines() == [
        "project: no git repository, DVC needs one; run `git init`",
        f"{root / 'params.yaml'}: seed = -1, input should be greater than or equal to 0; change it",
        "dvc.yaml: not found, the graph is needed; restore it",
    ]


def test_check_names_the_extra_that_a_baseline_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toto_core.evaluation.extras.PACKAGE", "no_such_package")
    before = "baselines: [naive, drift, seasonal_naive]"
    root = edited(tmp_path, "params.yaml", before, f"{before[:-1]}, auto_ets]")
    with pytest.raises(ConfigError, match=r"auto_ets, .* pip install toto-pipeline\[baselines\]"):
        check_project(root)


def test_check_needs_a_dvc_project(tmp_path: Path) -> None:
    root = edited(tmp_path, "params.yaml", "seed: 0", "seed: 1")
    (root / ".dvc").rmdir()
    with pytest.raises(ConfigError, match=r"^project: no \.dvc folder, a DVC project is needed"):
        check_project(root)


@pytest.mark.parametrize(
    "file", sorted(ROOT.glob("examples/**/*.yaml")), ids=lambda file: file.stem
)
def test_example_has_every_parameter(file: Path) -> None:
    assert load_params(file).split.num_folds == load_params(ROOT / "params.yaml").split.num_folds


def test_deployment_names_the_parent_flow_and_no_path_of_a_machine() -> None:
    text = (ROOT / "prefect.yaml").read_text(encoding="utf-8")
    value = yaml.safe_load(text)
    [deployment] = value["deployments"]
    assert deployment["entrypoint"] == "flows/pipeline.py:pipeline"
    assert deployment["concurrency_limit"] == {"limit": 1, "collision_strategy": "CANCEL_NEW"}
    assert [schedule["cron"] for schedule in deployment["schedules"]] == ["0 2 * * *"]
    [step] = value["pull"]
    assert list(step.values()) == [{"directory": "{{ $PWD }}"}]


def test_every_stage_of_the_graph_is_a_module_of_flows() -> None:
    for name, stage in load_stages(ROOT).items():
        module = name.partition("@")[0]
        assert str(stage["cmd"]).startswith(f"python -m flows.{module}")
    assert PIPELINE.name == "dvc.yaml"
