"""Forecasts from a trained model."""
