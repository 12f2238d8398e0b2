from pathlib import Path

import pytest
from toy_project import command

from flows.cli import app
from flows.local import up
from toto_core.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("run", "Bring every stage up to date"),
        ("check", "print every fault at once"),
        ("plan", "Show what training would take"),
        ("up", "server, worker and the nightly deployment"),
        ("down", "Stop what `toto up` has started"),
        ("promote", "whose verdict is PASS"),
        ("challenge", "at origins that neither has seen"),
        ("rollback", "nothing is deleted"),
        ("history", "in whose place"),
    ],
)
def test_command_tells_what_it_does(tmp_path: Path, name: str, says: str) -> None:
    done = command(tmp_path, "flows.cli", name, "--help", COLUMNS="100", TERM="dumb")
    assert done.returncode == 0
    assert says in done.stdout


def test_commands_are_those_of_the_help() -> None:
    names = [command.callback.__name__ for command in app.registered_commands if command.callback]
    pipeline = ["run", "check", "judge", "plan", "up", "down"]
    assert names == [*pipeline, "promote", "challenge", "rollback", "history"]
    groups = {group.name: group.typer_instance for group in app.registered_groups}
    found = {
        name: [command.callback.__name__ for command in sub.registered_commands if command.callback]
        for name, sub in groups.items()
        if sub is not None
    }
    assert found == {"data": ["show", "quarantine", "verify", "folds"]}


def test_command_line_imports_nothing_large(tmp_path: Path) -> None:
    done = command(tmp_path, "flows.cli", "--help", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"flows", "typer"} <= imported
    assert not {"prefect", "dvc", "torch", "polars", "wandb"} & imported


def test_command_that_does_not_exist_is_wrong_use(tmp_path: Path) -> None:
    done = command(tmp_path, "flows.cli", "runn")
    assert done.returncode == 2
    assert "No such command 'runn'" in done.stderr


def test_check_is_quiet_about_a_sound_project(project: Path) -> None:
    done = command(project, "flows.cli", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "check: params.yaml and dvc.yaml are in order\n"


def test_check_outside_a_project_tells_what_is_missing(tmp_path: Path) -> None:
    done = command(tmp_path, "flows.cli", "check")
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "project: no .dvc folder, a DVC project is needed; run from its root, or `dvc init`",
        "params.yaml: not found, a file is needed; run from the project's root",
        "dvc.yaml: not found, the graph is needed; restore it",
    ]


def test_file_that_cannot_be_read_is_told_in_one_line(project: Path) -> None:
    (project / "params.yaml").unlink()
    (project / "params.yaml").mkdir()
    done = command(project, "flows.cli", "check")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "toto: params.yaml = is a directory, readable files and room to write are needed; mend it "
        "and run again\n"
    )


def test_up_needs_a_deployment(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^prefect\.yaml: not found, a deployment is needed"):
        up(tmp_path)


def test_down_where_nothing_runs_is_fine(tmp_path: Path) -> None:
    done = command(tmp_path, "flows.cli", "down")
    assert (done.returncode, done.stdout) == (0, "prefect: nothing was running\n")
