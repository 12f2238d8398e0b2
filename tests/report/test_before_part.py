"""What was fixed before the verdict: attempts, protocol, overlap and exclusions."""

import re

from toto_core.report.before_part import MAX_LISTED, before_section

CARD = {"candidate_hash": "c" * 64}


def shown(verdict=None, evaluate=None, protocol=None, attempts=()):
    html = before_section(verdict or {}, CARD, evaluate or {}, protocol or {}, attempts)
    return html.replace("\N{NARROW NO-BREAK SPACE}", " ")


def test_attempts_are_counted_and_listed_with_their_p_values():
    tests = {"naive": {"skill": 0.1, "p_value": 0.02, "level": 0.0125, "skewness": -1.5}}
    attempts = [{"candidate": "a" * 64, "p_value": None}, {"candidate": "c" * 64, "p_value": 0.02}]
    html = shown({"attempt": 2, "tests": tests}, attempts=attempts)
    assert "This is candidate 2 of 2 judged on this test period." in html
    cells = re.findall(
        r"<t[dh][^>]*>([^<]*)</t[dh]>", html.split("<tbody>")[1].split("</tbody>")[0]
    )
    assert cells == ["no change", "10.0 %", "0.0200", "0.0125", "\N{MINUS SIGN}1.50"]
    ledger = html[html.index("The ledger of this test period") :]
    found = re.findall(r"<t[dh][^>]*>([^<]*)</t[dh]>", ledger.split("<tbody>")[1])[:8]
    assert found == ["1", "a" * 12, "another", "unknown", "2", "c" * 12, "this one", "0.0200"]


def test_a_first_attempt_is_said_to_be_the_only_one():
    html = shown({"attempt": 1}, attempts=[{"candidate": "c" * 64, "p_value": 0.5}])
    assert "This is the only candidate that was judged" in html


def test_protocol_lists_every_frozen_value_and_what_the_gate_says_of_it():
    check = {"name": "frozen protocol", "reason": "Nothing was chosen.", "found": "unchanged, ab"}
    protocol = {"gate": {"alpha": 0.05, "coverage": [0.7, 0.9]}, "baselines": ["<naive>"]}
    html = shown({"checks": [check]}, protocol=protocol)
    assert "The frozen protocol, 3 values" in html
    assert "Nothing was chosen. (unchanged, ab)" in html
    for name, value in (("gate: alpha", "0.05"), ("gate: coverage", "0.7, 0.9")):
        assert re.search(rf'"row">{name}</th><td[^>]*>{value}</td>', html), name
    assert "&lt;naive&gt;" in html
    assert "No protocol was frozen" in shown()


def test_overlap_names_the_items_that_were_found():
    found = {"overlap": "found", "items": ["a", "<b>"]}
    html = shown(evaluate={"contamination": found})
    assert "in the training data: found (a, &lt;b&gt;)." in html
    assert "<li>&lt;b&gt;</li>" in html
    assert "in the training data: unknown." in shown()


def test_exclusions_are_listed_with_their_reasons_up_to_a_limit():
    left_out = [
        {"item_id": f"s{n}", "variate": "<x>", "held_out": n == 0, "reason": "no scale"}
        for n in range(MAX_LISTED + 5)
    ]
    html = shown(evaluate={"exclusions": left_out, "num_series": 7})
    assert "could not be judged: 205 series; judged: 7." in html
    assert "s0 / &lt;x&gt;</th><td>held out</td><td>no scale</td>" in html
    assert "s1 / &lt;x&gt;</th><td>seen</td><td>no scale</td>" in html
    assert html.count("no scale") == MAX_LISTED
    assert "5 more stand in <code>reports/metrics/evaluate.json</code>" in html
    assert "No series was left out; 7 were judged." in shown(evaluate={"num_series": 7})
