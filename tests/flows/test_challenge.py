"""The candidate against the champion: what is compared, and what cannot be."""

import json
import shutil

import polars as pl
import pytest
from registry_project import NUM_ORIGINS, commit, write_candidate

from flows.challenge import _losses_of_candidate, challenge, challenge_command
from flows.promote import promote
from toto_core.errors import RegistryError


def test_challenge_compares_the_losses_at_all_newer_origins(held, capsys):
    write_candidate(held, 2, error=0.7)
    found = challenge(held)
    assert (found.outcome, found.champion, found.n) == ("PASS", "v0.1.0", NUM_ORIGINS)
    assert found.skill == pytest.approx(0.3)
    assert (found.h, found.num_series) == (1, 2)
    capsys.readouterr()
    assert challenge_command(held, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == found.to_json()
    assert challenge_command(held) == 0
    told = capsys.readouterr().out
    assert told.startswith("against v0.1.0: PASS, its error is 30.0 % lower than that of v0.1.0 at")


def test_champion_against_itself_is_a_tie_that_passes(held):
    found = challenge(held)
    assert found.outcome == "PASS"
    assert found.skill == pytest.approx(0, abs=1e-9)


def test_there_is_nothing_to_compare_with_before_the_first_champion(registered, capsys):
    assert challenge(registered) is None
    assert challenge_command(registered) == challenge_command(registered, as_json=True) == 0
    assert capsys.readouterr().out == "no champion yet: nothing to compare with\nnull\n"


def test_origins_that_a_model_has_seen_do_not_count(held):
    splits = json.loads((held / "data/splits.json").read_text())
    write_candidate(held, 2, error=0.7, stopped_by=splits["test_origins"][5])
    assert challenge(held).n == NUM_ORIGINS - 5
    write_candidate(held, 2, error=0.7, stopped_by="2030-01-01T00:00:00+00:00")
    found = challenge(held)
    assert found.outcome == "INCONCLUSIVE"
    assert found.reason == "0 origins that neither has seen, at least 2 are needed"


@pytest.mark.slow
def test_champion_forecasts_with_its_own_calibration(registered):
    write_candidate(registered, 1, shift=2.0)
    promote(registered)
    commit(registered)
    assert challenge(registered).skill > 0.1  # without it they are even
    kept = registered / "runs/champions/v0.1.0/calibration.json"
    assert kept.read_bytes() == (registered / "models/calibration.json").read_bytes()
    write_candidate(registered, 1, shift=-2.0)
    assert challenge(registered).skill > 0.1
    assert kept.read_bytes() != (registered / "models/calibration.json").read_bytes()
    assert "toto v0.2.0 is now champion" in promote(registered)  # another model by its calibration


def test_origins_that_the_champion_has_seen_do_not_count(registered):
    splits = json.loads((registered / "data/splits.json").read_text())
    write_candidate(registered, 1, stopped_by=splits["test_origins"][5])
    promote(registered)
    commit(registered)
    write_candidate(registered, 2, error=0.7)
    assert challenge(registered).n == NUM_ORIGINS - 5


def test_held_out_series_do_not_count(held):
    write_candidate(held, 2, error=0.8)
    path = held / "data/losses.parquet"
    losses = pl.read_parquet(path)
    unseen = losses.filter(pl.col("item_id") == "a").with_columns(
        item_id=pl.lit("unseen"), held_out=pl.lit(value=True), sql=100.0
    )
    of_seen = _losses_of_candidate(held)
    pl.concat([losses, unseen]).write_parquet(path)
    assert _losses_of_candidate(held).equals(of_seen)


def test_damaged_copy_of_the_champion_is_fetched_anew(held):
    found = challenge(held)
    copy = held / "runs/champions/v0.1.0/candidate/config.json"
    whole = copy.read_bytes()
    copy.write_text("{}")
    assert challenge(held) == found
    assert copy.read_bytes() == whole


def test_champion_whose_files_are_lost_cannot_be_compared_with(held):
    write_candidate(held, 2, error=0.7)
    shutil.rmtree(held / ".dvc/cache")
    found = challenge(held)
    assert found.outcome == "INCONCLUSIVE"
    assert found.reason.startswith("registry: models/candidate of v0.1.0 = not in DVC's cache and")


@pytest.mark.parametrize(("error", "noise", "code"), [(1.2, 0.05, 4), (1.0, 1.0, 5)])
def test_exit_code_tells_the_outcome(held, error, noise, code):
    write_candidate(held, 3, error=error, noise=noise)
    assert challenge_command(held) == code


@pytest.mark.parametrize(("tolerance", "outcome"), [(0.01, "INCONCLUSIVE"), (0.1, "PASS")])
def test_tolerance_is_that_of_the_verdict(held, tolerance, outcome):
    write_candidate(held, 2, error=1.0, noise=0.1, tolerance=tolerance)
    params = held / "params.yaml"  # whatever it says since
    params.write_text(params.read_text().replace("successor_loss: 0.01", "successor_loss: 0.9"))
    assert challenge(held).outcome == outcome


def test_challenge_refuses_data_that_are_not_those_of_the_lock(held):
    write_candidate(held, 2)
    splits = held / "data/splits.json"
    splits.write_text(splits.read_text() + "\n")
    commit_of_git_alone = r"challenge: data/splits\.json = [0-9a-f]{12}, dvc\.lock has [0-9a-f]{12}"
    with pytest.raises(RegistryError, match=commit_of_git_alone):
        challenge(held)
    commit(held)
    assert challenge(held) is not None
