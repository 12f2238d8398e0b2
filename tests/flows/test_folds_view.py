"""``toto data folds`` counts what purged folds leave to train on, and refuses too little."""

import numpy as np
import pytest
from test_split import write_valid

from flows import paths
from flows.folds_view import folds_text
from toto_core.data.folds import even_cuts, purged_kfold
from toto_core.errors import ConfigError, DataError


@pytest.fixture
def project(tmp_path):
    """Windows of 96 + 24 steps each 24 steps: 17 of the long item, 7 of the short one."""
    write_valid(tmp_path, {"long": 504, "short": 264})
    text = paths.PARAMS.read_text()
    for before, after in (("context_length: 512", "context_length: 96"),):
        assert before in text
        text = text.replace(before, after)
    (tmp_path / paths.PARAMS).write_text(text)
    return tmp_path


def test_folds_are_listed_with_what_they_leave(project):
    lines = folds_text(project, num_folds=4, num_test_folds=1, embargo=0).splitlines()
    origins = [np.arange(96, 481, 24), np.arange(336, 481, 24)]
    expected = purged_kfold(origins, even_cuts(origins, 4), context_length=96, prediction_length=24)
    for line, sets in zip(lines[1:5], expected, strict=True):
        judged, kept = sets.num_test, sets.num_train
        assert line.split()[:4] == [
            str(sets.groups[0]),
            str(judged),
            str(kept),
            str(24 - judged - kept),
        ]
        assert ("refuse" in line) == (kept < 12)
    assert lines[-2] == f"24 windows, 4 fits, 1 paths, {str(lines).count('refuse:')} fits to refuse"
    assert lines[-1].startswith("a diagnostic: the pipeline trains and judges by the rolling")


def test_an_empty_training_set_is_told(project):
    text = folds_text(project, num_folds=4, num_test_folds=3, embargo=0)
    assert "refuse: nothing to train on" in text
    assert "24 windows, 4 fits, 3 paths, 4 fits to refuse" in text


def test_an_embargo_takes_more_away(project):
    def kept(embargo):
        lines = folds_text(project, num_folds=4, num_test_folds=1, embargo=embargo).splitlines()
        return [int(line.split()[2]) for line in lines[1:5]]

    assert sum(kept(48)) < sum(kept(0))


def test_folds_that_cannot_be_are_refused(project):
    with pytest.raises(ConfigError, match=r"num_test_folds = 5, 1 to 3 of 4 folds are allowed"):
        folds_text(project, num_folds=4, num_test_folds=5, embargo=0)
    path = project / paths.PARAMS
    path.write_text(path.read_text().replace("context_length: 96", "context_length: 512"))
    with pytest.raises(DataError) as caught:
        folds_text(project, num_folds=4, num_test_folds=1, embargo=0)
    assert str(caught.value) == (
        "folds: whole windows = 0 of 2 items, at least 1 of model.context_length + "
        "split.prediction_length = 536 steps is needed; lower these or give more history"
    )
