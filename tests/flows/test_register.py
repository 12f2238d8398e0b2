"""The register stage on a small project: verdict, card, evidence and attempts."""

import json
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from contract_tree import write_tree

from flows import register
from toto_core.config import load_params
from toto_core.errors import DataError, RegistryError
from toto_core.registry.fingerprint import file_sha256, folder_files
from toto_core.registry.ledger import read_log

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("made"))


@pytest.fixture
def project(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "project"))


def read(root, name):
    return json.loads((root / "models/registry" / name).read_text())


def changed(path, **changes):
    """Change values of a JSON file, by dotted names with two underscores for the dot."""
    value = json.loads(path.read_text())
    for name, new in changes.items():
        *parts, last = name.split("__")
        inner = value
        for part in parts:
            inner = inner[part]
        inner[last] = new
    path.write_text(json.dumps(value))


def check(root, name):
    return next(row for row in read(root, "verdict.json")["checks"] if row["name"] == name)


def with_register(**changes):
    return PARAMS.model_copy(update={"register_": PARAMS.register_.model_copy(update=changes)})


def test_register_passes_a_good_model_and_keeps_the_evidence(project):
    summary = register.run(PARAMS, project)
    assert summary.text.startswith("PASS. The model is ")
    assert (
        read(project, "verdict.json")["outcome"] == read(project, "card.json")["outcome"] == "PASS"
    )
    evidence = project / "models/registry/evidence"
    original = project / "reports/metrics/evaluate.json"
    assert (evidence / "evaluate.json").read_bytes() == original.read_bytes()
    assert sorted(path.name for path in evidence.iterdir()) == [
        "attempts.json",
        "evaluate.json",
        "ingest.json",
        "protocol.json",
        "splits.json",
        "validate.json",
    ]
    text = (project / "models/registry/card.md").read_text()
    assert "not affiliated with Datadog" in text
    assert "\n## Weakest series\n" in text
    told = "none (6 of 6 items are distinctive enough to tell)"
    assert f"Overlap of the judged values with the training data: {told}." in text
    assert read(project, "card.json")["contamination"]["overlap"] == "none"
    assert "<script>" not in text


def test_register_keeps_the_card_of_each_verdict(project):
    register.run(PARAMS, project)
    (project / "models/candidate/model.safetensors").write_bytes(b"other weights")
    register.run(PARAMS, project)
    cards = sorted((project / "registry/cards").glob("*.json"))
    assert len(cards) == 2
    newest = read(project, "card.json")
    kept = {json.loads(card.read_text())["candidate_hash"] for card in cards}
    assert newest["candidate_hash"] in kept
    assert (project / "registry/cards" / f"{cards[0].stem}.md").is_file()
    assert newest["hashes"]["calibration"] == file_sha256(project / "models/calibration.json")
    assert {check["name"] for check in newest["checks"]} >= {"origins", "provenance"}


def test_register_finishes_with_a_fail(tmp_path):
    root = write_tree(tmp_path / "bad", model_noise=9.0, num_items=3)
    summary = register.run(PARAMS, root)
    assert summary.text.startswith("FAIL. The model is WORSE than no change")
    metrics = json.loads((root / "reports/metrics/register.json").read_text())
    assert metrics["outcome"] == "FAIL"
    assert metrics["fail"] > 0


def test_register_gives_the_same_bytes_again(project):
    register.run(PARAMS, project)
    before = folder_files(project)
    register.run(PARAMS, project)
    assert folder_files(project) == before


def test_register_counts_candidates_and_lowers_the_level_by_holm(project):
    """The first is useless, the second good: the third is held to half of the level."""
    losses = project / "data/losses.parquet"
    table = pl.read_parquet(losses)
    of_model = pl.col("forecaster") == "model"
    for number, factor in enumerate((9.0, 1.0, 1.0)):
        sql = pl.when(of_model).then(pl.col("sql") * factor).otherwise("sql")
        table.with_columns(sql=sql).write_parquet(losses)
        (project / "models/candidate/model.safetensors").write_bytes(b"weights %d" % number)
        register.run(PARAMS, project)
    verdict = read(project, "verdict.json")
    assert verdict["attempt"] == 3
    assert verdict["tests"]["naive"]["level"] == pytest.approx(0.025)
    assert check(project, "attempts")["reason"] == (
        "The significance level is divided by 2: 1 of the earlier ones are proven, so they do not "
        "count (Holm)."
    )
    first, second, third = read_log(project / "registry/attempts.jsonl")
    assert first["p_value"] > 0.99
    assert second["p_value"] == third["p_value"] < 0.025
    assert first["snapshot"] == third["snapshot"]


def test_register_fails_a_threshold_that_was_changed_after_training_and_counts_it(project):
    register.run(PARAMS, project)
    register.run(with_register(margin=0.0, min_item_wins=0.5), project)
    found = check(project, "frozen protocol")
    assert found["outcome"] == "FAIL"
    assert found["found"] == (
        "gate.margin = 0.0, 0.01 was frozen; gate.min_item_wins = 0.5, 0.6 was frozen"
    )
    assert read(project, "verdict.json")["outcome"] == "FAIL"
    assert read(project, "verdict.json")["attempt"] == 2
    register.run(PARAMS, project)
    assert read(project, "verdict.json")["attempt"] == 1
    assert len(read_log(project / "registry/attempts.jsonl")) == 2


