"""The table of the promotion log."""

import json

from registry_project import commit, write_candidate

from flows.history import history
from flows.promote import promote
from flows.rollback import rollback


def test_history_of_nothing_says_so(registered):
    assert history(registered) == "no champion yet: toto promote makes the first"
    assert json.loads(history(registered, as_json=True)) == {
        "champion": None,
        "lines": [],
        "faults": [],
    }


def test_history_shows_every_line(held):
    write_candidate(held, 2, error=0.8)
    promote(held)
    commit(held)
    rollback(held)
    head, *rows, empty, champion = history(held).splitlines()
    assert head.split("  ")[0] == "version"
    who = "2026-03-01 12:00  Ada <ada@example.org>  25.0 %"
    assert rows == [
        f"v0.1.0   promotion        champion  {who}  PASS                       -",
        f"v0.2.0   promotion        champion  {who}  PASS, PASS against v0.1.0  v0.1.0",
        f"v0.1.0   rollback         champion  {who}  PASS                       v0.2.0",
    ]
    assert (empty, champion) == ("", "champion: v0.1.0")
    found = json.loads(history(held, as_json=True))
    assert (found["champion"], len(found["lines"]), found["faults"]) == ("v0.1.0", 3, [])
