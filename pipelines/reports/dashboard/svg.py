"""Small pictures for the cards: lines, dots and bars as SVG that takes the page's colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH, HEIGHT = 350, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 8, 8, 22
Point = tuple[float, float]
Write = Callable[[float], str]


@dataclass(frozen=True)
class Line:
    """A line through points, or dots; `tone` is a class of the page's colours."""

    name: str
    tone: str
    points: Sequence[Point]
    dots: bool = False


@dataclass(frozen=True)
class Marker:
    """A vertical line at a value of the horizontal axis; the legend has its name."""

    name: str
    at: float
    tone: str = ""


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def picture(
    label: str,
    lines: Sequence[Line],
    *,
    write_x: Write | None = None,
    rules: Sequence[Marker] = (),
    bars: bool = False,
) -> str:
    """Return the picture: lines, or with `bars` a bar from zero for each point.

    `write_x` writes the values of the horizontal axis that are no numbers. `label` is what a screen
    reader says. Empty if there is no point.
    """
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    xs = [x for x, _ in points] + [rule.at for rule in rules]
    ys = [y for _, y in points] + ([0.0] if bars else [])
    x = _Scale(*_span(xs, 0.02 if bars else 0.0), _LEFT, WIDTH - _RIGHT)
    y = _Scale(*_span(ys, 0.06), HEIGHT - _BOTTOM, _TOP)
    drawn = [
        *_axes(x, y, write_x),
        *(part for line in lines for part in (_bars(line, x, y) if bars else _line(line, x, y))),
        *_rules(rules, x),
    ]
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
        f"{''.join(drawn)}</svg>{_legend([*lines, *rules])}"
    )


def ticks(low: float, high: float, count: int) -> list[float]:
    """Return round values between low and high: about as many as asked for."""
    rough = (high - low) / max(count, 1)
    size = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    step = next((size * m for m in (1, 2, 2.5, 5, 10) if size * m >= rough), size * 10)
    first = math.ceil(low / step - 1e-9)
    return [n * step for n in range(first, math.floor(high / step + 1e-9) + 1)]


def _span(values: Iterable[float], margin: float) -> tuple[float, float]:
    found = list(values)
    low, high = min(found), max(found)
    room = (high - low) * margin or (abs(high) * 0.01 if low == high else 0.0) or float(low == high)
    return low - room, high + room


def _axes(x: _Scale, y: _Scale, write_x: Write | None) -> Iterable[str]:
    places = ticks(y.low, y.high, 4)
    write_y = _number_like(places)
    for value in places:
        at = y(value)
        yield f'<path class="grid" d="M{_LEFT} {at}H{WIDTH - _RIGHT}"/>'
        text = escape(write_y(value))
        yield f'<text x="{_LEFT - 5}" y="{at + 4}" text-anchor="end">{text}</text>'
    places = ticks(x.low, x.high, 5)
    write = write_x or _number_like(places)
    for value in places:
        text = escape(write(value))
        yield f'<text x="{x(value)}" y="{HEIGHT - 6}" text-anchor="middle">{text}</text>'


def _number_like(places: Sequence[float]) -> Write:
    """Return what writes numbers with as many decimals as tell the values apart."""
    step = places[1] - places[0] if len(places) > 1 else 1.0
    digits = next((n for n in range(4) if abs(round(step, n) - step) < step / 100), 4)
    return lambda value: f"{value:,.{digits}f}"


def _line(line: Line, x: _Scale, y: _Scale) -> Iterable[str]:
    places = [(x(a), y(b)) for a, b in line.points]
    if line.dots:
        for a, b in places:
            yield f'<circle class="{line.tone}" cx="{a}" cy="{b}" r="2"/>'
    elif places:
        path = " ".join(f"{a},{b}" for a, b in places)
        yield f'<polyline class="{line.tone}" points="{path}"/>'


def _bars(line: Line, x: _Scale, y: _Scale) -> Iterable[str]:
    zero = y(0.0)
    apart = _apart([a for a, _ in line.points])
    wide = max(1.5, min(9.0, 0.7 * (x(x.low + apart) - x(x.low)))) if apart else 6.0
    for a, b in line.points:
        top, bottom = sorted((y(b), zero))
        yield (
            f'<rect class="{line.tone}" x="{round(x(a) - wide / 2, 1)}" y="{top}"'
            f' width="{round(wide, 1)}" height="{round(bottom - top, 1)}"/>'
        )


def _apart(values: list[float]) -> float:
    found = sorted(set(values))
    return min((b - a for a, b in pairwise(found)), default=0.0)


def _rules(rules: Sequence[Marker], x: _Scale) -> Iterable[str]:
    for rule in rules:
        yield f'<path class="rule {rule.tone}" d="M{x(rule.at)} {_TOP}V{HEIGHT - _BOTTOM}"/>'


def _legend(keys: Sequence[Line | Marker]) -> str:
    named = {key.name: key.tone for key in keys if key.name}
    shown = "".join(
        f'<span><i class="{tone}"></i>{escape(name)}</span>' for name, tone in named.items()
    )
    return f'<div class="legend">{shown}</div>' if shown else ""
