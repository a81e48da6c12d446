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

_INVESTORS = {
    "foreign_net_volume": "외국인",
    "institution_net_volume": "기관",
    "individual_net_volume": "개인",
}
_BASES = {"market_basis": "시장 베이시스", "theoretical_basis": "이론 베이시스"}


def flows_chart(rows: pl.DataFrame, *, width: Width = WIDTH) -> Picture:
    """Draw price (index points), net flows (contracts), open interest (contracts), basis (points).

    `rows`: timestamp, close, the three net volumes of the day so far, open_interest, price,
    index_price, theoretical_price; what is null is a gap in its line. Basis is the last price less
    the index; the grey one is that of the theoretical price.
    """
    known = rows.with_columns(
        market_basis=pl.col("price") - pl.col("index_price"),
        theoretical_basis=pl.col("theoretical_price") - pl.col("index_price"),
    )
    panels = [
        _lines(known, {"close": "가격"}, "가격", [INK], height=180),
        _lines(known, _INVESTORS, "순매수 누계 (계약)", [VERMILLION, GREEN, ORANGE], height=150),
        _lines(known, {"open_interest": "미결제약정"}, "미결제약정", [PURPLE], height=90),
        _lines(known, _BASES, "베이시스 (포인트)", [INK, GREY], height=90, last=True),
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
    last: bool = False,
) -> Picture:
    """Draw columns as lines; a hole in the data is a hole in the line."""
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
            x=clock_axis() if last else clock_axis(None),
            y=alt.Y(
                "value:Q",
                title=title,
                scale=alt.Scale(zero=False),
                axis=alt.Axis(tickCount=4, format=",~r"),
            ),
            color=alt.Color(
                "line:N",
                scale=alt.Scale(domain=list(names.values()), range=colors),
                legend=legend,
            ),
        )
    )
