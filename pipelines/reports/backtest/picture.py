"""The report as one picture: for each symbol its prices, equity, drawdown, months, trades."""

from __future__ import annotations

from textwrap import wrap

import altair as alt
import polars as pl

from engine.market.symbols import parse
from pipelines.reports.backtest.curves import curves, distribution, markers, months
from pipelines.reports.backtest.subject import Subject
from pipelines.reports.charts.style import BLUE, DOWN, GREY, INK, UP, Picture, with_title
from pipelines.reports.evaluation_tables import figure_text
from pipelines.texts import Texts

WIDTH = 860
MOST_SYMBOLS = 4  # more do not fit: the page has all
_MOST_BARS = 430  # candles of two pixels each
_LINE = 110  # letters of a note's line
_FEW = 120  # marks; more of them are drawn smaller
_SAID = ("total_return", "sharpe", "max_drawdown", "hit_rate", "trades")


def picture(t: Texts, subject: Subject) -> Picture:
    """Return the picture with its title, and the figures of each symbol below it."""
    curve, daily, trades = curves(subject, _MOST_BARS), subject.result.daily, subject.result.trades
    symbols = list(subject.figures)[:MOST_SYMBOLS]
    parts = [
        _symbol(
            t,
            symbol,
            curve.filter(symbol=symbol),
            trades.filter(symbol=symbol),
            daily.filter(symbol=symbol),
        )
        for symbol in symbols
    ]
    notes = [_said(t, symbol, subject.figures[symbol]) for symbol in symbols]
    if subject.luck:
        notes.extend(wrap(luck_text(t, subject), _LINE))
    settings = ", ".join(
        f"{name} {value}"
        for part in subject.settings().values()
        for name, (value, _) in part.items()
    )
    return with_title(
        alt.vconcat(*parts, spacing=28),
        subject.title(t),
        *notes,
        *wrap(settings, _LINE),
        subject.credit(t),
    )


def luck_text(t: Texts, subject: Subject) -> str:
    """Return what a sweep's best trial is worth; empty for a backtest that was not chosen."""
    luck = subject.luck
    if luck is None:
        return ""
    return t(
        "report_luck",
        name=t.name(parse(luck.symbol)),
        trials=f"{luck.trials:,}",
        sharpe=f"{luck.sharpe:.2f}",
        expected=f"{luck.expected:.2f}",
        probability=f"{luck.probability:.0%}",
    )


def _said(t: Texts, symbol: str, figures: dict[str, object]) -> str:
    told = (f"{t(f'figure_{name}')} {figure_text(name, figures[name])}" for name in _SAID)  # type: ignore[arg-type] # figures
    return f"{t.name(parse(symbol))}: {', '.join(told)}"


def _symbol(
    t: Texts, symbol: str, curve: pl.DataFrame, trades: pl.DataFrame, daily: pl.DataFrame
) -> Picture:
    # Bars one after the other: an axis of time would be nights and holidays for the most part.
    rows = curve.with_row_index("bar").with_columns(
        label=pl.col("timestamp").dt.strftime("%y-%m-%d")
    )
    lower = alt.hconcat(_months(t, months(daily)), _spread(t, daily, trades), spacing=36)
    return alt.vconcat(
        _prices(t, rows, markers(trades, curve), t.name(parse(symbol))),
        _equity(t, rows),
        _drawdown(t, rows),
        lower.resolve_scale(color="independent"),
        spacing=14,
    )


