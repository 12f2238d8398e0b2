"""The page as a whole: its order, its safety, its size and its bytes."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from contract_tree import NASTY

from flows import register, report
from toto_core.config import load_params

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Outline(HTMLParser):
    """Tags, attributes and headings; unclosed or crossed tags are recorded."""

    def __init__(self):
        super().__init__()
        self.open, self.crossed, self.tags, self.titles = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.crossed.append(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] in ("h1", "h2"):
            self.titles.append(data)


@pytest.fixture(scope="module")
def project(tree, tmp_path_factory):
    root = Path(shutil.copytree(tree, tmp_path_factory.mktemp("page") / "project"))
    register.run(PARAMS, root)
    report.run(PARAMS, root)
    return root


@pytest.fixture(scope="module")
def html(project):
    return (project / "reports/index.html").read_text()


@pytest.fixture(scope="module")
def outline(html):
    parser = Outline()
    parser.feed(html)
    return parser


def test_page_opens_with_the_headline_and_keeps_the_order(outline, project):
    headline = json.loads((project / "reports/metrics/evaluate.json").read_text())["headline"]
    assert outline.titles == [
        headline.replace(" %", "\N{NARROW NO-BREAK SPACE}%"),
        "In words",
        "Is it better?",
        "The gate",
        "Was it a fair trial?",
        "Was it better all the time?",
        "How far ahead?",
        "At what time of day?",
        "Do the quantiles hold?",
        "What it forecasts",
        "Where it works, where it fails",
        "In other measures",
        "How it learned",
        "What was set aside",
        "The data",
        "The record",
        "Make it again",
        "Limits",
    ]


def test_page_is_well_formed(outline):
    assert outline.open == []
    assert outline.crossed == []


def test_page_asks_for_nothing_from_elsewhere(html, outline):
    names = [tag for tag, _ in outline.tags]
    assert not set(names) & {"link", "img", "iframe", "object", "embed", "base"}
    assert names.count("script") == 1
    assert not [a for _, attrs in outline.tags for a in attrs if a in ("src", "onload")]
    links = [attrs["href"] for _, attrs in outline.tags if "href" in attrs]
    assert links == ["validation.html"]  # beside it, followed by the reader alone
    assert not re.search(r"url\(|@import|https?://", html)
    assert len(html.encode()) < 1_000_000


def test_page_allows_its_own_script_and_no_request(html, outline):
    (policy,) = [a["content"] for tag, a in outline.tags if tag == "meta" and "http-equiv" in a]
    script = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert not re.search(r"fetch|XMLHttp|import|src|innerHTML", script)


def test_page_escapes_names_and_values(html):
    assert NASTY not in html
    assert "<b>12</b>" not in html
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; co" in html


def test_page_describes_each_chart_in_words(outline):
    charts = [attrs for tag, attrs in outline.tags if tag == "svg" and attrs.get("role") == "img"]
    skill = 3 * 3 + 2 + 3 * 5  # test sets, variates, parts in time
    over_time = 3 + 2 + 2  # loss differentials, steps, hours
    quantiles, fans, rest = 3, 12 + 4, 1 + 1 + 2 + 1  # spread of series, loss, augmentations, time
    assert len(charts) == skill + over_time + quantiles + fans + rest
    assert all(len(attrs["aria-label"]) > 20 for attrs in charts)
    hidden = [attrs for tag, attrs in outline.tags if tag == "svg" and "role" not in attrs]
    assert all("aria-hidden" in attrs or "track" in attrs.get("class", "") for attrs in hidden)


def test_page_names_the_columns_and_rows_of_its_tables(outline):
    scopes = [attrs.get("scope") for tag, attrs in outline.tags if tag == "th"]
    assert set(scopes) == {"col", "row"}


def test_page_shows_parameters_hashes_and_quarantine(html, project):
    card = json.loads((project / "models/registry/card.json").read_text())
    for text in (
        card["snapshot"],
        card["hashes"]["splits"],
        "max_mask_rate",
        "duplicate timestamp",
    ):
        assert text in html
    assert "all 312 values are 0" in html
    assert "too short" not in html


def test_page_says_whether_training_saw_the_targets_and_how_many_copies_there_are(html):
    said = "in the training data: none (6 of 6 items are distinctive enough to tell)."
    assert f"Values of the test period {said}" in html
    assert "<dt>pairs of near duplicates</dt><dd>3</dd>" in html


def test_page_is_the_same_bytes_again(project, html):
    report.run(PARAMS, project)
    assert (project / "reports/index.html").read_text() == html


def test_page_says_fail_and_lists_failed_checks_first(project, tmp_path):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    path = root / "models/registry/verdict.json"
    verdict = json.loads(path.read_text())
    verdict["outcome"] = verdict["checks"][-1]["outcome"] = "FAIL"
    verdict["headline"] = "WORSE than no change: its error is 6.1 times as large."
    path.write_text(json.dumps(verdict))
    report.run(PARAMS, root)
    html = (root / "reports/index.html").read_text()
    assert html.index("6.1 times") < html.index('class="badge fail"')
    name, total = verdict["checks"][-1]["name"], len(verdict["checks"])
    assert f"1 of {total} checks failed: {name}. Nothing is promoted." in html
    checks = html[html.index('<ul class="checks">') :]
    assert checks.index(f"<b>{name.capitalize()}</b>") < checks.index("<b>Complete forecasts</b>")


def test_page_of_a_pass_with_a_losing_variate_is_no_unqualified_win(project, tmp_path):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    path = root / "reports/metrics/evaluate.json"
    evaluate, but = json.loads(path.read_text()), "Not on requests: 1.5 % worse than no change."
    evaluate["caveat"] = but
    loss = {"skill": -0.015, "lower": -0.05, "upper": 0.02, "p_value": 0.8, "outcome": "ok"}
    evaluate["skill_by_variate"]["requests"]["naive"] |= loss
    evaluate["by_variate"]["requests"]["model"]["mase"] = 1.12
    evaluate["by_variate"]["requests"]["naive"]["mase"] = 1.0
    path.write_text(json.dumps(evaluate))
    path = root / "models/registry/verdict.json"
    verdict = json.loads(path.read_text())
    verdict["headline"] += f" {but}"
    path.write_text(json.dumps(verdict))
    report.run(PARAMS, root)
    html = (root / "reports/index.html").read_text().replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert '<em class="but">Not on requests: 1.5 % worse than no change.</em></h1>' in html
    assert "may be promoted. For requests no change serves as well." in html
    fact = "<dt>on requests, the worst of 2 variates, against no change</dt><dd>"
    assert f"{fact}\N{MINUS SIGN}1.5 %</dd>" in html
    by_variate = html[html.index("<h3>By variate, against no change: better on 1 of 2</h3>") :]
    assert by_variate.index(">requests<") < by_variate.index(">cpu<")
    table = html[html.index("<caption>Skill of each variate</caption>") :]
    row = table[table.index('<th scope="row">requests</th>') :].split("</tr>")[0]
    assert re.findall(r">(\S+ %)</td>", row)[0] == "\N{MINUS SIGN}1.5 %"
    assert "\N{MINUS SIGN}12.0 %" in row
    assert "<caption>Seen series, requests alone;" in html


def test_page_of_one_variate_has_no_part_by_variate(project, tmp_path):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    path = root / "reports/metrics/evaluate.json"
    evaluate = json.loads(path.read_text())
    del evaluate["skill_by_variate"]["cpu"]
    path.write_text(json.dumps(evaluate))
    report.run(PARAMS, root)
    html = (root / "reports/index.html").read_text()
    assert "By variate" not in html
    assert "Skill of each variate" not in html
    assert " alone;" not in html
    assert "variates" not in html[: html.index("Is it better?")]


def test_page_of_many_variates_draws_the_worst_and_lists_all(project, tmp_path):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    path = root / "reports/metrics/evaluate.json"
    evaluate = json.loads(path.read_text())
    one = evaluate["skill_by_variate"].pop("cpu")
    evaluate["skill_by_variate"] = {
        f"v{n:02d}": one | {"naive": one["naive"] | {"skill": n / 100}} for n in range(11)
    }
    path.write_text(json.dumps(evaluate))
    report.run(PARAMS, root)
    html = (root / "reports/index.html").read_text()
    drawn = re.findall(r'<span class="name">(v\d\d)</span>', html)
    assert drawn == [f"v{n:02d}" for n in range(8)]
    assert "The 3 with the highest skill are in the table." in html
    assert html.count('<th scope="row">v10</th>') == 1


def test_page_survives_a_model_that_nothing_is_known_of(project, tmp_path):
    root = Path(shutil.copytree(project, tmp_path / "p"))
    metrics = root / "reports/metrics"
    for stage in ("evaluate", "train", "augment", "validate"):
        (metrics / f"{stage}.json").write_text("{}")
    losses = pl.read_parquet(root / "data/losses.parquet")
    losses.head(0).write_parquet(root / "data/losses.parquet")
    (root / "reports/plots/loss.csv").write_text("step,loss,val_loss\n")
    (root / "reports/plots/augmentation.csv").write_text("augmentation,step,before,after\n")
    (root / "reports/plots/horizon.csv").write_text("step,forecaster,mase\n")
    for name in ("rows", "series"):
        quarantine = root / f"data/quarantine/{name}.parquet"
        pl.read_parquet(quarantine).head(0).write_parquet(quarantine)
    report.run(PARAMS, root)
    assert "Nothing was judged." in (root / "reports/index.html").read_text()
