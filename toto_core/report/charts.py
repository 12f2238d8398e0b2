"""Charts as inline SVG whose text and strokes keep their size at every width.

Marks are drawn in an inner coordinate system that is stretched to the width of the page; text and
dots stand outside it at percentages. Colours are classes, so that a dark page recolours them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from jaxtyping import Float64
from numpy.typing import ArrayLike

WIDTH = 1000  # of the inner coordinate system, stretched to the width of the chart
LABEL_GAP = 15.0  # between the labels at the ends of lines, CSS pixels


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

    def bars(self, edges: ArrayLike, values: ArrayLike, css: str, *, base: float = 0.0) -> None:
        """Draw a bar between each pair of neighbouring edges, from ``base`` to its value."""
        x = WIDTH * self._share(edges)
        foot = float(self._down([base])[0])
        for left, right, y in zip(x[:-1], x[1:], self._down(values), strict=True):
            if math.isfinite(y):
                top, height, gap = min(y, foot), abs(y - foot), 0.04 * (right - left)
                self._stretched.append(
                    f'<rect class="bar {css}" x="{_short(left + gap)}" y="{_short(top)}" '
                    f'width="{_short(right - left - 2 * gap)}" height="{_short(height)}"/>'
                )

    def level(self, y: float, css: str) -> None:
        """Draw a horizontal line over the whole width."""
        self._stretched.append(
            f'<path class="line {css}" d="{self._path([self.x[0], self.x[1]], [y, y])}"/>'
        )

    def end_labels(self, labels: Sequence[tuple[float, str, str]]) -> None:
        """Name lines at their right ends: height, name and class; names never overlap."""
        known = [label for label in labels if math.isfinite(label[0])]
        ends = self._down([y for y, _, _ in known])
        order = sorted(range(len(known)), key=lambda n: float(ends[n]))
        for n, y in zip(order, _apart([float(ends[n]) for n in order], self.height), strict=True):
            _, text, css = known[n]
            self._placed.append(
                f'<text class="end {css}" x="100%" dx="8" y="{_short(y)}" dy="4">'
                f"{escape(text)}</text>"
            )

    def titles(self, *, x: str = "", y: str = "") -> None:
        """Say below and above the plot what its axes measure."""
        if x:
            self._placed.append(
                f'<text class="tick mid" x="50%" y="{self.height + 36}">{escape(x)}</text>'
            )
        if y:
            self._placed.append(f'<text class="tick first" x="-40" y="-12">{escape(y)}</text>')

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


def thinned(
    x: Float64[np.ndarray, " N"], y: Float64[np.ndarray, " N"], count: int
) -> tuple[Float64[np.ndarray, " M"], Float64[np.ndarray, " M"]]:
    """Keep at most ``count`` of N points: the lowest and the highest of each stretch, in order."""
    if len(x) <= count:
        return x, y
    kept = []
    for part in np.array_split(np.arange(len(x)), count // 2):
        values = np.nan_to_num(y[part], nan=np.inf)
        low, high = part[values.argmin()], part[np.nan_to_num(y[part], nan=-np.inf).argmax()]
        kept += sorted({int(low), int(high)})
    return x[kept], y[kept]


def _apart(heights: Sequence[float], height: int) -> list[float]:
    """Move sorted heights apart to LABEL_GAP, those that collide evenly around their middle."""
    clusters: list[tuple[float, int]] = []  # middle and number of labels
    for y in heights:
        middle, count = y, 1
        while clusters and middle - clusters[-1][0] < LABEL_GAP * (clusters[-1][1] + count) / 2:
            before, more = clusters.pop()
            middle, count = (before * more + middle * count) / (more + count), more + count
        half = LABEL_GAP * (count - 1) / 2
        clusters.append((max(min(middle, height - half), half), count))
    return [
        middle + LABEL_GAP * (n - (count - 1) / 2)
        for middle, count in clusters
        for n in range(count)
    ]


def _short(value: float) -> str:
    text = f"{value:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
