"""Families that live by the calendar of people: days, weeks, years, holidays, rush hours.

Shapes: T time steps, D days, M points of one cycle.
"""

from typing import Final

import numpy as np
from jaxtyping import Float32

from toto_core.data.synthetic.draws import (
    chance,
    log_uniform,
    normal,
    pick,
    standardised,
    uniform,
)
from toto_core.data.synthetic.noise import curve, leaky_sum, through, wander, white
from toto_core.data.synthetic.seasons import RATES, cycle, peaks, repeated, sampled, turning
from toto_core.data.synthetic.sensor import counted, positive, row
from toto_core.data.synthetic.trends import trend

_SUBDAILY: Final = ("1min", "5min", "10min", "15min", "15min", "30min", "1h", "1h", "1h", "3h")
_ROAD: Final = ("5min", "5min", "10min", "15min", "15min", "1h", "1h")


def daily_weekly(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Demand by the hour: a day's profile, other weekends, holidays, a year, levels of days.

    ForecastPFN's (arXiv:2311.01933) products of calendar seasons, with whole days as the unit as
    in load and traffic forecasting (Hong and Fan 2016).
    """
    day = int(RATES[pick(rng, _SUBDAILY)].day)
    kinds, levels = _days(rng, length // day + 2)
    start = int(rng.random() * day)
    profiles = _day_profiles(rng, day)
    if chance(rng, 0.3):  # every weekday differs from the others
        profiles, kinds = _own_weekdays(rng, profiles, kinds)
    load = profiles[kinds].reshape(-1)[start:][:length]
    load *= _through_noons(levels, day, start, length)
    if chance(rng, 0.5):
        load *= np.exp(log_uniform(rng, 0.02, 0.3) * wander(rng, length, day / 8))
    load *= 1 + log_uniform(rng, 0.005, 0.2) * white(rng, length)
    return _sized(rng, load)


def sites(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "V T"]:
    """Meters or detectors of one town: the same calendar and luck, two kinds of days mixed."""
    day = int(RATES[pick(rng, _SUBDAILY)].day)
    kinds, levels = _days(rng, length // day + 2)
    homes, offices = _day_profiles(rng, day), _day_profiles(rng, day)
    start = int(rng.random() * day)
    shared = log_uniform(rng, 0.01, 0.3) * wander(rng, length, day / 4)
    shared += np.log(_through_noons(levels, day, start, length))
    noise = log_uniform(rng, 0.01, 0.3)
    rows = []
    for _ in range(int(rng.integers(2, 9))):
        part = rng.random()
        load = (part * homes + (1 - part) * offices)[kinds].reshape(-1)[start:][:length]
        load *= np.exp(uniform(rng, 0.3, 1.7) * shared)
        load *= 1 + (noise * rng.random()) * white(rng, length)
        rows.append(_sized(rng, load))
    return np.concatenate(rows)


def daily_counts(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Business by the day or week: weekdays times year times trend, holidays and promotions.

    The decomposition of Prophet (Taylor and Letham 2018) as a generator.
    """
    rate = RATES[pick(rng, ("1D", "1D", "1D", "1B", "1W"))]
    logs = log_uniform(rng, 0.1, 1.0) * trend(rng, length)
    if rate.week:
        logs += repeated(rng, _weekdays(rng, int(rate.week)), length)
    places = np.arange(length) / rate.year + rng.random()
    logs += log_uniform(rng, 0.02, 0.6) * sampled(_smooth_year(rng), places)
    if chance(rng, 0.6):
        logs += _holidays(rng, places)
    if chance(rng, 0.5):
        logs += log_uniform(rng, 0.03, 0.5) * wander(rng, length, log_uniform(rng, 2, 100))
    logs += log_uniform(rng, 0.01, 0.4) * white(rng, length)
    return _sized(rng, np.exp(np.clip(logs, -12, 12)))


def road_traffic(rng: np.random.Generator, length: int) -> Float32[np.ndarray, "1 T"]:
    """Speed, flow or occupancy of a road: free flow, rush hours on workdays, sudden jams.

    Flow and speed hang together by the fundamental diagram (Greenshields 1935).
    """
    day = int(RATES[pick(rng, _ROAD)].day)
    num_days, start = length // day + 2, int(rng.random() * day)
    rush = peaks(rng, day, count=int(rng.integers(1, 4)))
    weekend = uniform(rng, 0.0, 0.4) * rush
    strengths = np.exp(0.25 * normal(rng, num_days))[:, None]
    demand = np.stack([rush, weekend, weekend])[_day_kinds(rng, num_days)] * strengths
    demand = demand.reshape(-1)[start:][:length]
    demand *= np.exp(0.3 * wander(rng, length, max(1.0, day / 48)))
    if chance(rng, 0.5):
        jams = np.maximum(wander(rng, length, day / 24) - np.float32(uniform(rng, 1.8, 3)), 0)
        demand += jams
    flow = np.tile(_day_shape(rng, day), num_days)[start:][:length] + demand
    kind = rng.random()
    noise = log_uniform(rng, 0.005, 0.1) * white(rng, length)
    if kind < 0.45:
        depth = log_uniform(rng, 0.3, 3)
        speed = pick(rng, (50.0, 65.0, 100.0, 120.0)) * (1 + noise) / (1 + depth * demand**2)
        return row(np.maximum(speed, 0))
    if kind < 0.75:
        return _sized(rng, flow * (1 + 2 * noise))
    occupancy = log_uniform(rng, 0.02, 0.3) * flow * (1 + 2 * noise)
    return row(np.rint(np.clip(occupancy, 0, 1) * 1e4) / 1e4)


def _day_profiles(rng: np.random.Generator, day: int) -> Float32[np.ndarray, "3 M"]:
    """Workdays, Saturdays, and Sundays or holidays, all above 0."""
    work = _day_shape(rng, day)
    if chance(rng, 0.25):
        return np.stack([work, work, work])
    free = _day_shape(rng, day)
    mix = uniform(rng, 0, 0.8)
    low = uniform(rng, 0.3, 1.2)
    sunday = low * (mix * work + (1 - mix) * free)
    part = rng.random()
    return np.stack([work, part * work + (1 - part) * sunday, sunday])


def _own_weekdays(
    rng: np.random.Generator, profiles: Float32[np.ndarray, "3 M"], kinds: np.ndarray
) -> tuple[Float32[np.ndarray, "8 M"], np.ndarray]:
    """A profile for each weekday, the last for holidays, and which one each of the days has."""
    day = profiles.shape[1]
    shapes = np.stack([_day_shape(rng, day) for _ in range(7)])
    mix = rng.random()
    own = (mix * profiles[[0, 0, 0, 0, 0, 1, 2]] + (1 - mix) * shapes).astype(np.float32)
    weekdays = (np.arange(len(kinds)) + int(rng.random() * 7)) % 7
    is_holiday = rng.random(len(kinds)) < log_uniform(rng, 0.002, 0.05)
    return np.concatenate([own, profiles[2:]]), np.where(is_holiday, 7, weekdays)


def _day_shape(rng: np.random.Generator, day: int) -> Float32[np.ndarray, " M"]:
    """One day above 0: a quiet night and peaks by day, any cycle, or open hours only."""
    kind = rng.random()
    if kind < 0.5:
        shape = peaks(rng, day, count=int(rng.integers(1, 4)))
        night = peaks(rng, day, count=1)
        return log_uniform(rng, 0.03, 2) + shape + uniform(rng, 0, 1) * night
    if kind < 0.85:
        return np.exp(log_uniform(rng, 0.05, 1.0) * cycle(rng, day))
    open_share, floor = uniform(rng, 0.2, 0.7), log_uniform(rng, 0.001, 0.3)
    shape = np.full(day, floor, np.float32)
    first = int(rng.random() * day)
    open_steps = (first + np.arange(max(1, int(open_share * day)))) % day
    shape[open_steps] = 0.3 + peaks(rng, day, count=2)[open_steps]
    return shape


def _through_noons(
    levels: Float32[np.ndarray, " D"], day: int, start: int, length: int
) -> Float32[np.ndarray, " T"]:
    """Levels of days as a line through their noons, from ``start`` steps of the first day on."""
    noons = day * (np.arange(len(levels)) + 0.5)
    return np.interp(np.arange(start, start + length), noons, levels).astype(np.float32)


def _days(rng: np.random.Generator, num_days: int) -> tuple[np.ndarray, np.ndarray]:
    """Kind and level of each of the days."""
    return _day_kinds(rng, num_days), _day_levels(rng, num_days)


def _day_kinds(rng: np.random.Generator, num_days: int) -> np.ndarray:
    """0 for workdays, 1 Saturdays, 2 Sundays and holidays, for each of the days."""
    kinds = np.resize(np.array([0, 0, 0, 0, 0, 1, 2]), num_days + 7)[int(rng.random() * 7) :]
    kinds = kinds[:num_days].copy()
    kinds[rng.random(num_days) < log_uniform(rng, 0.002, 0.05)] = 2
    return kinds


def _day_levels(rng: np.random.Generator, num_days: int) -> Float32[np.ndarray, " D"]:
    """How much each day has: its weekday, luck that lasts for days, a trend and a year."""
    logs = np.resize(log_uniform(rng, 0.005, 0.2) * normal(rng, 7), num_days)
    decay = 1 - 1 / log_uniform(rng, 1, 20)
    luck = leaky_sum(normal(rng, num_days), decay)
    logs = logs + (log_uniform(rng, 0.01, 0.25) * (1 - decay**2) ** 0.5) * luck
    if chance(rng, 0.5):
        logs += log_uniform(rng, 0.02, 0.3) * curve(rng, num_days)
    year = turning(np.arange(num_days) / 365.25 + rng.random())
    return np.exp(logs + log_uniform(rng, 0.02, 0.4) * year).astype(np.float32)


def _weekdays(rng: np.random.Generator, size: int) -> Float32[np.ndarray, " M"]:
    """Logarithms of the levels of a week's days: like days, another weekend, or one closed day."""
    week = log_uniform(rng, 0.01, 0.5) * normal(rng, size)
    if size == 7 and chance(rng, 0.5):
        week[5:] += rng.standard_normal()
    if chance(rng, 0.1):
        week[0] = -8
    return week


def _smooth_year(rng: np.random.Generator) -> Float32[np.ndarray, " M"]:
    knots = normal(rng, int(rng.integers(3, 9)))
    knots[-1] = knots[0]
    return standardised(through(knots, 1461))


def _holidays(rng: np.random.Generator, places: np.ndarray) -> Float32[np.ndarray, " T"]:
    """Peaks and dips at the same days of every year, some with a run-up; ``places``: in years."""
    effect = np.zeros(1461, np.float32)
    for _ in range(int(rng.integers(1, 7))):
        first, size = int(rng.random() * 1461), (0.8 * rng.standard_normal())
        run_up = int(4 * log_uniform(rng, 1, 25))
        stretch = np.arange(first - run_up, first)
        shape = np.linspace(0, 1, run_up, dtype=np.float32) if chance(rng, 0.5) else 1
        effect[stretch] += size * shape
    return sampled(effect, places)


def _sized(rng: np.random.Generator, level: np.ndarray) -> Float32[np.ndarray, "1 T"]:
    """Put a level above 0 on a scale: mostly plain, else Poisson counts."""
    level = np.maximum(level, 0)
    mean = float(level.mean())
    if chance(rng, 0.3) and mean > 0:
        return counted(rng, level * np.float32(log_uniform(rng, 0.5, 3e3) / mean))
    return positive(rng, level)
