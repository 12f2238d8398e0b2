"""Synthetic series for pretraining: families of short functions of (generator, length).

A series is a pure function of (seed, index), whatever the number of processes. docs/data.md lists
the families and their sources.
"""

from toto_core.data.synthetic.generation import (
    generate,
    synthetic_series,
    worthwhile_processes,
)
from toto_core.data.synthetic.registry import FAMILIES, SHORTEST, Family

__all__ = ["FAMILIES", "SHORTEST", "Family", "generate", "synthetic_series", "worthwhile_processes"]
