"""The outcome of a study: each figure's mean by group, with its interval."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import BLUE, GREY, INK, VERMILLION, Picture
from pipelines.texts import Texts


def study_chart(table: pl.DataFrame, t: Texts) -> Picture:
    """Draw the means (points) and intervals (bars) of `Study.table`, a panel for each figure."""
    rows = (
        table.filter(pl.col("group") != "difference")
        .drop_nulls("mean")
        .with_columns(
            name=pl.format(
                "{} (n={})",
                pl.col("group").map_elements(lambda group: t(f"group_{group}"), pl.String),
                pl.col("samples"),
            ),
        )
    )
    groups = rows["group"].unique(maintain_order=True).to_list()
    colors = dict(zip(groups, (VERMILLION, BLUE, INK), strict=False))
    return alt.hconcat(
        *(
            _panel(rows.filter(figure=figure), figure, colors, t)
            for figure in rows["figure"].unique(maintain_order=True)
        ),
        spacing=36,
    )


def _panel(rows: pl.DataFrame, figure: str, colors: dict[str, str], t: Texts) -> Picture:
    x = alt.X("name:N", title=None, sort=None, axis=alt.Axis(labelAngle=-30, labelLimit=160))
    scale = alt.Scale(domain=list(colors), range=list(colors.values()))
    color = alt.Color("group:N", scale=scale, legend=None)
    with_zero = figure in ("reversal", "premium")
    reach = alt.Scale(domain=_reach(rows, with_zero=with_zero))
    title = t(f"figure_{figure}")
    y = alt.Y("mean:Q", title=title, scale=reach)
    base = alt.Chart(rows.select("name", "group", "mean", "low", "high"))
    zero = alt.Chart(pl.DataFrame({"mean": [0.0]})).mark_rule(color=GREY, strokeDash=[3, 3])
    layers = [
        base.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2)
        .encode(x=x, y=alt.Y("low:Q", title=title, scale=reach), y2="high:Q", color=color),
        base.mark_point(filled=True, size=70, opacity=1).encode(x=x, y=y, color=color),
    ]
    if with_zero:
        layers.insert(0, zero.encode(y=y))
    return alt.layer(*layers).properties(width=170, height=220)


def _reach(rows: pl.DataFrame, *, with_zero: bool) -> list[float]:
    """Return the ends of the axis: some way beyond all values, also where there is one alone."""
    values = [v for name in ("mean", "low", "high") for v in rows[name].drop_nulls()]
    values += [0.0] if with_zero or not values else []
    low, high = min(values), max(values)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    return [low - room, high + room]
