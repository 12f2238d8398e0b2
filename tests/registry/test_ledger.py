"""Append-only logs: what they hold, who may write, and how an edit or a torn line is found."""

import json
import re
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from filelock import FileLock

from toto_core.errors import RegistryError
from toto_core.registry.ledger import (
    Attempt,
    append_log,
    earlier_attempts,
    open_log,
    read_log,
)

FIRST = Attempt(
    snapshot="s",
    candidate="a",
    calibration="c",
    protocol="p",
    test_end="2026-03-01T00:00:00+00:00",
    series=("11", "22"),
)


@pytest.fixture
def path(tmp_path):
    """A log of three records."""
    path = tmp_path / "log.jsonl"
    for n in range(3):
        append_log(path, {"n": n})
    return path


def test_read_log_of_nothing_is_empty(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def test_append_log_keeps_the_order_and_the_earlier_bytes(tmp_path):
    path = tmp_path / "log.jsonl"
    append_log(path, {"n": 1, "name": "é"})
    first = path.read_bytes()
    append_log(path, {"n": 2, "p_value": None})
    assert path.read_bytes().startswith(first)
    assert read_log(path) == [{"n": 1, "name": "é"}, {"n": 2, "p_value": None}]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_read_log_finds_an_edited_line(path, n):
    path.write_text(path.read_text().replace(f'"n": {n}', '"n": 7'))
    message = rf"log\.jsonl: line {n + 1} = [0-9a-f]{{12}}, [0-9a-f]{{12}} was written; the line "
    with pytest.raises(RegistryError, match=message + "was edited, restore the file with git chec"):
        read_log(path)


def test_read_log_finds_a_removed_line(path):
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    with pytest.raises(RegistryError, match=r"line 1 follows .* the line before it is 0{12}"):
        read_log(path)


def test_read_log_finds_lines_that_changed_places(path):
    first, second, third = path.read_text().splitlines(keepends=True)
    path.write_text(first + third + second)
    with pytest.raises(RegistryError, match=r"line 2 follows .*; lines were removed, added or mov"):
        read_log(path)


@pytest.mark.parametrize("tail", ['{"n": 2, "pre', '{"n": 2}'])
def test_read_log_finds_a_torn_line(path, tail):
    path.write_text(path.read_text() + tail)
    message = re.escape(f"{path}: line 4 = {tail!r} is torn, a whole line is needed; restore")
    with pytest.raises(RegistryError, match=message):
        append_log(path, {"n": 3})


def test_read_log_finds_a_line_that_is_no_record(path):
    path.write_text(path.read_text() + "[1, 2]\n")
    message = re.escape(f"{path}: line 4 = '[1, 2]' is no record, a JSON object is needed; restore")
    with pytest.raises(RegistryError, match=message):
        read_log(path)


def test_open_log_gives_up_on_a_log_that_is_held(path):
    before = path.read_bytes()
    with FileLock(path.with_name(".log.jsonl.lock")):
        message = re.escape(f"{path}: held by another process for 0.05 s, one may write at a time")
        with pytest.raises(RegistryError, match=message), open_log(path, wait_s=0.05):
            pass
    assert path.read_bytes() == before
    append_log(path, {"n": 3})


def test_open_log_lets_go_when_the_block_fails(path):
    with pytest.raises(ZeroDivisionError), open_log(path):
        raise ZeroDivisionError
    append_log(path, {"n": 3})
    assert len(read_log(path)) == 4


def test_records_appended_at_once_are_all_kept(tmp_path):
    path = tmp_path / "log.jsonl"

    def append(thread):
        for n in range(5):
            append_log(path, {"thread": thread, "n": n})

    threads = [threading.Thread(target=append, args=(thread,)) for thread in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [(record["thread"], record["n"]) for record in read_log(path)]
    assert sorted(found) == [(thread, n) for thread in range(6) for n in range(5)]


@pytest.mark.slow
def test_processes_that_append_at_once_lose_no_line(tmp_path):
    path = tmp_path / "log.jsonl"
    code = (
        "import sys; from pathlib import Path; from toto_core.registry.ledger import append_log\n"
        "for n in range(20): append_log(Path(sys.argv[1]), {'who': sys.argv[2], 'n': n})"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(who)]) for who in range(4)
    ]
    assert [process.wait() for process in running] == [0, 0, 0, 0]
    assert len({(record["who"], record["n"]) for record in read_log(path)}) == 80


def note(path, attempt, p_value=0.5):
    """Judge as the register stage does; return how many were judged before."""
    with open_log(path) as log:
        earlier, known = earlier_attempts(log.records, attempt)
        if not known:
            log.append(attempt.record(p_value))
    return len(earlier)


def test_attempts_count_distinct_candidates_of_one_period(tmp_path):
    path = tmp_path / "registry" / "attempts.jsonl"
    second = replace(FIRST, candidate="b")
    assert (note(path, FIRST), note(path, second)) == (0, 1)
    before = path.read_bytes()
    assert (note(path, FIRST), note(path, second)) == (0, 1)
    assert path.read_bytes() == before
    assert len(read_log(path)) == 2


@pytest.mark.parametrize("changes", [{"protocol": "laxer"}, {"calibration": "wider"}])
def test_attempts_count_another_protocol_or_calibration_as_another_look(tmp_path, changes):
    path = tmp_path / "attempts.jsonl"
    assert (note(path, FIRST), note(path, replace(FIRST, **changes))) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "earlier"),
    [
        pytest.param({"series": ("22",)}, 1, id="an item taken away"),
        pytest.param({"test_end": "2026-02-28T00:00:00+00:00"}, 1, id="an origin taken away"),
        pytest.param({}, 1, id="the same period cut otherwise"),
        pytest.param({"test_end": "2026-03-01T00:00:00Z"}, 1, id="the same end written otherwise"),
        pytest.param({"test_end": "2026-03-02T00:00:00+00:00"}, 0, id="newer data"),
        pytest.param({"series": ("33",)}, 0, id="other series"),
    ],
)
def test_attempts_take_no_smaller_period_for_a_new_one(tmp_path, changes, earlier):
    path = tmp_path / "attempts.jsonl"
    note(path, FIRST)
    other = replace(FIRST, snapshot="t", candidate="b", **changes)
    assert note(path, other) == earlier


def test_attempts_give_the_p_values_before_their_own(tmp_path):
    path = tmp_path / "attempts.jsonl"
    for candidate, p_value in (("a", 0.01), ("b", None), ("c", 0.2)):
        note(path, replace(FIRST, candidate=candidate), p_value)
    earlier, known = earlier_attempts(read_log(path), replace(FIRST, candidate="c"))
    assert known
    assert [record["p_value"] for record in earlier] == [0.01, None]
    assert json.loads(path.read_text().splitlines()[0])["protocol"] == "p"
