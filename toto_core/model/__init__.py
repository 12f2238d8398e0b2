"""The Toto 2.0 network."""

from toto_core.model.sizes import (
    PATCH_SIZE,
    QUANTILE_LEVELS,
    SIZES,
    ModelConfig,
    config_from_json,
    for_context,
)
from toto_core.model.toto import MixtureOutput, Output, Toto2

__all__ = [
    "PATCH_SIZE",
    "QUANTILE_LEVELS",
    "SIZES",
    "MixtureOutput",
    "ModelConfig",
    "Output",
    "Toto2",
    "config_from_json",
    "for_context",
]
