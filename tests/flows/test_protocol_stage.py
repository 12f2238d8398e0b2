"""The protocol stage: it freezes before training, and training takes it along."""

import json
import shutil

import polars as pl
import pytest
from small_corpus import small_params

from flows import paths, protocol, train
from flows.checks import entries, load_stages
from toto_core.data.tables import shard_path
from toto_core.errors import DataError
from toto_core.evaluation.protocol import protocol_hash, revised_items


@pytest.fixture
def project(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "project")


def frozen(root):
    return json.loads((root / paths.PROTOCOL).read_text())


def test_protocol_stage_names_data_and_targets(project):
    before = frozen(project)
    assert before["seasonality"] == {"1h": 24}
    assert before["splits"]["test_origins"]["number"] == 6
    assert before["gate"]["margin"] == small_params().register_.margin
    targets = pl.read_parquet(project / paths.TARGETS)
    assert targets["item_id"].to_list() == ["a", "b", "c"]
    first = (project / paths.PROTOCOL).read_bytes(), (project / paths.TARGETS).read_bytes()
    summary = protocol.run(small_params(), project)
    assert (
        (project / paths.PROTOCOL).read_bytes(),
        (project / paths.TARGETS).read_bytes(),
    ) == first
    assert summary.text.startswith(f"protocol {protocol_hash(before)[:12]} for the targets of 3 ")


@pytest.mark.parametrize(("where", "is_target"), [("max", True), ("min", False)])
def test_protocol_stage_tells_revised_targets_from_a_revised_past(project, where, is_target):
    before, targets = frozen(project), pl.read_parquet(project / paths.TARGETS)
    shard = shard_path(project / paths.VALID, 0)
    table = pl.read_parquet(shard)
    time = getattr(table["timestamp"], where)()
    revised = (pl.col("item_id") == "b") & (pl.col("timestamp") == time)
    value = pl.when(revised).then(pl.col("value") + 1).otherwise("value")
    table.with_columns(value=value).write_parquet(shard)
    protocol.run(small_params(), project)
    after = frozen(project)
    assert before["data"]["valid_sha256"] != after["data"]["valid_sha256"]
    same = before["data"]["targets_sha256"] == after["data"]["targets_sha256"]
    assert same is not is_target
    found = revised_items(targets, pl.read_parquet(project / paths.TARGETS))
    assert found == (("b",) if is_target else ())


def test_protocol_stage_takes_the_season_that_is_asked_for(project):
    protocol.run(small_params(evaluate={"seasonality": 7}), project)
    assert frozen(project)["seasonality"] == {"1h": 7}
    assert frozen(project)["evaluate"]["seasonality"] == 7


def test_another_threshold_freezes_anew_and_trains_nothing():
    """DVC runs `protocol` again, and `train` only where the targets that it takes along differ."""
    stages = load_stages(paths.PARAMS.parent)
    assert {"register", "evaluate"} <= set(entries(stages["protocol"], "params"))
    assert paths.TARGETS.as_posix() in entries(stages["train"], "deps")
    assert paths.PROTOCOL.as_posix() not in entries(stages["train"], "deps")
    assert not {"register", "evaluate"} & set(entries(stages["train"], "params"))
    assert paths.PROTOCOL.as_posix() in entries(stages["register"], "deps")


def test_train_needs_a_frozen_protocol(project):
    (project / paths.PROTOCOL).unlink()
    with pytest.raises(
        DataError, match=r"reports/protocol\.json: unreadable, it must be frozen before training; "
    ):
        train.run(small_params(train={"max_steps": 1}), project)
    assert not (project / paths.CANDIDATE).exists()
