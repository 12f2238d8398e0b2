"""One window before and after each augmentation, for people to look at.

Shapes: T time steps.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from toto_core.data.augmentation import AugmentSettings
from toto_core.data.corpus import Corpus
from toto_core.data.windows import Batch, TrainingWindows

# Steps that are shown, and the batch among whose slots one is chosen.
NUM_STEPS = 192
_ROWS, _SLOTS = 16, 4
_UNSEEN = ("noise_std", "variate_shuffle")  # no change of a single variate


@dataclass(frozen=True)
class AugmentationExample:
    """A variate of a window, missing = NaN; ``after`` differs by one augmentation alone."""

    name: str
    before: Float32[np.ndarray, " T"]
    after: Float32[np.ndarray, " T"]


def augmentation_examples(
    corpus: Corpus, settings: AugmentSettings, *, cutoff: str, seed: int
) -> list[AugmentationExample]:
    """Apply each augmentation that is switched on to windows before ``cutoff``, always.

    Of the slots of one batch that it changes, the one with the most observed points is taken; an
    augmentation that changes none has no example.
    """

    def batch(augment: AugmentSettings) -> Batch:
        return TrainingWindows(
            corpus,
            cutoff=cutoff,
            context_length=NUM_STEPS,
            batch_size=_ROWS,
            num_variates=_SLOTS,
            seed=seed,
            augment=augment,
        ).batch(0)

    plain = batch(AugmentSettings())
    examples = []
    for name, probability in dataclasses.asdict(settings).items():
        if name in _UNSEEN or probability == 0:
            continue
        changed = batch(AugmentSettings(**{name: 1.0, "noise_std": settings.noise_std}))
        differs = (plain.target != changed.target) | (plain.target_mask != changed.target_mask)
        points = np.where(differs.any(axis=-1), plain.target_mask.sum(axis=-1), -1)
        row, slot = np.unravel_index(points.argmax(), points.shape)
        if points[row, slot] > 0:
            before, after = (
                np.where(part.target_mask[row, slot], part.target[row, slot], np.float32(np.nan))
                for part in (plain, changed)
            )
            examples.append(AugmentationExample(name, before, after))
    return examples
