"""The small pictures of the page: their scales, their words, and that no text is an element."""

from __future__ import annotations

import math
import re
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from pipelines.reports.dashboard.svg import HEIGHT, WIDTH, Line, Marker, picture, ticks

numbers = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: round(value, 3))


@given(numbers, st.floats(0.001, 1e6), st.integers(2, 8))
def test_ticks_are_round_and_lie_between_the_ends(low: float, width: float, count: int) -> None:
    found = ticks(low, low + width, count)
    assert len(found) <= count + 1
    room = width * 1e-6 + 2 * math.ulp(low + width)
    assert all(low - room <= value <= low + width + room for value in found)


@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=30), st.booleans())
def test_whatever_is_drawn_lies_in_the_picture(
    points: list[tuple[float, float]], bars: bool
) -> None:
    drawn = picture("a & b", [Line("x < y", "c0", points)], bars=bars)
    svg, _, legend = drawn.partition("</svg>")
    root = ET.fromstring(svg + "</svg>")  # noqa: S314 - our own
    assert root.get("aria-label") == "a & b"
    for element in root:
        for name, most in (("cx", WIDTH), ("x", WIDTH), ("cy", HEIGHT), ("y", HEIGHT)):
            value = element.get(name)
            assert value is None or -10 <= float(value) <= most + 10
    assert "x &lt; y" in legend


def test_nothing_is_drawn_of_nothing_and_markers_have_their_names_below() -> None:
    assert picture("a", [Line("b", "c0", [])], rules=[Marker("wall", 1.0)]) == ""
    drawn = picture("a", [Line("b", "c0", [(0.0, 1.0), (2.0, 3.0)])], rules=[Marker("wall", 9.0)])
    assert "wall" in drawn[drawn.index("</svg>") :]
    places = [float(x) for x in re.findall(r'class="rule " d="M([\d.]+)', drawn)]
    assert 0 < places[0] <= WIDTH
