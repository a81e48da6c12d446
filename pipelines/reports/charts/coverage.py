"""How complete the stored bars are: a row for each symbol, a column for each session."""

from __future__ import annotations

import altair as alt
import polars as pl

from engine.history.completeness import COUNTS
from pipelines.reports.charts.style import (
    BLUE,
    ORANGE,
    SKY,
    VERMILLION,
    WIDTH,
    YELLOW,
    Picture,
    Width,
)

GRADES = {
    "누락 없음": BLUE,
    "1~5개 누락": SKY,
    "6~50개 누락": YELLOW,
    "51개 이상 누락": ORANGE,
    "전체 누락": VERMILLION,
}
_TOOLTIPS = {
    "symbol:N": "종목",
    "session:O": "거래일",
    "expected:Q": "있어야 할 봉",
    "stored:Q": "저장된 봉",
    "missing:Q": "누락",
    "open:Q": "미해결",
    "unavailable:Q": "복구 불가",
    "refused:Q": "거부됨",
    "no_trade:Q": "무체결",
}


def coverage_chart(coverage: pl.DataFrame, *, width: Width = WIDTH) -> Picture:
    """Draw what `queries.coverage` returns as a heat map of missing bars and snapshots."""
    missing = pl.col("missing")
    names = list(GRADES)
    grade = (
        pl.when(missing == 0)
        .then(pl.lit(names[0]))
        .when(pl.col("stored") == 0)
        .then(pl.lit(names[4]))
        .when(missing <= 5)
        .then(pl.lit(names[1]))
        .when(missing <= 50)
        .then(pl.lit(names[2]))
        .otherwise(pl.lit(names[3]))
    )
    frame = coverage.select(
        "symbol",
        *COUNTS,
        pl.col("session").dt.to_string("%Y-%m-%d").alias("session"),
        grade.alias("grade"),
    )
    rows = frame["symbol"].n_unique()
    scale = alt.Scale(domain=names, range=list(GRADES.values()))
    dense = frame["session"].n_unique() > 30
    across = alt.X(
        "session:O", title="거래일", axis=alt.Axis(labelAngle=-60, labelOverlap="greedy")
    )
    return (
        alt.Chart(frame, width=width, height=max(60, 20 * rows))
        .mark_rect(stroke="white", strokeWidth=0.3 if dense else 1)
        .encode(
            x=across,
            y=alt.Y("symbol:N", title="종목", axis=alt.Axis(labelLimit=320)),
            color=alt.Color("grade:N", scale=scale, legend=alt.Legend(title="누락", orient="top")),
            tooltip=[alt.Tooltip(field, title=title) for field, title in _TOOLTIPS.items()],
        )
    )
