"""The paragraph in words says what the numbers say, and no more."""

import re

import polars as pl
import pytest

from toto_core.report.words import words_section


def row(skill, p_value, *, lower=None, upper=None, n=60, h_eff=2, df=7, reason=""):
    return {
        "skill": skill,
        "p_value": p_value,
        "lower": skill - 0.05 if lower is None else lower,
        "upper": skill + 0.05 if upper is None else upper,
        "n": n,
        "h_eff": h_eff,
        "df": df,
        "reason": reason,
        "outcome": "ok",
    }


def series(*skills):
    names = [f"s{n}" for n in range(len(skills))]
    columns = {"item_id": names, "variate": ["x"] * len(skills), "held_out": [False] * len(skills)}
    return pl.DataFrame({**columns, "skill against naive": list(skills)})


def words(own, *, outcome="PASS", attempt=1, found=None, checks=(), **evaluate):
    evaluate = {"skill": {"candidate": own}} | evaluate
    verdict = {"outcome": outcome, "attempt": attempt, "checks": checks}
    html = words_section(verdict, evaluate, series(0.2) if found is None else found)
    text = re.sub(r"<[^>]*>", "", html).replace("\N{NARROW NO-BREAK SPACE}", " ")
    return text.replace("\N{MINUS SIGN}", "-")


def test_words_name_the_hardest_baseline_and_how_sure_it_is():
    text = words({"naive": row(0.1, 0.012), "drift": row(0.3, 0.0001)})
    assert (
        "the model is better than no change and drift: its loss is 10.0 % lower than that of no "
        "change, the hardest of them (two-sided 95 % interval of the skill: 5.0 to 15.0 %)." in text
    )
    assert (
        "That rests on 60 moments, of which 2 in a row hang together, which leave 7 degrees of "
        "freedom; a gain this large or larger would come about in 1.2 % of all cases if there "
        "were none." in text
    )


def test_words_tell_better_from_worse_from_neither():
    own = {"naive": row(-1.5, 0.9999), "drift": row(0.02, 0.3), "seasonal_naive": row(0.5, 1e-5)}
    text = words(own, outcome="FAIL")
    assert (
        "the model is better than seasonal naive, is worse than no change and cannot be told from "
        "drift: its loss is 2.5 times that of no change, the hardest of them" in text
    )
    assert "a loss this large or larger would come about in less than 1 of 1000 cases" in text
    assert "That it failed here does not say" in text


def test_words_of_an_open_verdict_say_why():
    own = {"naive": row(0.4, None, lower=float("nan"), reason="6 origins, at least 8 are needed")}
    text = words(own, outcome="INCONCLUSIVE")
    assert (
        "cannot be told from no change: its loss is 40.0 % lower than that of no change (so far"
        in text
    )
    assert "How sure that is cannot be said: 6 origins, at least 8 are needed." in text
    assert "That the verdict is open is no evidence for either side." in text


@pytest.mark.parametrize(
    ("skills", "said"),
    [
        ([0.1, 0.2], "every series gains over no change"),
        (
            [0.1, -0.2],
            "Where it fails: 1 of 2 series are forecast worse than by no change, s1 / x.",
        ),
        ([-0.1, -0.2], "all 2 series are forecast worse than by no change, s1 / x and s0 / x."),
        (
            [-0.1, -0.2, -0.3, -0.4, 0.5],
            "4 of 5 series are forecast worse than by no change, most of all s3 / x, s2 / x and "
            "s1 / x.",
        ),
    ],
)
def test_words_name_where_it_fails(skills, said):
    new = series(-0.9).with_columns(item_id=pl.lit("new"), held_out=True)
    found = pl.concat([series(*skills), new])
    assert said in words({"naive": row(0.1, 0.01)}, found=found)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.8, "holds 80.0 % of the truth, about what it promises"),
        (0.6, "surer of themselves than they should be"),
        (0.9, "more cautious than they need to be"),
    ],
)
def test_words_judge_the_interval(share, said):
    assert said in words({"naive": row(0.1, 0.01)}, pooled={"model": {"coverage80": share}})


def test_words_count_the_attempts_and_name_what_is_not_known():
    text = words({"naive": row(0.1, 0.01)}, attempt=3, contamination={"unknown": ["org/base"]})
    assert "It is candidate 3 on this period, so the gate asks for more." in text
    assert "What its base model was trained on is not known" in text
    assert "candidate 1" not in words({"naive": row(0.1, 0.01)})


def test_words_name_what_stops_it_and_nothing_at_a_pass():
    checks = [
        {"name": f"check {n}", "outcome": outcome, "found": f"skill -{n}.0 %"}
        for n, outcome in enumerate(["PASS", *["FAIL"] * 5, "INCONCLUSIVE"])
    ]
    text = words({"naive": row(0.1, 0.01)}, outcome="FAIL", checks=checks)
    assert (
        "Checks of the gate that it fails: check 1 (skill -1.0 %), check 2 (skill -2.0 %) and "
        "check 3 (skill -3.0 %) and 2 more." in text
    )
    text = words({"naive": row(0.1, 0.01)}, outcome="INCONCLUSIVE", checks=checks)
    assert "Checks of the gate that stay open: check 6 (skill -6.0 %)." in text
    assert "Checks" not in words({"naive": row(0.1, 0.01)}, checks=checks[:1])


def test_words_escape_names():
    found = series(-0.1).with_columns(item_id=pl.lit("<script>alert(1)</script>"))
    own = {"candidate": {"naive": row(0.1, 0.01)}}
    html = words_section({"outcome": "PASS"}, {"skill": own}, found)
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_words_about_nothing_are_none():
    assert words_section({}, {}, series()) == ""
