"""What a training run shows while it runs: a bar on a terminal, lines elsewhere, and tracking."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

_TRACKED_STEPS = 500  # of a run, besides those with a validation

_BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{remaining} left{postfix}]"

Track = Callable[[Mapping[str, float], int], None]

_log = logging.getLogger(__name__)


@contextmanager
def shown(
    name: str, *, max_steps: int, every: int, track: Track
) -> Iterator[Callable[[Mapping[str, float | str]], None]]:
    """Yield what the training loop calls after each step.

    On a terminal a bar shows loss, points/s and time left; elsewhere a line does so after each
    ``every`` steps, which is where a line for each validation comes from. Where the run has told
    its operations (``flops_per_step``) and those that the machine could do (``matrix_rate``, per
    second), the share that was used is shown as MFU.
    """
    on_terminal = sys.stderr.isatty()
    bar = tqdm(total=max_steps, desc=name, disable=not on_terminal, bar_format=_BAR)
    with logging_redirect_tqdm(), bar:
        clock, facts = _Clock(), {"max_steps": float(max_steps)}

        def show(record: Mapping[str, float | str]) -> None:
            if "message" in record:
                _log.info(record["message"])
            values = {key: float(value) for key, value in record.items() if key != "message"}
            if "step" not in values:
                facts.update(values)
                bar.total = int(facts["max_steps"])
                return
            step, last = int(values.pop("step")), int(facts["max_steps"])
            values["points_per_s"] = clock.rate(values.pop("points"))
            if "matrix_rate" in facts:
                per_s = clock.steps_per_s() * facts["flops_per_step"]
                values["mfu"] = per_s / facts["matrix_rate"]
            bar.set_postfix_str(_short(values), refresh=False)
            bar.update(step - bar.n)
            is_due = step % every == 0 or step == last
            if is_due and not on_terminal:
                left_s = clock.seconds_left(step, last)
                _log.info(f"{name}: step {step}/{last}, {_short(values)}, {left_s:.0f} s left")
            if is_due or "val_loss" in values or step % -(-last // _TRACKED_STEPS) == 0:
                track(values, step)

        yield show


class _Clock:
    """Speed since the first step that it saw; that one pays for warming up and is left out."""

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._steps = 0
        self._points = 0.0

    def rate(self, points: float) -> float:
        """Count a step of ``points`` points; return points per second."""
        if self._start_s is None:
            self._start_s = time.monotonic()
            return 0.0
        self._steps += 1
        self._points += points
        return self._points / max(time.monotonic() - self._start_s, 1e-9)

    def steps_per_s(self) -> float:
        """Steps per second; 0 while it is not known."""
        if self._start_s is None or not self._steps:
            return 0.0
        return self._steps / max(time.monotonic() - self._start_s, 1e-9)

    def seconds_left(self, step: int, last: int) -> float:
        """Seconds to the last step at the speed so far; 0 while it is not known."""
        speed = self.steps_per_s()
        return (last - step) / speed if speed else 0.0


def _short(values: Mapping[str, float]) -> str:
    parts = [f"loss {values['loss']:.4f}"]
    if "val_loss" in values:
        parts.append(f"validation {values['val_loss']:.4f}")
    parts.append(f"{values['points_per_s'] / 1e6:.2f}M points/s")
    if "mfu" in values:
        parts.append(f"MFU {values['mfu']:.1%}")
    return ", ".join(parts)
