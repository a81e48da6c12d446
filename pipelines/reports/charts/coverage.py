"""What is there: symbols down, sessions across, and how much of what is owed is stored."""

from __future__ import annotations

import altair as alt
import polars as pl

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

CLASSES = {
    "완전": BLUE,
    "1~5개 누락": SKY,
    "6~50개 누락": YELLOW,
    "50개 초과 누락": ORANGE,
    "없음": VERMILLION,
}


def coverage_chart(coverage: pl.DataFrame, *, width: Width = WIDTH) -> Picture:
    """Draw what `questions.coverage` gives as a heat map of missing bars."""
    missing = pl.col("owed") - pl.col("stored")
    names = list(CLASSES)
    grade = (
        pl.when(pl.col("stored") == 0)
        .then(pl.lit(names[4]))
        .when(missing <= 0)
        .then(pl.lit(names[0]))
        .when(missing <= 5)
        .then(pl.lit(names[1]))
        .when(missing <= 50)
        .then(pl.lit(names[2]))
        .otherwise(pl.lit(names[3]))
    )
    frame = coverage.select(
        "symbol",
        "owed",
        "stored",
        pl.col("session").dt.to_string("%Y-%m-%d").alias("session"),
        missing.alias("missing"),
        grade.alias("grade"),
    )
    rows = frame["symbol"].n_unique()
    scale = alt.Scale(domain=names, range=list(CLASSES.values()))
    dense = frame["session"].n_unique() > 30
    across = alt.X(
        "session:O", title="거래일", axis=alt.Axis(labelAngle=-60, labelOverlap="greedy")
    )
    return (
        alt.Chart(frame, width=width, height=max(60, 20 * rows))
        .mark_rect(stroke="white", strokeWidth=0.3 if dense else 1)
        .encode(
            x=across,
            y=alt.Y("symbol:N", title="종목", axis=alt.Axis(labelLimit=200)),
            color=alt.Color(
                "grade:N", scale=scale, legend=alt.Legend(title="저장된 분봉", orient="top")
            ),
            tooltip=["symbol:N", "session:O", "owed:Q", "stored:Q", "missing:Q"],
        )
    )
