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
from pipelines.texts import Texts

GRADES = {"whole": BLUE, "few": SKY, "some": YELLOW, "many": ORANGE, "all": VERMILLION}
ROWS_SHOWN = 100  # instruments; a picture of thousands is too high to be drawn
_TOOLTIPS = {
    "symbol:N": "instrument",
    "session:O": "session",
    "expected:Q": "expected_bars",
    "stored:Q": "stored_bars",
    "missing:Q": "missing",
    "open:Q": "state_of_gap_open",
    "unavailable:Q": "state_of_gap_unavailable",
    "refused:Q": "state_of_gap_refused",
    "no_trade:Q": "state_of_gap_no_trade",
}


def _most_lacking(coverage: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Return the figures of the instruments that lack most, and how many others there are."""
    sums = coverage.group_by("symbol").agg(pl.col("missing").sum())
    shown = sums.sort("missing", "symbol", descending=[True, False]).head(ROWS_SHOWN)
    rows = coverage.join(shown, on="symbol", how="semi", maintain_order="left")
    return rows, sums.height - shown.height


def coverage_chart(coverage: pl.DataFrame, t: Texts, *, width: Width = WIDTH) -> Picture:
    """Draw what `queries.coverage` returns as a heat map of missing bars and snapshots.

    Of a whole market ROWS_SHOWN instruments are drawn: those that lack most.
    """
    coverage, left = _most_lacking(coverage)
    missing = pl.col("missing")
    names = [t(f"grade_{grade}") for grade in GRADES]
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
        pl.col("symbol").map_elements(t.name_of, pl.String),
        *COUNTS,
        pl.col("session").dt.to_string("%Y-%m-%d").alias("session"),
        grade.alias("grade"),
    )
    symbols = frame["symbol"].unique(maintain_order=True).to_list()
    scale = alt.Scale(domain=names, range=list(GRADES.values()))
    dense = frame["session"].n_unique() > 30
    across = alt.X(
        "session:O", title=t("session"), axis=alt.Axis(labelAngle=-60, labelOverlap="greedy")
    )
    rows = t("more_rows", count=f"{left:,}") if left else t("instrument")
    return (
        alt.Chart(frame, width=width, height=max(60, 20 * len(symbols)))
        .mark_rect(stroke="white", strokeWidth=0.3 if dense else 1)
        .encode(
            x=across,
            y=alt.Y("symbol:N", sort=symbols, title=rows, axis=alt.Axis(labelLimit=320)),
            color=alt.Color(
                "grade:N", scale=scale, legend=alt.Legend(title=t("missing"), orient="top")
            ),
            tooltip=[alt.Tooltip(field, title=t(key)) for field, key in _TOOLTIPS.items()],
        )
    )
