"""Augmentations made on the fly, while a batch is drawn.

Each one is a function of the windows of a batch that were already cut, so none can bring in a
value from behind a cut-off: what is mixed or resampled was cut at its own item's limit before.

Every augmentation has a generator of its own, so switching one off changes no other.
"""

from toto_core.data.augmentation.block import Block
from toto_core.data.augmentation.pipeline import Stream, augment, generator
from toto_core.training.settings import AugmentSettings

__all__ = ["AugmentSettings", "Block", "Stream", "augment", "generator"]
