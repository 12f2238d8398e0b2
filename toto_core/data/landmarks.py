"""Windows of a series around the places that stand out, as hashes.

A window is ``SIZE`` neighbouring second differences of the values at one sampling rate: which of
them are the larger half, and their signs. Level, trend, unit and scale drop out, and small errors
of rounding seldom change it. It is taken where its middle is the largest of them: such places
follow from the content, so they are found again at any offset and in any phase of a coarser copy.
Windows that many unrelated series have are left out: smooth ones, and ones of few distinct values
(counts, steps, constant stretches).

Choosing places by the content is winnowing (Schleimer, Wilkerson and Aiken, 2003, for texts).

Shapes: T time steps, W windows, P phases.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8, UInt32

HALF = 10
SIZE = 2 * HALF + 1
RATES = (2, 3, 4, 5, 6, 7, 12, 24)
# Rate and whether its values are means. The place in this table is stored.
CHANNELS = ((1, False), *((rate, mean) for rate in RATES for mean in (True, False)))
# What is kept of the windows at a coarser rate, which have as many phases as the rate.
COARSE_SHARE = 0.25

_MIN_DISTINCT = SIZE // 2
_MIN_CHANGES = SIZE // 3
_WEIGHTS = np.random.default_rng(7).integers(1, 2**62, (2, SIZE), dtype=np.uint64) * 2 + 1
_MIX = np.uint64(0x9E3779B97F4A7C15)


def landmark_windows(
    values: Float64[np.ndarray, " T"], rate: int, *, all_windows: bool
) -> tuple[UInt32[np.ndarray, " W"], Int64[np.ndarray, " W"]]:
    """Hash the windows of every ``rate``-th value around each place that stands out.

    Args:
        values: missing = NaN; windows with a missing value are left out.
        all_windows: else ``COARSE_SHARE`` of those at a coarser rate, chosen by their content.

    Returns:
        Hashes, and the index of each window's middle value.
    """
    none = np.zeros(0, np.uint32), np.zeros(0, np.int64)
    if len(values) < (SIZE + 2) * rate:
        return none
    curve = values[2 * rate :] - 2 * values[rate:-rate] + values[: -2 * rate]
    # Column p holds phase p; the tail that fills no row is lost to the gap behind the last piece.
    with np.errstate(over="ignore"):
        curve_WP = curve[: len(curve) // rate * rate].reshape(-1, rate).astype(np.float32)
    curve_WP[np.isinf(curve_WP)] = np.nan
    peak_WP = _sliding_max(curve_WP)
    middle_WP = curve_WP[HALF : len(curve_WP) - HALF]
    # A missing value makes the maximum NaN, which equals nothing.
    found = np.flatnonzero((middle_WP == peak_WP) & (middle_WP > 0))
    centre = found + HALF * rate
    flat = curve_WP.reshape(-1)
    if rate > 1 and not all_windows:
        centre = centre[_chosen(flat, centre, rate)]
    windows = flat[centre[:, None] + rate * np.arange(-HALF, HALF + 1)]
    symbols, good = _symbols(windows)
    return _hashes(symbols[good]), centre[good] + rate


def _sliding_max(values: Float32[np.ndarray, "T P"]) -> Float32[np.ndarray, "W P"]:
    """Maximum of every ``SIZE`` rows, by doubling."""
    width = 1
    while 2 * width <= SIZE:
        values = np.maximum(values[:-width], values[width:])
        width *= 2
    return np.maximum(values[: -(SIZE - width)], values[SIZE - width :])


def _chosen(
    flat: Float32[np.ndarray, " T"], centre: Int64[np.ndarray, " W"], rate: int
) -> Bool[np.ndarray, " W"]:
    """Choose ``COARSE_SHARE`` of the windows by what they hold: two even questions to each."""
    answers = [
        np.abs(flat[centre + apart * rate]) > np.abs(flat[centre - apart * rate])
        for apart in (2, 3)
    ]
    return answers[0] & answers[1]


def _symbols(
    windows: Float32[np.ndarray, "W size"],
) -> tuple[UInt8[np.ndarray, "W size"], Bool[np.ndarray, " W"]]:
    """Turn windows into 0 (small half), 1 (large, negative), 2 (large, positive).

    Returns:
        The symbols, and which windows tell a series from others.
    """
    size = np.abs(windows)
    order = np.sort(size, axis=1)
    still = 1e-5 * order[:, -1]
    edge = (order[:, HALF] + order[:, HALF + 1]) / 2
    symbols = (size > edge[:, None]) * (1 + (windows > 0)).astype(np.uint8)
    distinct = (np.diff(order, axis=1) > still[:, None]).sum(axis=1)
    changes = (symbols[:, 1:] != symbols[:, :-1]).sum(axis=1)
    clear = order[:, HALF + 1] - order[:, HALF] > still
    return symbols, clear & (distinct >= _MIN_DISTINCT) & (changes >= _MIN_CHANGES)


def _hashes(symbols: UInt8[np.ndarray, "W size"]) -> UInt32[np.ndarray, " W"]:
    mixed = np.zeros(len(symbols), np.uint64)
    for place in range(SIZE):
        for symbol in (1, 2):
            mixed += _WEIGHTS[symbol - 1, place] * (symbols[:, place] == symbol)
    mixed ^= mixed >> np.uint64(31)
    return ((mixed * _MIX) >> np.uint64(32)).astype(np.uint32)
