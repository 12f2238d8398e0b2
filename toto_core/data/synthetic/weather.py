"""Families of the sky: sun, temperature, humidity, wind, rain and rivers.

Weather generators: Richardson 1981 (a seasonal mean and an autoregression, rain as the upper part
of a skewed process).

Shapes: T time steps, V variates, M points of one cycle.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import (
    Number,
    chance,
    log_uniform,
    normal,
    pick,
    standardised,
    uniform,
)
from toto_core.data.synthetic.noise import leaky_sum, power_law, wander, white
from toto_core.data.synthetic.seasons import RATES, Rate, sampled, turning
from toto_core.data.synthetic.sensor import measured, positive, row
from toto_core.data.synthetic.trends import logistic

_SUN: Final = ("5min", "10min", "15min", "30min", "1h", "1h", "1D")
_WEATHER: Final = ("10min", "10min", "30min", "1h", "1h", "3h", "1D", "1D")
_INSTRUMENTS: Final = (
    ("thermometer",) * 10 + ("hygrometer",) * 3 + ("wind",) * 3 + ("river", "rain") * 2
)
_DAY_POINTS: Final = 288


def solar(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Power of the sun: nothing at night, a bell by day, clouds, days of other length over a year.

    Clear sky: the sine of the sun's height, clipped at 0. Clouds: a clearness for each day and one
    within the day (Graham and Hollands 1990).
    """
    return positive(rng, _sunshine(rng, length, RATES[pick(rng, _SUN)]))


def weather(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Temperature, humidity, wind, rain or a river: day, year and fronts of some days."""
    rate = RATES[pick(rng, _WEATHER)]
    return _read(rng, _sky(rng, length, rate), pick(rng, _INSTRUMENTS), rate.day or 1.0)


def weather_station(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """Instruments at one place: the same fronts and days, each with a part of its own."""
    rate = RATES[pick(rng, _WEATHER)]
    sky = _sky(rng, length, rate)
    own = log_uniform(rng, 0.1, 1)
    rows = []
    for _ in range(int(rng.integers(2, 8))):
        signal = pick(rng, (1, -1)) * sky + own * wander(rng, length, log_uniform(rng, 2, 100))
        rows.append(_read(rng, signal, pick(rng, _INSTRUMENTS), rate.day or 1.0))
    if rate.day and chance(rng, 0.4):
        rows.append(positive(rng, _sunshine(rng, length, rate)))
    return np.concatenate(rows)


def _sunshine(rng: np.random.Generator, length: int, rate: Rate) -> Float32[np.ndarray, " T"]:
    day, tilt = int(rate.day) or 1, 0.4
    days = np.arange(length) / day + rng.random()
    sun = tilt * turning(days / 365.25 + rng.random())
    latitude = uniform(rng, 0.0, 1.0)
    noon = turning(days) if rate.day else 0.8
    height = np.float32(np.sin(latitude)) * sun + np.float32(np.cos(latitude)) * noon
    clear = np.maximum(height, 0) ** np.float32(uniform(rng, 0.8, 1.6))
    clouds = wander(rng, length // day + 2, log_uniform(rng, 0.5, 4))
    clouds *= log_uniform(rng, 0.1, 2.5)
    clouds = np.repeat(clouds - uniform(rng, -1, 2), day)[:length]
    if rate.day:
        clouds += log_uniform(rng, 0.05, 1.5) * wander(rng, length, day / 12)
    power = clear * logistic(-clouds)
    if chance(rng, 0.3):  # the inverter's limit
        power = np.minimum(power, np.float32(uniform(rng, 0.5, 0.9) * power.max()))
    return power


def _sky(rng: np.random.Generator, length: int, rate: Rate) -> Float32[np.ndarray, " T"]:
    """A year, fronts that pass and a day whose swing changes, as one signal of about unit scale."""
    day = rate.day or 1.0
    places = np.arange(length)
    year = turning(places / (rate.year or 365.25 * day) + rng.random())
    if chance(rng, 0.3):
        fronts = power_law(rng, length, 1.9)
    else:
        fronts = wander(rng, length, day * uniform(rng, 1.5, 6))
    signal = log_uniform(rng, 0.3, 4) * year + fronts
    if not rate.day:
        return signal
    phases = np.float32(2 * np.pi / _DAY_POINTS) * np.arange(_DAY_POINTS, dtype=np.float32)
    # A quick rise, a slow fall.
    bell = standardised(np.sin(phases + uniform(rng, 0.0, 0.6) * np.sin(phases)))
    swing = np.exp(0.3 * wander(rng, length, 2 * day)) * (1 + 0.4 * year)
    size = log_uniform(rng, 0.1, 2.0)
    return signal + size * swing * sampled(bell, places / day + rng.random())


def _read(
    rng: np.random.Generator, signal: np.ndarray, instrument: str, day: Number
) -> Float32[np.ndarray, "1 T"]:
    """What an instrument makes of a signal; ``day``: steps."""
    length = len(signal)
    if instrument == "thermometer":
        return measured(rng, signal + log_uniform(rng, 0.01, 0.2) * normal(rng, length))
    if instrument == "hygrometer":  # percent, often at its end
        wet = logistic(1.5 * signal - uniform(rng, -2, 0))
        return row(np.rint(1000 * np.minimum(wet * np.float32(1.05), 1)) / 10)
    skew = uniform(rng, 0.3, 0.7)
    skewed = np.exp(skew * (signal + 0.4 * white(rng, length)))
    if instrument == "wind":
        return positive(rng, skewed)
    dry = np.float32(np.quantile(skewed, uniform(rng, 0.4, 0.95)))
    amount = np.maximum(skewed - dry, 0) * rng.standard_exponential(length, dtype=np.float32)
    if instrument == "rain":
        return row(np.rint(amount * log_uniform(rng, 5, 100)) / 10)
    # Rain that runs off within days, over what the ground gives back slowly.
    stored = leaky_sum(amount, np.exp(-1 / (day * log_uniform(rng, 1, 8))))
    return positive(rng, stored + log_uniform(rng, 0.05, 1) * skewed.mean())
