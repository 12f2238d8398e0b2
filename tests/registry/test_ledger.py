"""Append-only logs: what they hold, and how an edit or a torn line is found."""

import json
import re

import pytest

from toto_core.errors import RegistryError
from toto_core.registry.ledger import append_log, read_log, record_attempt


def test_read_log_of_nothing_is_empty(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def test_append_log_keeps_the_order_and_the_earlier_bytes(tmp_path):
    path = tmp_path / "log.jsonl"
    append_log(path, {"n": 1, "name": "é"})
    first = path.read_bytes()
    append_log(path, {"n": 2})
    assert path.read_bytes().startswith(first)
    assert read_log(path) == [{"n": 1, "name": "é"}, {"n": 2}]


def test_read_log_finds_an_edited_line(tmp_path):
    path = tmp_path / "log.jsonl"
    for n in range(3):
        append_log(path, {"n": n})
    path.write_text(path.read_text().replace('"n": 1', '"n": 7'))
    with pytest.raises(RegistryError, match=r"log\.jsonl: line 3 follows [0-9a-f]{12}, the line"):
        read_log(path)


def test_read_log_finds_a_removed_line(tmp_path):
    path = tmp_path / "log.jsonl"
    for n in range(3):
        append_log(path, {"n": n})
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[1:]))
    with pytest.raises(RegistryError, match=r"line 1 follows .* the line before it is 0{12}"):
        read_log(path)


@pytest.mark.parametrize("tail", ['{"n": 2, "pre', "[1, 2]"])
def test_read_log_finds_a_torn_line(tmp_path, tail):
    path = tmp_path / "log.jsonl"
    append_log(path, {"n": 1})
    path.write_text(path.read_text() + tail)
    message = re.escape(f"{path}: line 2 = {tail!r}, a JSON object is needed; restore")
    with pytest.raises(RegistryError, match=message):
        append_log(path, {"n": 3})


def test_record_attempt_counts_distinct_candidates_of_one_period(tmp_path):
    path = tmp_path / "registry" / "attempts.jsonl"
    assert record_attempt(path, snapshot="s", candidate="a") == 1
    assert record_attempt(path, snapshot="s", candidate="b") == 2
    assert record_attempt(path, snapshot="later", candidate="b") == 1
    before = path.read_bytes()
    assert record_attempt(path, snapshot="s", candidate="a") == 1
    assert record_attempt(path, snapshot="s", candidate="b") == 2
    assert path.read_bytes() == before
    assert len([json.loads(line) for line in before.splitlines()]) == 3
