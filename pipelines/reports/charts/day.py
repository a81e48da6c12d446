"""A day's bars with the bands and signals of a strategy."""

from __future__ import annotations

import altair as alt
import polars as pl

from engine.columns import PRICES
from pipelines.reports.charts.style import (
    BLUE,
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
from strategies.turns import turns

# drawn as far as the strategy has them: every one has bands, not every one a VWAP
_LINES = {"vwap": "VWAP", "ub": "상단 밴드", "lb": "하단 밴드"}
_LINE_STYLES = {"vwap": (INK, [1, 0]), "ub": (GREEN, [5, 3]), "lb": (PURPLE, [5, 3])}
_SIGNALS = {1: "매수", -1: "매도"}


def day_chart(bars: pl.DataFrame, signals: pl.DataFrame, *, width: Width = WIDTH) -> Picture:
    """Draw the bars of one symbol and session: candles, VWAP, bands, turns, volume.

    `bars`: timestamp, open, high, low, close, volume. `signals`: the columns of every strategy
    (`strategies.base.SIGNAL_COLUMNS`) and vwap if it has one; may be empty. Rising bars are
    vermillion and falling ones blue, as is usual in Korea.
    """
    prices = price_chart(bars, signals).properties(width=width, height=340)
    volume = volume_chart(bars).properties(width=width, height=80)
    return alt.vconcat(prices, volume, spacing=8).resolve_scale(x="shared")


def price_chart(bars: pl.DataFrame, signals: pl.DataFrame) -> Picture:
    """Draw what `day_chart` draws, without the volume."""
    layers = alt.layer(_lines(signals), *_candles(bars), _trades(signals))
    return layers.resolve_scale(color="independent")


def volume_chart(bars: pl.DataFrame) -> Picture:
    """Draw the volume of each bar, contracts or shares."""
    return (
        alt.Chart(bars.select("timestamp", "volume"))
        .mark_bar(size=1.5, color=GREY)
        .encode(
            x=clock_axis(),
            y=alt.Y("volume:Q", title="거래량", axis=alt.Axis(format="~s", tickCount=3)),
        )
    )


def _candles(bars: pl.DataFrame) -> list[Picture]:
    direction = (
        pl.when(pl.col("close") >= pl.col("open")).then(pl.lit("상승")).otherwise(pl.lit("하락"))
    )
    frame = bars.select("timestamp", *PRICES, direction.alias("direction"))
    color = alt.Color("direction:N", legend=None, scale=_directions())
    base = alt.Chart(frame).encode(x=clock_axis(None), color=color, tooltip=_bar_tooltip())
    wick = base.mark_rule(strokeWidth=0.8).encode(y=_price("low"), y2="high:Q")
    # The outline shows a bar that opened where it closed.
    body = base.mark_bar(size=1.4, strokeWidth=0.9).encode(
        y=_price("open"),
        y2="close:Q",
        stroke=alt.Stroke("direction:N", scale=_directions(), legend=None),
    )
    return [wick, body]


def _price(column: str) -> alt.Y:
    return alt.Y(f"{column}:Q", title="가격", scale=alt.Scale(zero=False, nice=True, padding=6))


def _directions() -> alt.Scale:
    return alt.Scale(domain=["상승", "하락"], range=[VERMILLION, BLUE])


def _bar_tooltip() -> list[alt.Tooltip]:
    names = {"open": "시가", "high": "고가", "low": "저가", "close": "종가"}
    prices = [alt.Tooltip(f"{column}:Q", title=title) for column, title in names.items()]
    return [alt.Tooltip("timestamp:T", title="시각", format="%H:%M"), *prices]


def _lines(signals: pl.DataFrame) -> Picture:
    names = {column: name for column, name in _LINES.items() if column in signals.columns}
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
            x=clock_axis(None),
            y=_price("value"),
            color=alt.Color("line:N", scale=color_scale, legend=legend),
            strokeDash=alt.StrokeDash("line:N", scale=dash_scale, legend=None),
        )
    )


def _trades(signals: pl.DataFrame) -> Picture:
    given = turns(signals).select(
        "timestamp",
        "close",
        pl.col("trade_signal").replace_strict(_SIGNALS, return_dtype=pl.String).alias("signal"),
    )
    names = list(_SIGNALS.values())
    shape = alt.Scale(domain=names, range=["triangle-up", "triangle-down"])
    color = alt.Scale(domain=names, range=[ORANGE, PURPLE])
    legend = alt.Legend(title=None, orient="top")
    return (
        alt.Chart(given)
        .mark_point(filled=True, size=45, stroke=INK, strokeWidth=0.6, opacity=1)
        .encode(
            x=clock_axis(None),
            y=_price("close"),
            shape=alt.Shape("signal:N", scale=shape, legend=legend),
            fill=alt.Fill("signal:N", scale=color, legend=legend),
            tooltip=[alt.Tooltip("timestamp:T", title="시각", format="%H:%M"), "signal:N"],
        )
    )
