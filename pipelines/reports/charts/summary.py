"""Maximum pain and gamma exposure through the day."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import (
    GREEN,
    INK,
    SKY,
    VERMILLION,
    WIDTH,
    Picture,
    Width,
    clock_axis,
)
from pipelines.texts import Texts

_LINES = {"underlying_price": "spot", "max_pain": "max_pain", "zero_gamma": "zero_gamma"}


def summary_chart(summaries: pl.DataFrame, t: Texts, *, width: Width = WIDTH) -> Picture:
    """Draw underlying, max pain and zero gamma (index points) above gamma exposure.

    `summaries`: timestamp, underlying_price, max_pain, zero_gamma, gamma_exposure (KRW per 1 %
    move) of one underlying_symbol.
    """
    names = {column: t(key) for column, key in _LINES.items()}
    long = (
        summaries.select("timestamp", *_LINES)
        .unpivot(index="timestamp", variable_name="line", value_name="value")
        .with_columns(pl.col("line").replace_strict(names, return_dtype=pl.String))
        .drop_nulls()
    )
    scale = alt.Scale(domain=list(names.values()), range=[INK, VERMILLION, GREEN])
    lines = (
        alt.Chart(long, width=width, height=240)
        .mark_line(strokeWidth=1.4, interpolate="step-after")
        .encode(
            x=clock_axis(),
            y=alt.Y("value:Q", title=t("axis_points"), scale=alt.Scale(zero=False)),
            color=alt.Color("line:N", scale=scale, legend=alt.Legend(title=None, orient="top")),
        )
    )
    exposure = summaries.select(
        "timestamp", (pl.col("gamma_exposure") / t.large_won).alias("exposure")
    )
    areas = (
        alt.Chart(exposure.drop_nulls(), width=width, height=130)
        .mark_area(color=SKY, line={"color": INK, "strokeWidth": 1}, interpolate="step-after")
        .encode(
            x=clock_axis(t("axis_time")),
            y=alt.Y("exposure:Q", title=t("axis_exposure"), axis=alt.Axis(tickCount=4)),
        )
    )
    return alt.vconcat(lines, areas, spacing=8).resolve_scale(x="shared")
