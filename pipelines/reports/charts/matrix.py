"""The option matrix through the day, as a heat map."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import WIDTH, Picture, Width, side_names
from pipelines.texts import Texts


def metric_name(t: Texts, metric: str) -> str:
    """Return a metric's name with its unit; `model_…` are our own calculations."""
    given = metric.removeprefix("model_")
    name = t.or_else(f"metric_{given}", given)
    return name if given == metric else t("metric_our_own", name=name)


def matrix_chart(
    cells: pl.DataFrame, metric: str, t: Texts, *, every: int = 5, width: Width = WIDTH
) -> Picture:
    """Draw one metric of a chain's matrix: time across, strikes around ATM, calls above puts.

    `cells`: timestamp, option_type, step, value, as `long_matrix` gives them, and atm_strike.
    Every `every`-th minute is drawn. A cell without a value is left white. The rows are steps from
    ATM, which moves: each hour the strike at the money stands in its row.
    """
    minute, sides = pl.col("timestamp").dt.minute(), side_names(t)
    drawn = cells.filter(minute % every == 0, pl.col("value").is_finite()).with_columns(
        pl.col("option_type").replace_strict(sides, return_dtype=pl.String).alias("side"),
        pl.col("timestamp").dt.offset_by(f"{every}m").alias("until"),
    )
    tooltip = [
        alt.Tooltip("timestamp:T", title=t("time"), format="%H:%M"),
        alt.Tooltip("step:Q", title=t("level")),
        alt.Tooltip("value:Q", title=metric_name(t, metric), format=".4~g"),
    ]
    rows = [
        _side(drawn.filter(pl.col("side") == side), side, width, metric, tooltip, t)
        for side in sides.values()
    ]
    return alt.vconcat(*rows, spacing=14).resolve_scale(color="shared", x="shared")


def _side(
    cells: pl.DataFrame, side: str, width: Width, metric: str, tooltip: list[alt.Tooltip], t: Texts
) -> Picture:
    legend = alt.Legend(
        title=metric_name(t, metric),
        orient="top",
        gradientLength=320,
        gradientThickness=10,
        titleLimit=400,
        format="~g",
    )
    steps = list(range(10, -11, -1))
    axis = alt.Axis(values=[10, 5, 0, -5, -10], ticks=False, domain=False)
    frame = cells.select("timestamp", "until", "step", "value")
    levels = alt.Y(
        "step:O",
        sort=steps,
        title=t("axis_level", side=side),
        scale=alt.Scale(domain=steps),
        axis=axis,
    )
    heat = (
        alt.Chart(frame)
        .mark_rect()
        .encode(
            x=alt.X(
                "timestamp:T",
                title=t("axis_time") if side == t("side_put") else None,
                axis=alt.Axis(format="%H:%M", labelAngle=0, tickCount=10),
            ),
            x2="until:T",
            y=levels,
            color=alt.Color("value:Q", legend=legend, scale=alt.Scale(scheme="viridis")),
            tooltip=tooltip,
        )
    )
    at_the_money = cells.filter(
        pl.col("step") == 0,
        pl.col("timestamp").dt.minute() == 0,
        pl.col("atm_strike").is_not_null(),
    )
    strikes = (
        alt.Chart(at_the_money.select("timestamp", "step", "atm_strike"))
        .mark_text(align="left", dx=2, fontSize=10, color="white")
        .encode(x="timestamp:T", y=levels, text=alt.Text("atm_strike:Q", format=",.2~f"))
    )
    return alt.layer(heat, strikes).properties(width=width, height=230)