def test_register_freezes_no_licences_and_no_batch_size(project):
    evaluate = PARAMS.evaluate.model_copy(update={"batch_size": 3})
    params = with_register(licences={"demo": "another"}).model_copy(update={"evaluate": evaluate})
    assert register.run(params, project).text.startswith("PASS")


@pytest.mark.parametrize(
    ("file", "changes", "found"),
    [
        (
            "reports/protocol.json",
            {"data__valid_sha256": "c"},
            f'data.valid_sha256 = "c", "{"a" * 64}" was frozen',
        ),
        (
            "reports/metrics/evaluate.json",
            {"seasonality": {"1h": 168}},
            "seasonality.1h = 168, 24 was frozen",
        ),
        (
            "reports/metrics/evaluate.json",
            {"baselines": ["naive", "drift", "seasonal_naive", "x"]},
            'baselines = ["drift", "naive", "seasonal_naive", "x"], ["drift", "naive", '
            '"seasonal_naive"] was frozen',
        ),
        ("data/splits.json", {"stride": 12}, "splits.stride = 12, 24 was frozen"),
        (
            "models/candidate/run.json",
            {"protocol_sha256": "0123456789abcdef"},
            "run.json says 0123456789ab",
        ),
    ],
)
def test_register_fails_what_is_not_as_it_was_frozen(project, file, changes, found):
    changed(project / file, **changes)
    register.run(PARAMS, project)
    assert check(project, "frozen protocol")["outcome"] == "FAIL"
    assert found in check(project, "frozen protocol")["found"]


def test_register_fails_targets_that_were_revised_after_training(project):
    path = project / "data/targets.parquet"
    table = pl.read_parquet(path)
    late = pl.DataFrame({"item_id": ["svc-09"], "sha256": ["3" * 16]})
    pl.concat([table.with_columns(sha256=pl.lit("2" * 16)), late]).write_parquet(path)
    register.run(PARAMS, project)
    found = check(project, "revised targets")
    assert (found["outcome"], found["found"]) == ("FAIL", "2 items: svc-01, svc-09")
    assert read(project, "verdict.json")["outcome"] == "FAIL"


def test_register_is_inconclusive_about_a_candidate_without_a_protocol(project):
    for name in ("protocol.json", "targets.parquet"):
        (project / "models/candidate" / name).unlink()
    assert register.run(PARAMS, project).text.startswith("INCONCLUSIVE")
    assert check(project, "frozen protocol")["found"] == "unknown"
    assert check(project, "revised targets")["found"] == "unknown"


def test_register_refuses_a_ledger_that_was_edited(project):
    register.run(PARAMS, project)
    path = project / "registry/attempts.jsonl"
    path.write_text(path.read_text().replace('"protocol": "', '"protocol": "0'))
    shutil.rmtree(project / "models/registry")
    with pytest.raises(RegistryError, match=r"attempts\.jsonl: line 1 = .* the line was edited"):
        register.run(PARAMS, project)
    assert not (project / "models/registry").exists()


@pytest.mark.parametrize(
    ("end", "outcome"), [("2026-02-14T00:00:00+00:00", "PASS"), ("2027-01-01T00:00:00Z", "FAIL")]
)
def test_register_asks_on_each_calendar_when_training_ended(project, end, outcome):
    changed(project / "models/candidate/run.json", training_ends={"1h": end, "1D": end})
    register.run(PARAMS, project)
    assert check(project, "provenance")["outcome"] == outcome
    if outcome == "FAIL":
        assert (
            "The newest 1D point tells of the time until 2027-01-01 00:00"
            in (check(project, "provenance")["reason"])
        )


def test_register_fails_a_model_of_other_splits(project):
    path = project / "data/splits.json"
    path.write_text(path.read_text() + "\n")
    assert register.run(PARAMS, project).text.startswith("FAIL")


def test_register_fails_a_model_that_has_seen_the_targets(project):
    path = project / "reports/metrics/evaluate.json"
    report = json.loads(path.read_text())
    report["contamination"] |= {"overlap": "found", "items": ["svc-01"]}
    path.write_text(json.dumps(report))
    assert register.run(PARAMS, project).text.startswith("FAIL")
    text = (project / "models/registry/card.md").read_text()
    assert "| unseen targets | FAIL | overlap: found (svc-01) | overlap: none |" in text
    assert "Overlap of the judged values with the training data: found (svc-01)." in text


def test_register_says_which_file_is_unreadable(project):
    path = project / "reports/metrics/evaluate.json"
    path.write_text("{")
    with pytest.raises(
        RegistryError, match=r"register: .*evaluate\.json = unreadable \(JSONDecode"
    ):
        register.run(PARAMS, project)
    path.write_text("[]")
    with pytest.raises(RegistryError, match=r"evaluate\.json = list, a JSON object is needed"):
        register.run(PARAMS, project)


def test_register_names_torn_losses(project):
    losses = project / "data/losses.parquet"
    losses.write_bytes(losses.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"losses\.parquet: \d+ bytes without the marks of a whole"):
        register.run(PARAMS, project)
