"""What train.init may name, and one line for each thing that is wrong with it."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants
from small_corpus import small_params
from small_hub import COMMIT, GATED, small_hub

from flows.base_model import find_base
from toto_core.errors import CheckpointError, ConfigError
from toto_core.model import SIZES, Toto2, for_context
from toto_core.training.checkpoint import file_hash

GOLDEN = Path(__file__).parents[1] / "golden/toto2"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model of the size and context of ``small_params``."""
    folder = tmp_path_factory.mktemp("base") / "model"
    Toto2(for_context(SIZES["nano"], 96), seed=3).save_pretrained(folder)
    (folder / "notes.txt").write_text("not needed")
    return folder


@pytest.fixture
def hub(base, tmp_path, monkeypatch):
    """The paths that a hub with the model ``owner/base`` was asked for; with an empty cache."""
    with small_hub({"owner/base": base}) as (address, asked):
        point_at(address, tmp_path, monkeypatch)
        yield asked


def point_at(address, folder, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        address + "/{repo_id}/resolve/{revision}/{filename}",
    )
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))


def line_of(init, root, **model):
    with pytest.raises(ConfigError) as caught:
        find_base(init, root, small_params(model=model).model)
    return str(caught.value)


def found(init, root):
    return find_base(init, root, small_params().model)


def test_directory_counts_from_the_project(base, tmp_path):
    shutil.copytree(base, tmp_path / "models/mine")
    model = found("models/mine", tmp_path)
    assert model.directory == tmp_path / "models/mine"
    assert model.config == for_context(SIZES["nano"], 96)
    assert model.facts == {
        "init": "models/mine",
        "revision": None,
        "sha256": {name: file_hash(base / name) for name in ("config.json", "model.safetensors")},
        "last_training_time": None,
        "base": None,
    }
    assert found(str(base), tmp_path).directory == base


def test_history_of_a_model_that_was_trained_here_is_kept(base, tmp_path):
    shutil.copytree(base, tmp_path / "mine")
    run = {"last_training_time": "2025-01-01T00:00:00+00:00", "base": {"init": "x"}, "steps": 3}
    (tmp_path / "mine/run.json").write_text(json.dumps(run))
    facts = found("mine", tmp_path).facts
    assert facts["last_training_time"] == "2025-01-01T00:00:00+00:00"
    assert facts["base"] == {"init": "x"}
    (tmp_path / "mine/run.json").write_text("[")
    assert found("mine", tmp_path).facts["base"] is None


def test_directory_counts_before_a_hub_id(base, hub, tmp_path):
    shutil.copytree(base, tmp_path / "owner/base")
    assert found("owner/base", tmp_path).facts["revision"] is None
    assert hub == []