def _x(rows: pl.DataFrame, *, labels: bool = False) -> alt.X:
    shown = rows.gather_every(max(rows.height // 8, 1))
    texts = dict(zip(shown["bar"], shown["label"], strict=True))
    axis = alt.Axis(
        values=list(texts),
        labels=labels,
        ticks=labels,
        labelExpr=f"({ {str(bar): text for bar, text in texts.items()} })[datum.value]",
        labelAngle=0,
        grid=False,
    )
    domain = [-1, max(rows.height, 1)]
    return alt.X("bar:Q", title=None, scale=alt.Scale(domain=domain, nice=False), axis=axis)


def _prices(t: Texts, rows: pl.DataFrame, marked: pl.DataFrame, name: str) -> Picture:
    x, y = _x(rows), alt.Scale(zero=False, padding=6)
    rising = pl.col("close") >= pl.col("open")
    drawn = rows.with_columns(color=pl.when(rising).then(pl.lit(UP)).otherwise(pl.lit(DOWN)))
    base = alt.Chart(drawn.select("bar", "open", "high", "low", "close", "color")).encode(
        x=x, color=alt.Color("color:N", scale=None, legend=None)
    )
    wick = base.mark_rule(strokeWidth=0.8).encode(
        y=alt.Y("low:Q", title=name, scale=y), y2="high:Q"
    )
    body = base.mark_bar(size=max(1.0, min(6.0, 0.6 * WIDTH / max(rows.height, 1)))).encode(
        y=alt.Y("open:Q", scale=y), y2="close:Q"
    )
    names, left = {1: t("report_entry_long"), -1: t("report_entry_short")}, t("report_exit")
    points = marked.join(rows.select("timestamp", "bar"), on="timestamp").select(
        "bar",
        "price",
        what=pl.when("entry")
        .then(pl.col("direction").replace_strict(names, return_dtype=pl.String))
        .otherwise(pl.lit(left)),
    )
    kinds = [*names.values(), left]
    legend = alt.Legend(title=None, orient="top")
    shapes = alt.Scale(domain=kinds, range=["triangle-up", "triangle-down", "circle"])
    fills = alt.Scale(domain=kinds, range=[UP, DOWN, "white"])
    given = (
        alt.Chart(points)
        .mark_point(
            size=48 if marked.height < _FEW else 20,
            stroke=INK,
            strokeWidth=0.7,
            opacity=1,
            filled=True,
        )
        .encode(
            x=x,
            y=alt.Y("price:Q", scale=y),
            shape=alt.Shape("what:N", scale=shapes, legend=legend),
            fill=alt.Fill("what:N", scale=fills, legend=legend),
        )
    )
    layers = alt.layer(wick, body, given).resolve_scale(color="independent")
    return layers.properties(width=WIDTH, height=260)


def _equity(t: Texts, rows: pl.DataFrame) -> Picture:
    names = {"growth": t("strategy"), "hold": t("report_hold")}
    long = rows.select("bar", *names).unpivot(index="bar", variable_name="line", value_name="value")
    drawn = long.with_columns(pl.col("line").replace_strict(names, return_dtype=pl.String))
    lines = list(names.values())
    legend = alt.Legend(title=None, orient="top", symbolStrokeWidth=2, symbolSize=300)
    return (
        alt.Chart(drawn, width=WIDTH, height=150)
        .mark_line(strokeWidth=1.5)
        .encode(
            x=_x(rows),
            y=alt.Y(
                "value:Q", title=t("report_equity"), axis=alt.Axis(format="+.1~%", tickCount=5)
            ),
            color=alt.Color(
                "line:N", scale=alt.Scale(domain=lines, range=[INK, GREY]), legend=legend
            ),
            strokeDash=alt.StrokeDash(
                "line:N", scale=alt.Scale(domain=lines, range=[[1, 0], [5, 3]]), legend=None
            ),
        )
    )


def _drawdown(t: Texts, rows: pl.DataFrame) -> Picture:
    drawn = rows.select("bar", pl.col("drawdown").backward_fill())
    return (
        alt.Chart(drawn, width=WIDTH, height=90)
        .mark_area(color=BLUE, opacity=0.35, line={"color": BLUE, "strokeWidth": 1})
        .encode(
            x=_x(rows, labels=True),
            y=alt.Y(
                "drawdown:Q",
                title=t("report_drawdown"),
                axis=alt.Axis(format=".1~%", tickCount=3),
            ),
        )
    )


def _months(t: Texts, found: pl.DataFrame) -> Picture:
    whole = t("report_year")
    drawn = found.with_columns(
        month=pl.when(pl.col("month") == 0)
        .then(pl.lit(whole))
        .otherwise(pl.col("month").cast(pl.String)),
        text=pl.col("return").map_elements("{:+.1%}".format, return_dtype=pl.String),
    )
    reach = max((abs(value) for value in found["return"]), default=0.0) or 1.0
    columns = [*map(str, range(1, 13)), whole]
    scale = alt.Scale(domain=[-2 * reach, 0, 2 * reach], range=[DOWN, "#f4f4f4", UP])
    base = alt.Chart(drawn.select("year", "month", "return", "text")).encode(
        x=alt.X(
            "month:N",
            title=None,
            sort=columns,
            scale=alt.Scale(domain=columns),
            axis=alt.Axis(labelAngle=0, orient="top", ticks=False, domain=False),
        ),
        y=alt.Y("year:O", title=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    cells = base.mark_rect().encode(color=alt.Color("return:Q", scale=scale, legend=None))
    texts = base.mark_text(fontSize=9).encode(text="text:N")
    years = max(found["year"].n_unique(), 1)
    return alt.layer(cells, texts).properties(
        width=480, height=24 * years, title=_small(t("report_months"))
    )


def _spread(t: Texts, daily: pl.DataFrame, trades: pl.DataFrame) -> Picture:
    parts = (
        (t("report_daily_returns"), distribution(daily["return"] * 100), "%"),
        (t("report_trade_results"), distribution(trades["net"] / 10_000), t("report_10k_won")),
    )
    return alt.hconcat(*(_bars(*part) for part in parts if part[1].height), spacing=24)


def _bars(name: str, bins: pl.DataFrame, unit: str) -> Picture:
    gain = alt.condition("datum.start >= 0", alt.value(UP), alt.value(DOWN))
    return (
        alt.Chart(bins, width=130, height=110, title=_small(name))
        .mark_bar()
        .encode(
            x=alt.X("start:Q", title=unit, axis=alt.Axis(tickCount=4), bin="binned"),
            x2="end:Q",
            y=alt.Y("count:Q", title=None, axis=alt.Axis(tickCount=3)),
            color=gain,
        )
    )


def _small(text: str) -> alt.TitleParams:
    return alt.TitleParams(text, anchor="start", fontSize=12, fontWeight="normal")
