"""The report of a backtest: equity, drawdown, daily results and trades, as HTML and PNG.

The HTML is complete: it contains the scripts that draw it and fetches nothing.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import altair as alt
import polars as pl

from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.run import Backtest
from strategies.base import Params

WIDTH = 760
PIXELS_PER_INCH = 144


def write_report(
    result: Backtest, name: str, params: Params, rules: BacktestRules, folder: Path
) -> list[Path]:
    """Write report.html, report.png, trades.csv, daily.csv, equity.csv into the folder.

    Returns the files. equity.csv is the equity curve by bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"report.{kind}" for kind in ("html", "png")]
    page = chart(result, name, params, rules)
    page.save(files[0], inline=True)
    page.save(files[1], ppi=PIXELS_PER_INCH)
    for table in ("trades", "daily", "equity"):
        files.append(folder / f"{table}.csv")
        getattr(result, table).write_csv(files[-1])
    return files


def chart(result: Backtest, name: str, params: Params, rules: BacktestRules) -> Any:
    """Return the report as one chart."""
    growth = (pl.col("equity") / pl.col("capital") - 1).alias("growth")
    peak = pl.max_horizontal(pl.col("equity").cum_max().over("symbol"), "capital")
    days = result.daily.with_columns(growth, (pl.col("equity") / peak - 1).alias("drawdown"))
    title = alt.TitleParams(
        f"{name}, {days['session'].min()!s} to {days['session'].max()!s}",
        subtitle=[*_figure_lines(result.figures), _settings_line(params), _settings_line(rules)],
        anchor="start",
    )
    parts = [
        _line(days, "growth", "return, cumulative", 220),
        _line(days, "drawdown", "below the peak", 110),
        _bars(days),
        _trades(result.trades),
    ]
    return alt.vconcat(*parts, title=title).resolve_scale(color="shared")


def _figure_lines(figures: pl.DataFrame) -> list[str]:
    return [
        f"{row['symbol']}: {_ruined(row['ruined'])}return {row['total_return']:.2%},"
        f" Sharpe {_number(row['sharpe'])}, drawdown {row['max_drawdown']:.2%},"
        f" {row['trades']} trades, hit rate {_number(row['hit_rate'])}, net {row['net']:,.0f} KRW,"
        f" costs {row['cost']:,.0f} KRW"
        for row in figures.head(8).iter_rows(named=True)
    ]


def _ruined(session: date | None) -> str:
    return f"ruined on {session}, " if session else ""


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _settings_line(model: Params | BacktestRules) -> str:
    return ", ".join(f"{name} {value}" for name, value in model.model_dump().items())


def _line(days: pl.DataFrame, column: str, title: str, height: int) -> Any:
    return (
        alt.Chart(days.select("symbol", "session", column), width=WIDTH, height=height)
        .mark_line(interpolate="step-after")
        .encode(
            x=alt.X("session:T", title=None),
            y=alt.Y(f"{column}:Q", title=title, axis=alt.Axis(format="%")),
            color=alt.Color("symbol:N", title=None),
        )
    )


def _bars(days: pl.DataFrame) -> Any:
    return (
        alt.Chart(days.select("symbol", "session", "net"), width=WIDTH, height=110)
        .mark_bar()
        .encode(
            x=alt.X("session:T", title=None),
            y=alt.Y("net:Q", title="net a session, KRW"),
            color=alt.Color("symbol:N", title=None),
            tooltip=["symbol:N", "session:T", alt.Tooltip("net:Q", format=",.0f")],
        )
    )


def _trades(trades: pl.DataFrame) -> Any:
    minute = pl.col("entered").dt.strftime("%H:%M")
    long = pl.col("direction") > 0
    side = pl.when(long).then(pl.lit("long")).otherwise(pl.lit("short")).alias("side")
    drawn = trades.select("symbol", "net", "why", side, minute.alias("entered"))
    return (
        alt.Chart(drawn.tail(5000), width=WIDTH, height=150)
        .mark_point(filled=True, opacity=0.6)
        .encode(
            x=alt.X("hoursminutes(at):T", title="entered at"),
            y=alt.Y("net:Q", title="net of a trade, KRW"),
            shape=alt.Shape("side:N", title=None),
            color=alt.Color("symbol:N", title=None),
            tooltip=["symbol:N", "entered:N", "side:N", "why:N", alt.Tooltip("net:Q", format=",")],
        )
        .transform_calculate(at="toDate('2000-01-01T' + datum.entered)")
    )
