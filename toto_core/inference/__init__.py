"""Forecasts from a trained network."""

from toto_core.inference.forecaster import Forecaster

__all__ = ["Forecaster"]
