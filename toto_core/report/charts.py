"""Charts as inline SVG whose text and strokes keep their size at every width.

Marks are drawn in an inner coordinate system that is stretched to the width of the page; text and
dots stand outside it at percentages. Colours are classes, so that a dark page recolours them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape

import numpy as np
from numpy.typing import ArrayLike

WIDTH = 1000  # of the inner coordinate system, stretched to the width of the chart
DAY_US = 86_400_000_000


@dataclass
class Chart:
    """One plot area with linear axes; marks are drawn in the order of the calls.

    Attributes:
        x: lowest and highest value of the horizontal axis.
        y: the same of the vertical axis.
        height: of the plot area, CSS pixels.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    height: int
    _stretched: list[str] = field(default_factory=list)
    _placed: list[str] = field(default_factory=list)

    def line(self, x: ArrayLike, y: ArrayLike, css: str) -> None:
        """Draw a line; a missing value leaves a gap."""
        self._stretched.append(f'<path class="line {css}" d="{self._path(x, y)}"/>')

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, css: str) -> None:
        """Fill the area between two lines."""
        forward, back = np.asarray(x, np.float64), np.asarray(x, np.float64)[::-1]
        outline = self._path(
            np.concatenate([forward, back]),
            np.concatenate([np.asarray(low, np.float64), np.asarray(high, np.float64)[::-1]]),
        )
        self._stretched.append(f'<path class="band {css}" d="{outline}Z"/>')

    def dots(self, x: ArrayLike, y: ArrayLike, css: str) -> None:
        """Draw a dot at each point."""
        for px, py in zip(self._share(x), self._down(y), strict=True):
            self._placed.append(
                f'<circle class="{css}" cx="{_short(100 * px)}%" cy="{_short(py)}" r="3.5"/>'
            )

    def x_ticks(self, ticks: Sequence[tuple[float, str]], *, edges: bool = False) -> None:
        """Label the horizontal axis; ``edges`` keeps the outer labels inside the plot."""
        for n, (value, text) in enumerate(ticks):
            share = float(self._share([value])[0])
            anchor = "mid"
            if edges and len(ticks) > 1:
                anchor = "first" if n == 0 else "last" if n == len(ticks) - 1 else "mid"
            self._placed.append(
                f'<text class="tick {anchor}" x="{_short(100 * share)}%" y="{self.height + 18}">'
                f"{escape(text)}</text>"
            )

    def y_ticks(self, ticks: Sequence[tuple[float, str]]) -> None:
        """Label the vertical axis and draw a thin line across at each label."""
        for value, text in ticks:
            y = _short(float(self._down([value])[0]))
            self._placed.insert(0, f'<line class="grid" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
            self._placed.append(
                f'<text class="tick last" x="-8" y="{y}" dy="4">{escape(text)}</text>'
            )

    def upright(self, x: float, css: str) -> None:
        """Draw a vertical line over the whole height."""
        share = _short(100 * float(self._share([x])[0]))
        self._placed.insert(
            0, f'<line class="{css}" x1="{share}%" x2="{share}%" y1="0" y2="{self.height}"/>'
        )

    def svg(self, label: str) -> str:
        """Return the chart; ``label`` says in words what it shows."""
        grid = "".join(mark for mark in self._placed if mark.startswith("<line"))
        above = "".join(mark for mark in self._placed if not mark.startswith("<line"))
        return (
            f'<svg class="plot" role="img" aria-label="{escape(label)}" height="{self.height}">'
            f'{grid}<svg width="100%" height="{self.height}" viewBox="0 0 {WIDTH} {self.height}" '
            f'preserveAspectRatio="none" aria-hidden="true">{"".join(self._stretched)}</svg>'
            f"{above}</svg>"
        )

    def _share(self, x: ArrayLike) -> np.ndarray:
        low, high = self.x
        return (np.asarray(x, np.float64) - low) / ((high - low) or 1.0)

    def _down(self, y: ArrayLike) -> np.ndarray:
        low, high = self.y
        share = (np.asarray(y, np.float64) - low) / ((high - low) or 1.0)
        return self.height * (1 - np.clip(share, -0.5, 1.5))

    def _path(self, x: ArrayLike, y: ArrayLike) -> str:
        parts, drawing = [], False
        for px, py in zip(WIDTH * self._share(x), self._down(y), strict=True):
            if not (math.isfinite(px) and math.isfinite(py)):
                drawing = False
                continue
            parts.append(f"{'L' if drawing else 'M'}{_short(px)} {_short(py)}")
            drawing = True
        return "".join(parts)


def value_ticks(low: float, high: float, *, count: int = 5) -> list[tuple[float, str]]:
    """Return about ``count`` round values between low and high with their labels."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [(low, number_label(low, 1.0))] if math.isfinite(low) else []
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [(n * step, number_label(n * step, step)) for n in range(first, last + 1)]


def number_label(value: float, step: float) -> str:
    """Return a value with as many digits as the distance of its neighbours needs."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            unit = 1e3 if suffix == "k" else size
            return f"{_fixed(value / unit, step / unit)}{suffix}"
    return _fixed(value, step)


def _fixed(value: float, step: float) -> str:
    digits = 0
    while (
        digits < 6 and abs(step * 10**digits - round(step * 10**digits)) > 1e-6 * step * 10**digits
    ):
        digits += 1
    text = f"{value:.{digits}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def time_label(time_us: float, *, span_us: float) -> str:
    """Return a time stamp as coarse as the time that the axis spans allows."""
    moment = datetime.fromtimestamp(time_us / 1e6, tz=UTC)
    day = f"{moment.day} {moment:%b}"
    if span_us >= 1500 * DAY_US:
        return f"{moment:%Y}"
    if span_us >= 120 * DAY_US:
        return f"{day} {moment:%Y}"
    return day if span_us >= 2 * DAY_US else f"{day} {moment:%H:%M}"


def padded(values: ArrayLike, *, share: float = 0.06) -> tuple[float, float]:
    """Return the range of the finite values, widened on both sides by a share of it."""
    array = np.asarray(values, np.float64)
    array = array[np.isfinite(array)]
    if not array.size:
        return 0.0, 1.0
    low, high = float(array.min()), float(array.max())
    margin = share * (high - low) or abs(high) * share or 1.0
    return low - margin, high + margin


def _short(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
