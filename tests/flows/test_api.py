import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.api import STATE, accepts_connections, find_api
from toto_core.errors import ConfigError

DEAD = "http://127.0.0.1:9/api"


@pytest.fixture
def alive() -> Iterator[str]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/api"


def test_api_is_the_one_of_the_environment_first(tmp_path: Path, alive: str) -> None:
    environ = {"PREFECT_API_URL": alive, "PREFECT_HOME": str(tmp_path)}
    assert find_api(tmp_path, environ).url == alive


def test_api_is_the_one_that_toto_up_has_started(tmp_path: Path, alive: str) -> None:
    (tmp_path / STATE).parent.mkdir(parents=True)
    (tmp_path / STATE).write_text(json.dumps({"url": alive}))
    assert find_api(tmp_path, {"PREFECT_HOME": str(tmp_path)}).url == alive


@pytest.mark.parametrize("chosen", [{}, {"PREFECT_PROFILE": "work"}], ids=["active", "environment"])
def test_api_is_the_one_of_the_active_profile(
    tmp_path: Path, alive: str, chosen: dict[str, str]
) -> None:
    active = "other" if chosen else "work"
    (tmp_path / "profiles.toml").write_text(
        f'active = "{active}"\n[profiles.other]\n[profiles.work]\nPREFECT_API_URL = "{alive}"\n'
    )
    assert find_api(tmp_path, {"PREFECT_HOME": str(tmp_path), **chosen}).url == alive


def test_api_that_is_not_configured_is_no_reason_for_a_warning(tmp_path: Path) -> None:
    api = find_api(tmp_path, {"PREFECT_HOME": str(tmp_path)})
    assert api.url is None
    assert not api.worth_a_warning
    assert api.why_plain == (
        "prefect: no server is configured; running without it (`toto up` starts one)"
    )


def test_api_that_does_not_answer_is_told_with_its_address(tmp_path: Path) -> None:
    api = find_api(tmp_path, {"PREFECT_API_URL": DEAD})
    assert api.url is None
    assert api.worth_a_warning
    assert f"PREFECT_API_URL = {DEAD}, nothing answers there within 0.5 s" in api.why_plain


def test_api_is_not_looked_for_where_prefect_is_off(tmp_path: Path, alive: str) -> None:
    api = find_api(tmp_path, {"PREFECT_API_URL": alive, "TOTO_PREFECT": "off"})
    assert api.url is None
    assert not api.worth_a_warning


def test_api_must_answer_where_prefect_is_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"PREFECT_API_URL = {DEAD}, a server that answers"):
        find_api(tmp_path, {"PREFECT_API_URL": DEAD, "TOTO_PREFECT": "on"})


def test_api_mode_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TOTO_PREFECT = yes, auto, on or off; set one of them"):
        find_api(tmp_path, {"TOTO_PREFECT": "yes"})


@pytest.mark.parametrize("url", [DEAD, "nonsense", "http://127.0.0.1:99999/api"])
def test_connection_is_refused_quietly(url: str) -> None:
    assert not accepts_connections(url)
