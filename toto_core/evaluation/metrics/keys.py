"""Names that tables of forecasts and losses share."""

QUANTILE_LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
# The outermost levels: the ends of the central 80 % interval.
LOW, MEDIAN, HIGH = 0.1, 0.5, 0.9
MODEL = "model"
SERIES_KEYS = ("item_id", "variate")
ORIGIN_KEYS = ("item_id", "variate", "origin")
