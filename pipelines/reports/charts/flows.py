"""A future through the day against who buys it: price, investors' flows, open interest, basis."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import (
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    WIDTH,
    Picture,
    Width,
    clock_axis,
)
from pipelines.texts import Texts

_INVESTORS = ("foreign", "institution", "individual")
_BASES = ("market_basis", "theoretical_basis")


def flows_chart(rows: pl.DataFrame, t: Texts, *, width: Width = WIDTH) -> Picture:
    """Draw price (index points), net flows (contracts), open interest (contracts), basis (points).

    `rows`: timestamp, close, the three net volumes of the day so far, open_interest, price,
    index_price, theoretical_price; what is null is a gap in its line. Basis is the last price less
    the index; the grey one is that of the theoretical price.
    """
    known = rows.with_columns(
        market_basis=pl.col("price") - pl.col("index_price"),
        theoretical_basis=pl.col("theoretical_price") - pl.col("index_price"),
    )
    price, interest = t("axis_price"), t("axis_open_interest")
    investors = {f"{who}_net_volume": t(who) for who in _INVESTORS}
    bases = {basis: t(basis) for basis in _BASES}
    net, colors = t("axis_net_bought"), [VERMILLION, GREEN, ORANGE]
    time = clock_axis(t("axis_time"))
    panels = [
        _lines(known, {"close": price}, price, [INK], height=180),
        _lines(known, investors, net, colors, height=150),
        _lines(known, {"open_interest": interest}, interest, [PURPLE], height=90),
        _lines(known, bases, t("axis_basis"), [INK, GREY], height=90, x=time, form=",.2f"),
    ]
    drawn = [panel.properties(width=width) for panel in panels]
    return alt.vconcat(*drawn, spacing=8).resolve_scale(x="shared", color="independent")


def _lines(
    rows: pl.DataFrame,
    names: dict[str, str],
    title: str,
    colors: list[str],
    *,
    height: int,
    x: alt.X | None = None,
    form: str = ",~r",
) -> Picture:
    """Draw columns as lines; a hole in the data is a hole in the line.

    `form` is how the values of the axis are written.
    """
    long = (
        rows.select("timestamp", *names)
        .unpivot(index="timestamp", variable_name="line", value_name="value")
        .with_columns(pl.col("line").replace_strict(names, return_dtype=pl.String))
    )
    above = alt.Legend(title=None, orient="top", direction="horizontal", offset=2)  # of no line
    legend = above if len(names) > 1 else None
    return (
        alt.Chart(long, height=height)
        .mark_line(strokeWidth=1.3, interpolate="step-after")
        .encode(
            x=x or clock_axis(),
            y=alt.Y(
                "value:Q",
                title=title,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=4, format=form, tickMinStep=0.01),
            ),
            color=alt.Color(
                "line:N",
                scale=alt.Scale(domain=list(names.values()), range=colors),
                legend=legend,
            ),
        )
    )
