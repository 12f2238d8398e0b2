"""Anything that forecasts is judged by the same code, and nothing that is wrong goes unnamed."""

import hashlib
import json
import re
import shutil
import sys
from datetime import timedelta
from html import escape

import polars as pl
import pytest
import yaml
from judged_project import CONTEXT, NUM_ORIGINS, PARAMS, SEASON, H, Z, write_project

from flows import judge as judge_flow
from flows import paths
from flows.judge import EXIT_CODES, judge_command
from flows.subjects import plain
from toto_core.errors import ConfigError, DataError

LEVELS = [f"q{level / 10:g}" for level in range(1, 10)]
MODULE = """
import numpy as np
Z = np.array({z})

def seasonal(contexts, *, prediction_length):
    answers = []
    for x in contexts:
        phases = [(x.shape[1] + h) % {s} for h in range(prediction_length)]
        ahead = [np.nanmean(x[:, phase :: {s}], 1) for phase in phases]
        answers.append(np.stack(ahead, -1)[:, None] + Z[:, None])
    return answers

def last(contexts, *, prediction_length):
    return [np.repeat(x[:, -1:, None], prediction_length, 2) + Z[:, None] for x in contexts]

nothing = 7
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    root = tmp_path_factory.mktemp("project")
    write_project(root, constant=("flat",))
    values = PARAMS.model_dump(mode="json", by_alias=True)
    values["split"]["prediction_length"] = H
    values["model"]["context_length"] = CONTEXT
    values["evaluate"] |= {"seasonality": SEASON, "naive_window": 100}
    values["register"] |= {"min_origins": 30, "max_coverage_error": 0.1, "coverage": [0.7, 0.9]}
    (root / paths.PARAMS).write_text(yaml.safe_dump(values))
    (root / "my_forecaster.py").write_text(MODULE.format(z=list(Z), s=SEASON))
    return root


@pytest.fixture
def project(template, tmp_path):
    return shutil.copytree(template, tmp_path / "project")


def run(root, **changes):
    given = {"forecaster": None, "quantiles": None, "model": None, "name": None}
    return judge_command(root, **(given | {"is_recorded": False} | changes))


def found_in(root, name):
    folder = root / paths.JUDGED / name
    return tuple(
        json.loads((folder / f"{part}.json").read_text()) for part in ("verdict", "evaluate")
    )


@pytest.fixture(scope="module")
def own_forecasts(template, tmp_path_factory):
    """The quantiles of the seasonal forecaster, as somebody would hand them in."""
    root = shutil.copytree(template, tmp_path_factory.mktemp("own") / "project")
    run(root, forecaster="my_forecaster:seasonal", name="own")
    sys.modules.pop("my_forecaster")
    table = pl.read_parquet(root / paths.JUDGED / "own" / "forecasts.parquet")
    quantiles = {name: pl.col("model").arr.get(k) for k, name in enumerate(LEVELS)}
    return table.select("item_id", "variate", "origin", "step", "target", **quantiles)


def test_a_callable_is_judged_by_the_gate(project, capsys):
    code = run(project, forecaster="my_forecaster:seasonal")
    verdict, evaluation = found_in(project, "my_forecaster-seasonal")
    out = capsys.readouterr().out
    assert code == EXIT_CODES[verdict["outcome"]]
    assert evaluation["skill"]["candidate"]["naive"]["skill"] > 0.1
    assert out.startswith(f"{verdict['outcome']}. Better than no change")
    for words in ("against no change", "against drift", "against seasonal naive"):
        assert words in out
    names = {check["name"] for check in verdict["checks"]}
    assert not names & set(judge_flow.OF_TRAINING)
    assert set(judge_flow.OF_TRAINING) <= {claim["name"] for claim in verdict["claims"]}


def test_a_callable_without_skill_fails_with_its_own_exit_code(project):
    assert run(project, forecaster="my_forecaster:last") == EXIT_CODES["FAIL"] == 4


def test_nothing_but_its_own_folder_is_touched(project):
    def hashes():
        files = [path for path in project.rglob("*") if path.is_file()]
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    before = hashes()
    run(project, forecaster="my_forecaster:seasonal", name="own")
    after = {k: v for k, v in hashes().items() if "__pycache__" not in k and ".lock" not in k}
    new = set(after) - set(before)
    assert {k: after[k] for k in before} == before
    assert all(path.startswith(str(project / paths.JUDGED / "own")) for path in new)


def test_the_same_forecasts_from_a_file_get_the_same_verdict(project, own_forecasts):
    own_forecasts.drop("target").write_parquet(project / "theirs.parquet")
    run(project, forecaster="my_forecaster:seasonal", name="own")
    run(project, quantiles=project / "theirs.parquet")
    own, theirs = found_in(project, "own"), found_in(project, "theirs")
    assert theirs[0] == own[0]
    assert theirs[1]["skill"] == own[1]["skill"]
    assert theirs[1]["faults"] == []


def as_list(table):
    return table.with_columns(quantiles=pl.concat_list(LEVELS)).drop(LEVELS)


def as_long(table):
    long = table.unpivot(LEVELS, index=["item_id", "variate", "origin", "step"], variable_name="q")
    return long.with_columns(level=pl.col("q").str.slice(1).cast(pl.Float64)).drop("q")


def as_naive_times(table):
    return table.with_columns(pl.col("origin").dt.replace_time_zone(None)).drop("variate")


@pytest.mark.parametrize("form", [as_list, as_long, as_naive_times])
def test_every_form_of_file_says_the_same(project, own_forecasts, form):
    for name, table in (("plain", own_forecasts), ("other", form(own_forecasts))):
        table.write_parquet(project / f"{name}.parquet")
        run(project, quantiles=project / f"{name}.parquet")
    (verdict, evaluation), (other_verdict, other) = (
        found_in(project, name) for name in ("plain", "other")
    )
    assert verdict == other_verdict
    assert evaluation | {"contamination": other["contamination"]} == other


def faults_of(root, table):
    table.write_parquet(root / "bad.parquet")
    code = run(root, quantiles=root / "bad.parquet")
    verdict, evaluation = found_in(root, "bad")
    return code, verdict, evaluation["faults"]


def first_origin(table):
    return table["origin"].min()


@pytest.mark.parametrize(
    ("spoil", "fault", "number"),
    [
        pytest.param(
            lambda t: t.filter(~((pl.col("item_id") == "a") & (pl.col("step") == 3))),
            "missing forecasts",
            NUM_ORIGINS,
            id="a step of each origin",
        ),
        pytest.param(
            lambda t: t.filter(
                ~((pl.col("item_id") == "a") & (pl.col("origin") == first_origin(t)))
            ),
            "missing forecasts",
            1,
            id="an origin",
        ),
        pytest.param(
            lambda t: t.with_columns(
                pl.when(pl.col("item_id") == "a").then(pl.lit(9e9)).otherwise("q0.2").alias("q0.2")
            ),
            "crossing quantiles",
            NUM_ORIGINS,
            id="crossing",
        ),
        pytest.param(
            lambda t: t.with_columns(
                pl.when(pl.col("item_id") == "a").then(None).otherwise("q0.2").alias("q0.2")
            ),
            "quantiles that are not finite",
            NUM_ORIGINS,
            id="not finite",
        ),
    ],
)
def test_what_is_no_forecast_fails_and_is_named(project, own_forecasts, spoil, fault, number):
    code, verdict, faults = faults_of(project, spoil(own_forecasts.drop("target")))
    assert code == EXIT_CODES["FAIL"]
    first = first_origin(own_forecasts).isoformat()
    assert faults == [
        {"fault": fault, "item_id": "a", "variate": "load", "num_origins": number, "first": first}
    ]
    check = next(c for c in verdict["checks"] if c["name"] == "complete forecasts")
    assert check["outcome"] == "FAIL"
    assert check["found"] == f"{number} of 120 forecasts missing or not finite"
    assert "a/load" in check["reason"]


def test_a_forecast_of_other_origins_is_named_and_judges_nothing(project, own_forecasts):
    shifted = own_forecasts.filter(pl.col("item_id") == "a").with_columns(
        pl.col("origin") + timedelta(hours=1)
    )
    _, verdict, faults = faults_of(project, pl.concat([own_forecasts, shifted]))
    assert [(f["fault"], f["item_id"], f["num_origins"]) for f in faults] == [
        ("origins that are not judged", "a", NUM_ORIGINS)
    ]
    check = next(c for c in verdict["checks"] if c["name"] == "complete forecasts")
    assert check["outcome"] == "PASS"


def test_series_that_the_project_does_not_know_are_named(project, own_forecasts):
    stranger = own_forecasts.filter(pl.col("item_id") == "a").with_columns(item_id=pl.lit("zz"))
    _, _, faults = faults_of(project, pl.concat([own_forecasts, stranger]))
    assert [(f["fault"], f["item_id"]) for f in faults] == [("unknown series", "zz")]


def test_revised_targets_are_left_out_for_all_and_leave_the_verdict_open(project, own_forecasts):
    revised = pl.when(pl.col("item_id") == "a").then(pl.col("target") + 1).otherwise("target")
    code, verdict, faults = faults_of(project, own_forecasts.with_columns(target=revised))
    assert code == EXIT_CODES["INCONCLUSIVE"]
    assert [(f["fault"], f["item_id"], f["num_origins"]) for f in faults] == [
        ("revised targets", "a", NUM_ORIGINS)
    ]
    check = next(c for c in verdict["checks"] if c["name"] == "exclusions")
    assert check["outcome"] == "INCONCLUSIVE"
    assert "a/load" in check["reason"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            lambda t: t.drop("q0.3", "q0.9"),
            r"bad.parquet: q0.3, q0.9 = no such level among q0.1, q0.2, q0.4, .* forecast these",
            id="levels",
        ),
        pytest.param(
            lambda t: as_list(t).with_columns(pl.col("quantiles").list.head(7)),
            r"bad.parquet: quantiles = lists of 7, lists of 9 at the levels 0.1 to 0.9 are needed",
            id="length of the lists",
        ),
        pytest.param(
            lambda t: pl.concat([t, t.head(3)]),
            r"bad.parquet: 3 of \d+ rows stand twice, one for each item, variate",
            id="twice",
        ),
        pytest.param(
            lambda t: t.rename({"origin": "cutoff"}),
            r"bad.parquet: origin = no such column among item_id, variate, cutoff, .* rename or",
            id="column",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(project, own_forecasts, spoil, message):
    spoil(own_forecasts).write_parquet(project / "bad.parquet")
    with pytest.raises(DataError, match=message):
        run(project, quantiles=project / "bad.parquet")
    assert not (project / paths.JUDGED).exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"judge: --forecaster, --quantiles, --model = none, exactly one of them"),
        ({"forecaster": "a:b", "model": "c"}, r"= a:b, c, exactly one of them is needed"),
        ({"forecaster": "my_forecaster"}, r"= my_forecaster, module:function is needed"),
        ({"forecaster": "no_such:thing"}, r"no_such:thing, a module that can be imported is"),
        ({"forecaster": "my_forecaster:nothing"}, r"nothing of my_forecaster is none; mend it"),
        ({"model": "nowhere"}, r"judge: --model = 'nowhere', no such directory is there and"),
    ],
)
def test_a_forecaster_that_is_not_there_is_wrong_use(project, given, message):
    with pytest.raises(ConfigError, match=message):
        run(project, **given)


def test_a_recorded_attempt_counts_once_and_lowers_the_level_of_the_next(project):
    for _ in range(2):
        run(project, forecaster="my_forecaster:last", name="one", is_recorded=True)
    log = project / paths.ATTEMPTS
    assert len(log.read_text().splitlines()) == 1
    run(project, forecaster="my_forecaster:seasonal", name="two")
    assert len(log.read_text().splitlines()) == 1
    verdict, _ = found_in(project, "two")
    assert verdict["attempt"] == 2
    assert verdict["tests"]["naive"]["level"] == pytest.approx(0.05 / 2 / 2)  # below 60 origins


def test_a_model_directory_is_judged(project):
    from toto_core.model import SIZES, Toto2  # noqa: PLC0415
    from toto_core.model.sizes import for_context  # noqa: PLC0415

    Toto2(for_context(SIZES["nano"], CONTEXT), seed=0).save_pretrained(project / "their-model")
    code = run(project, model="their-model")
    verdict, evaluation = found_in(project, "their-model")
    assert code == EXIT_CODES[verdict["outcome"]]
    assert evaluation["pooled"]["model"]["mase"] > 0


def test_the_name_of_a_folder_is_plain():
    assert plain("Datadog/Toto 2:x") == "Datadog-Toto-2-x"
    assert plain("../..") == "unnamed"


def test_a_page_shows_the_judgement_alone(project):
    run(project, forecaster="my_forecaster:seasonal", name="own")
    page = (project / paths.JUDGED / "own" / "index.html").read_text()
    verdict, _ = found_in(project, "own")
    assert f"<title>{verdict['outcome']}: {escape(verdict['headline'])}" in page
    assert page.count("<h2") >= 6
    for absent in ("How it was trained", "None", "nan"):
        assert f">{absent}<" not in page
    # Nobody knows what somebody else's model was trained on, and it is no candidate.
    for untrue in ("past it was trained on", "promoted", "base model"):
        assert untrue not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    assert "On the seen series, the model" in page
