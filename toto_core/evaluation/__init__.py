"""Metrics, baselines, significance tests and the registration gate. Never imports torch."""
