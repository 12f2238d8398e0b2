"""Copies of the small pipeline of toy_project and of the small corpus of small_corpus."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from toy_project import GRAPH, REPOSITORY, STAGES, command, environment


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small pipeline as a git and DVC project; not to be changed."""
    root = tmp_path_factory.mktemp("template") / "project"
    (root / "stages").mkdir(parents=True)
    for name, text in STAGES.items():
        (root / f"stages/{name}.py").write_text(text)
    (root / "dvc.yaml").write_text(GRAPH)
    shutil.copy(REPOSITORY / "params.yaml", root)
    (root / ".gitignore").write_text("/data/\n/runs/\n__pycache__\n")
    for line in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(line, cwd=root, env=environment(), check=True)
    subprocess.run(["git", "add", "-A"], cwd=root, env=environment(), check=True)
    subprocess.run(["git", "commit", "-qm", "toy"], cwd=root, env=environment(), check=True)
    return root


@pytest.fixture(scope="session")
def finished(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small pipeline after one `dvc repro`; not to be changed."""
    root = Path(shutil.copytree(template, tmp_path_factory.mktemp("finished") / "project"))
    done = command(root, "dvc", "repro", "-q")
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture
def finished_project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the small pipeline in which everything is up to date."""
    return Path(shutil.copytree(finished, tmp_path / "project"))


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A copy of the small pipeline that nothing has run in yet."""
    return Path(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that is ready to train; not to be changed."""
    from small_corpus import write_project  # noqa: PLC0415 - slow, not for every test

    root = tmp_path_factory.mktemp("prepared") / "project"
    write_project(root)
    return root


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute with one thread, and restore what was."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def first_candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a candidate that may be promoted; not to be changed."""
    from registry_project import write_candidate, write_project  # noqa: PLC0415 - slow

    root = write_project(tmp_path_factory.mktemp("candidate") / "project")
    write_candidate(root, 1)
    return root


@pytest.fixture(scope="session")
def first_champion(first_candidate: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after its promotion was committed; not to be changed."""
    from registry_project import commit  # noqa: PLC0415

    from flows.promote import promote  # noqa: PLC0415

    root = Path(shutil.copytree(first_candidate, tmp_path_factory.mktemp("champion") / "project"))
    promote(root)
    commit(root)
    return root


@pytest.fixture
def registered(first_candidate: Path, tmp_path: Path) -> Path:
    """A project whose candidate nobody has promoted yet."""
    return Path(shutil.copytree(first_candidate, tmp_path / "registered"))


@pytest.fixture
def held(first_champion: Path, tmp_path: Path) -> Path:
    """A project whose champion v0.1.0 is the network of seed 1."""
    return Path(shutil.copytree(first_champion, tmp_path / "project"))
