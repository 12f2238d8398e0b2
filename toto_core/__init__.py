"""The library: series in, judged and registered forecasting models out.

Knows neither Prefect nor DVC nor W&B; those live in ``flows``.
"""
