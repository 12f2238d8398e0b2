"""The register stage on a small project: verdict, card, evidence and attempts."""

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
from contract_tree import write_tree

from flows import register
from toto_core.config import load_params
from toto_core.errors import DataError, RegistryError
from toto_core.registry.fingerprint import folder_files

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("made"))


@pytest.fixture
def project(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "project"))


def read(root, name):
    return json.loads((root / "models/registry" / name).read_text())


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
        "evaluate.json",
        "ingest.json",
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


def test_register_counts_another_candidate_and_lowers_its_level(project):
    register.run(PARAMS, project)
    (project / "models/candidate/model.safetensors").write_bytes(b"other weights")
    register.run(PARAMS, project)
    verdict = read(project, "verdict.json")
    assert verdict["attempt"] == 2
    assert verdict["tests"]["naive"]["level"] == pytest.approx(0.025)


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