def test_hub_id_is_fetched_once_and_without_what_is_not_needed(base, hub, tmp_path):
    first = found("owner/base", tmp_path)
    assert first.facts["revision"] == COMMIT
    assert first.facts["sha256"] == found(str(base), tmp_path).facts["sha256"]
    assert sorted(file.name for file in first.directory.iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    num_asked = len(hub)
    assert found("owner/base", tmp_path) == first
    assert found(f"owner/base@{COMMIT}", tmp_path).directory == first.directory
    assert len(hub) == num_asked


def test_cached_copy_is_used_where_there_is_no_network(hub, tmp_path, monkeypatch):
    first = found("owner/base", tmp_path)
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{unheard.getsockname()[1]}", tmp_path, monkeypatch)
        assert found("owner/base", tmp_path) == first


def test_half_a_cached_copy_is_completed(hub, tmp_path):
    first = found("owner/base", tmp_path)
    (first.directory / "model.safetensors").unlink()
    # Without its list of files, the library takes what is there for all of it.
    shutil.rmtree(first.directory.parents[1] / "trees")
    assert found("owner/base", tmp_path) == first


def test_no_network_and_no_copy_is_one_line_within_seconds(tmp_path, monkeypatch):
    message = (
        "params.yaml: train.init = 'owner/base', neither a directory here nor in the hub's cache, "
        "and the hub gives no answer ({}); connect to the network, or copy the model here and "
        "name its directory"
    )
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        point_at(f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path, monkeypatch)
        assert line_of("owner/base", tmp_path) == message.format("ConnectError")
    point_at("http://no-such-host.invalid", tmp_path, monkeypatch)
    assert line_of("owner/base", tmp_path) == message.format("ConnectError")


def test_hub_that_is_silent_is_given_up_within_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr("flows.base_model._PATIENCE_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        point_at(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, monkeypatch)
        start = time.monotonic()
        assert "gives no answer (ReadTimeout)" in line_of("owner/base", tmp_path)
        assert time.monotonic() - start < 3


def test_offline_switch_of_the_hub_is_obeyed(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "gives no answer (OfflineModeIsEnabled)" in line_of("owner/base", tmp_path)
    assert hub == []


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("init", "message"),
    [
        (
            "owner/other",
            "neither a directory here nor a public model on the hub; mend it, or log in with "
            "'hf auth login' if it is private",
        ),
        (GATED, "its owner asks for consent; give it on the hub, then log in with 'hf auth login'"),
        (
            "owner/base@v9",
            "the hub has the model but no such revision; name a branch, tag or commit of it",
        ),
        (
            "models/base/",
            "no such directory is there and it is no hub id (owner/name or owner/name@revision); "
            "mend it",
        ),
        (
            "./models/base",
            "no such directory is there and it is no hub id (owner/name or owner/name@revision); "
            "mend it",
        ),
        ("owner/a--b", None),
    ],
)
def test_what_names_no_model_is_one_line(init, message, tmp_path):
    line = line_of(init, tmp_path)
    assert "\n" not in line
    assert line.startswith(f"params.yaml: train.init = {init!r}, ")
    if message is not None:
        assert line == f"params.yaml: train.init = {init!r}, {message}"


def test_size_and_context_must_fit_the_base_all_faults_together(base, tmp_path):
    lines = line_of(
        str(base),
        tmp_path,
        size="4m",
        context_length=128,
        head="student_t",
        quantile_levels=(0.1, 0.5, 0.9),
    ).splitlines()
    init = f"train.init = {str(base)!r}"
    assert lines == [
        f"params.yaml: model.size = 4m, {init} has the size nano; set it to nano",
        f"params.yaml: model.head = student_t, {init} has quantiles; set it so",
        f"params.yaml: model.quantile_levels = (0.1, 0.5, 0.9), {init} has (0.1, 0.2, 0.3, 0.4, "
        "0.5, 0.6, 0.7, 0.8, 0.9); set it so",
        f"params.yaml: model.num_components = 5, {init} has 0; set it so",
        f"params.yaml: model.context_length = 128, at most 96 steps (the context of {init}) is "
        "allowed; lower it",
    ]


def test_context_may_be_shorter_than_that_of_the_base(base, tmp_path):
    model = find_base(str(base), tmp_path, small_params(model={"context_length": 64}).model)
    assert model.config == for_context(SIZES["nano"], 96)


def test_base_of_no_known_size_is_one_line(tmp_path):
    line = line_of(str(GOLDEN), tmp_path)
    assert line == (
        f"params.yaml: model.size = nano, train.init = {str(GOLDEN)!r} has none of the sizes "
        "nano, 1m, 4m, 22m, 313m, 1b, 2.5b; start from another model"
    )


def test_directory_without_a_model_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"^\S+/empty/config\.json: not found, it is needed"):
        found("empty", tmp_path)
    (tmp_path / "empty/config.json").write_text(json.dumps({"embed_dim": 768, "num_layers": 12}))
    with pytest.raises(CheckpointError) as caught:
        found("empty", tmp_path)
    assert re.fullmatch(
        r"\S+/config\.json: d_model and layer_group_size are missing, the format of Toto 2\.0 is "
        r"needed; load a model of that version",
        str(caught.value),
    )


def test_library_of_the_hub_is_not_imported_without_need() -> None:
    code = "import flows.train, flows.crossval, sys; sys.exit('huggingface_hub' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
