"""The page that shows a verdict with its evidence; numpy and polars only."""
