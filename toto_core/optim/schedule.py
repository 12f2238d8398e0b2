"""The learning rate over a run: warm-up, constant, linear decay (arXiv 2605.20119 section 4.2)."""


def wsd_factor(step: int, *, max_steps: int, warmup_share: float, decay_share: float) -> float:
    """Give the share of the peak rate at ``step``, counted from 0.

    Rises linearly over the first ``warmup_share`` of the run, reaching 1 at the end of the
    warm-up, and falls linearly over the last ``decay_share``, so that it would be 0 at
    ``max_steps``. Where the two overlap, the smaller one counts.
    """
    warmup_steps = round(warmup_share * max_steps)
    decay_steps = round(decay_share * max_steps)
    rise = (step + 1) / warmup_steps if warmup_steps else 1.0
    fall = (max_steps - step) / decay_steps if decay_steps else 1.0
    return max(0.0, min(1.0, rise, fall))
