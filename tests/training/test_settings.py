"""The settings of a run are the train section of params.yaml, no more and no less."""

from dataclasses import fields

from toto_core.config import TrainParams
from toto_core.training.settings import TrainSettings


def test_settings_have_the_fields_of_the_params():
    assert [field.name for field in fields(TrainSettings)] == list(TrainParams.model_fields)
