"""Refits of several folds at once: in one checkout, and in clones that share a DVC remote.

The commands are those of docs/evaluation.md, section "Cross-validation".
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from toy_project import environment

pytestmark = pytest.mark.slow


def start(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", *arguments],
        cwd=root,
        env=environment(TOTO_PREFECT="off"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(*running: subprocess.Popen[str]) -> list[str]:
    texts = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0] * len(running), texts
    return texts


def dvc(root: Path, *arguments: str) -> str:
    (text,) = finish(start(root, *arguments))
    return text


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, env=environment(), check=True)


def test_folds_run_at_once_in_one_checkout(project: Path) -> None:
    dvc(project, "repro", "make")
    wait = ("--wait-for-lock", "repro", "-s")
    finish(start(project, *wait, "copy@0"), start(project, *wait, "copy@1"))
    text = dvc(project, "repro")
    assert "Running stage 'copy" not in text
    assert "Running stage 'end'" in text
    assert (project / "data/end.txt").read_text().replace("\n", "") == "0010"


def test_folds_of_two_clones_are_joined_through_the_remote(project: Path, tmp_path: Path) -> None:
    dvc(project, "remote", "add", "--default", "shared", str(tmp_path / "remote"))
    dvc(project, "repro", "make")
    dvc(project, "push")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "what the folds are made from")
    clones = [tmp_path / f"clone-{fold}" for fold in (0, 1)]
    for clone in clones:
        git(tmp_path, "clone", "-q", str(project), str(clone))
    finish(*(start(clone, "pull", "make") for clone in clones))
    finish(*(start(clone, "repro", "-s", f"copy@{n}") for n, clone in enumerate(clones)))
    finish(*(start(clone, "push", "--run-cache", f"copy@{n}") for n, clone in enumerate(clones)))
    for clone in clones:
        shutil.rmtree(clone)
    dvc(project, "fetch", "--run-cache", "make")
    text = dvc(project, "repro", "--pull")
    assert "Running stage 'copy" not in text
    assert text.count("is cached - skipping run") == 2
    assert (project / "data/end.txt").read_text().replace("\n", "") == "0010"
