"""Items and splits that a test can place in time by hand."""

from datetime import UTC, datetime, timedelta

import numpy as np

from toto_core.config import SplitParams
from toto_core.data.frequency import parse_freq
from toto_core.data.origins import make_splits, survey
from toto_core.data.splits import to_us
from toto_core.data.tables import KNOWN_COVARIATE, TARGET, Item

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def params(**changes):
    values = {
        "scheme": "rolling",
        "prediction_length": 4,
        "stride": 2,
        "num_test_origins": 3,
        "num_validation_origins": 2,
        "test_end": None,
        "min_context": 5,
        "held_out_share": 0.0,
        "num_folds": 2,
    }
    return SplitParams(**values | changes)


def item(name="a", *, length=60, start=START, freq="1h", group=None, timestamps=None, values=None):
    if timestamps is None:
        step = parse_freq(freq).interval_us
        timestamps = to_us(start) + step * np.arange(length, dtype=np.int64)
    if values is None:
        values = np.ones((1, len(timestamps)), np.float32)
    return Item(
        item_id=name,
        freq=freq,
        group=group or name,
        source="test",
        timestamps=np.asarray(timestamps, np.int64),
        values=values,
        variates=tuple(f"v{n}" for n in range(len(values))),
        roles=(TARGET, *[KNOWN_COVARIATE] * (len(values) - 1)),
    )


def split(*items, **changes):
    return make_splits(survey(items), params(**changes))
