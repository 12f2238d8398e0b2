"""The settings of the repository's params.yaml, changed where a test wants it."""

from pathlib import Path

from toto_core.config import load_params
from toto_core.training.settings import TrainSettings

PARAMS = load_params(Path(__file__).parents[2] / "params.yaml")


def settings_with(*, normuon=None, **changes):
    values = PARAMS.train.model_dump()
    return TrainSettings.from_mapping(
        values | changes | {"normuon": values["normuon"] | (normuon or {})}
    )
