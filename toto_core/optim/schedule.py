"""The learning rate over a run (arXiv 2605.20119 section 4.2: warm-up, constant, linear decay)."""

import math

from toto_core.training.settings import TrainSettings


def learning_rate_factor(step: int, settings: TrainSettings) -> float:
    """Give the share of the peak rate at ``step``, counted from 0, by ``settings.schedule``."""
    if settings.schedule == "cosine":
        return cosine_factor(step, max_steps=settings.max_steps, warmup_share=settings.warmup_share)
    return wsd_factor(
        step,
        max_steps=settings.max_steps,
        warmup_share=settings.warmup_share,
        decay_share=settings.decay_share,
    )


def wsd_factor(step: int, *, max_steps: int, warmup_share: float, decay_share: float) -> float:
    """Give the share of the peak rate at ``step``: warm-up, constant, linear decay.

    Rises linearly over the first ``warmup_share`` of the run, reaching 1 at the end of the
    warm-up, and falls linearly over the last ``decay_share``, so that it would be 0 at
    ``max_steps``. Where the two overlap, the smaller one counts.
    """
    decay_steps = round(decay_share * max_steps)
    fall = (max_steps - step) / decay_steps if decay_steps else 1.0
    return max(0.0, min(1.0, _rise(step, round(warmup_share * max_steps)), fall))


def cosine_factor(step: int, *, max_steps: int, warmup_share: float) -> float:
    """Give the share of the peak rate at ``step``: warm-up, then half a cosine wave.

    Falls from 1 at the end of the warm-up, so that it would be 0 at ``max_steps``.
    """
    warmup_steps = round(warmup_share * max_steps)
    rest = max(1, max_steps - warmup_steps)
    progress = min(1.0, max(0, step - warmup_steps) / rest)
    return min(_rise(step, warmup_steps), (1 + math.cos(math.pi * progress)) / 2)


def _rise(step: int, warmup_steps: int) -> float:
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
