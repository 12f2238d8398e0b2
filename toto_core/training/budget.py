"""A limit of time turned into a number of steps, so that the schedule still ends where it should.

A run that is cut off by the clock never decays, and nobody can repeat it. So the first steps are
timed on a trial that is thrown away, and the run is given the steps that fit, schedule and all: it
is to the byte the run that ``train.max_steps`` with this number makes. The number is kept in
the run's scratch, and a run that was killed goes on with it.

The limit is a plan: where the machine becomes slower than it was during the trial, the run takes
longer, for the decay is worth more than the minutes.
"""

import copy
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import nn

from toto_core.errors import ConfigError
from toto_core.files import write_json
from toto_core.training.checkpoint import CheckpointStore
from toto_core.training.distributed import rank, told
from toto_core.training.settings import TrainSettings

_TRIAL_STEPS = 20
_WARM_UP_STEPS = 5  # of them, in which memory is taken and kernels are chosen
_RECORD = "budget.json"

Log = Callable[[Mapping[str, float | str]], None]
Trial = Callable[[nn.Module, TrainSettings, CheckpointStore, Log], object]
Clock = Callable[[], float]


def within_budget(
    model: nn.Module,
    settings: TrainSettings,
    store: CheckpointStore,
    *,
    trial: Trial,
    log: Log,
    clock: Clock = time.monotonic,
) -> TrainSettings:
    """Give ``settings`` the steps that fit into its ``max_minutes``, at most its ``max_steps``.

    Of several processes the clock of process 0 decides.

    Args:
        model: stays as it is; the trial is made with a copy.
        store: of the run; remembers the number.
        trial: trains a model as the settings say, into the store that it is given.
        log: called with ``max_steps``, the number, and a ``message`` on it.
        clock: seconds.

    Raises:
        ConfigError: if not a single step fits.
    """
    if settings.max_minutes is None or not settings.max_steps:
        return settings
    known = told(_recorded(store) if rank() == 0 else None)
    if known is None:
        known = told(_fitting_steps(model, settings, store, trial, clock))
        if rank() == 0:
            store.directory.mkdir(parents=True, exist_ok=True)
            write_json(store.directory / _RECORD, {"max_steps": known})
    if known < 1:
        raise ConfigError(
            f"train: max_minutes = {settings.max_minutes:g}, more is needed for a single step; "
            "raise it"
        )
    log(
        {
            "max_steps": known,
            "message": f"train: {known} of {settings.max_steps} steps fit into max_minutes = "
            f"{settings.max_minutes:g}; max_steps: {known} without it gives the same bytes",
        }
    )
    return replace(settings, max_steps=known)


def _recorded(store: CheckpointStore) -> int | None:
    try:
        text = (store.directory / _RECORD).read_text(encoding="utf-8")
        return int(json.loads(text)["max_steps"])
    except (OSError, ValueError, KeyError):
        return None


def _fitting_steps(
    model: nn.Module, settings: TrainSettings, store: CheckpointStore, trial: Trial, clock: Clock
) -> int:
    """Train a copy for a moment, and count what fits into the time that is left."""
    assert settings.max_minutes is not None
    ends = [clock()]
    scratch = CheckpointStore(store.directory / "trial", interval_s=math.inf)
    # Validated once, after the last step.
    brief = replace(settings, max_steps=_TRIAL_STEPS, validate_every=_TRIAL_STEPS)

    def note(record: Mapping[str, object]) -> None:
        if "step" in record:
            ends.append(clock())

    trial(copy.deepcopy(model), brief, scratch, note)
    if rank() == 0:
        scratch.remove()
    step_s = (ends[-2] - ends[_WARM_UP_STEPS]) / (len(ends) - 2 - _WARM_UP_STEPS)
    validation_s = max(0.0, ends[-1] - ends[-2] - step_s)
    warm_up_s = ends[_WARM_UP_STEPS] - ends[0]  # comes again
    left_s = 60 * settings.max_minutes - (clock() - ends[0]) - warm_up_s
    return min(settings.max_steps, int(left_s / (step_s + validation_s / settings.validate_every)))
