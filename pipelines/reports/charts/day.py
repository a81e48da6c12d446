"""A day's bars with the bands and signals of a strategy."""

from __future__ import annotations

import altair as alt
import polars as pl

from engine.columns import PRICES
from pipelines.reports.charts.style import (
    DOWN,
    GREEN,
    GREY,
    INK,
    PURPLE,
    UP,
    WIDTH,
    Picture,
    Width,
    clock_axis,
)
from pipelines.texts import Texts
from strategies.turns import turns

# drawn as far as the strategy has them: every one has bands, not every one a VWAP
_LINE_STYLES = {"vwap": (INK, [1, 0]), "ub": (GREEN, [5, 3]), "lb": (PURPLE, [5, 3])}


def day_chart(
    bars: pl.DataFrame, signals: pl.DataFrame, t: Texts, *, width: Width = WIDTH
) -> Picture:
    """Draw the bars of one symbol and session: candles, VWAP, bands, turns, volume.

    `bars`: timestamp, open, high, low, close, volume. `signals`: the columns of every strategy
    (`strategies.base.SIGNAL_COLUMNS`) and vwap if it has one; may be empty. Rising bars are
    red and falling ones blue, as is usual in Korea.
    """
    layers = alt.layer(_lines(signals, t), *_candles(bars, t), _trades(signals, t))
    scales = layers.resolve_scale(color="independent", strokeDash="independent")
    prices = scales.properties(width=width, height=340)
    volume = _volume(bars, t).properties(width=width, height=80)
    return alt.vconcat(prices, volume, spacing=8).resolve_scale(x="shared")


def _volume(bars: pl.DataFrame, t: Texts) -> Picture:
    return (
        alt.Chart(bars.select("timestamp", "volume"))
        .mark_bar(size=1.5, color=GREY)
        .encode(
            x=clock_axis(t("axis_time")),
            y=alt.Y("volume:Q", title=t("volume"), axis=alt.Axis(format="~s", tickCount=3)),
        )
    )


def _candles(bars: pl.DataFrame, t: Texts) -> list[Picture]:
    rises = pl.col("close") >= pl.col("open")
    direction = pl.when(rises).then(pl.lit(t("up"))).otherwise(pl.lit(t("down")))
    scale = alt.Scale(domain=[t("up"), t("down")], range=[UP, DOWN])
    frame = bars.select("timestamp", *PRICES, direction.alias("direction"))
    color = alt.Color("direction:N", legend=None, scale=scale)
    base = alt.Chart(frame).encode(x=clock_axis(), color=color, tooltip=_bar_tooltip(t))
    wick = base.mark_rule(strokeWidth=0.8).encode(y=_price("low", t), y2="high:Q")
    # The outline shows a bar that opened where it closed.
    body = base.mark_bar(size=1.4, strokeWidth=0.9).encode(
        y=_price("open", t),
        y2="close:Q",
        stroke=alt.Stroke("direction:N", scale=scale, legend=None),
    )
    return [wick, body]


def _price(column: str, t: Texts) -> alt.Y:
    scale = alt.Scale(zero=False, nice=True, padding=6)
    return alt.Y(f"{column}:Q", title=t("axis_price"), scale=scale)


def _bar_tooltip(t: Texts) -> list[alt.Tooltip]:
    prices = [alt.Tooltip(f"{column}:Q", title=t(column)) for column in PRICES]
    return [alt.Tooltip("timestamp:T", title=t("time"), format="%H:%M"), *prices]


def _lines(signals: pl.DataFrame, t: Texts) -> Picture:
    drawn = [column for column in _LINE_STYLES if column in signals.columns]
    names = {column: t(f"line_{column}") for column in drawn}
    long = (
        signals.select("timestamp", *names)
        .unpivot(index="timestamp", variable_name="line", value_name="value")
        .with_columns(pl.col("line").replace_strict(names, return_dtype=pl.String))
        .drop_nulls()
    )
    colors, dashes = zip(*(_LINE_STYLES[column] for column in names), strict=True)
    color_scale = alt.Scale(domain=list(names.values()), range=list(colors))
    dash_scale = alt.Scale(domain=list(names.values()), range=list(dashes))
    legend = alt.Legend(title=None, orient="top", symbolStrokeWidth=2, symbolSize=300)
    return (
        alt.Chart(long)
        .mark_line(strokeWidth=1.4)
        .encode(
            x=clock_axis(),
            y=_price("value", t),
            color=alt.Color("line:N", scale=color_scale, legend=legend),
            strokeDash=alt.StrokeDash("line:N", scale=dash_scale, legend=legend),
        )
    )


def _trades(signals: pl.DataFrame, t: Texts) -> Picture:
    directions = {1: t("long"), -1: t("short")}
    given = turns(signals).select(
        "timestamp",
        "close",
        pl.col("trade_signal").replace_strict(directions, return_dtype=pl.String).alias("signal"),
    )
    names = list(directions.values())
    shape = alt.Scale(domain=names, range=["triangle-up", "triangle-down"])
    color = alt.Scale(domain=names, range=[UP, DOWN])
    legend = alt.Legend(title=None, orient="top")
    return (
        alt.Chart(given)
        .mark_point(filled=True, size=45, stroke=INK, strokeWidth=0.6, opacity=1)
        .encode(
            x=clock_axis(),
            y=_price("close", t),
            shape=alt.Shape("signal:N", scale=shape, legend=legend),
            fill=alt.Fill("signal:N", scale=color, legend=legend),
            tooltip=[
                alt.Tooltip("timestamp:T", title=t("time"), format="%H:%M"),
                alt.Tooltip("signal:N", title=t("signal")),
            ],
        )
    )
