"""What `just signals` and `just trades` show to people: sides in words, prices with separators."""

from __future__ import annotations

import polars as pl

from engine.market.hours import Market
from engine.market.symbols import parse

_SIDES = {1: "▲ long", -1: "▼ short", 0: "·"}
NUMBERS = ("close", "entry", "exit", "net KRW")  # texts here that stand as numbers


def readable_signals(found: pl.DataFrame) -> pl.DataFrame:
    """Return signals of one session as texts: HH:MM, strategy, symbol, signal, close, reason."""
    return found.select(
        _clock("timestamp").alias("time"),
        "strategy",
        "symbol",
        _side("trade_signal").alias("signal"),
        _price("close"),
        "reason",
    )


def readable_trades(found: pl.DataFrame) -> pl.DataFrame:
    """Return trades of one session as texts: entered, left (HH:MM), prices, net KRW."""
    return found.select(
        "strategy",
        "symbol",
        _side("direction").alias("side"),
        _clock("entered"),
        _price("entry"),
        _clock("left"),
        _price("exit"),
        "why",
        _text("net", "{:,.0f}").alias("net KRW"),
    )


def _clock(column: str) -> pl.Expr:
    return pl.col(column).dt.strftime("%H:%M")


def _side(column: str) -> pl.Expr:
    return pl.col(column).replace_strict(_SIDES, return_dtype=pl.String)


def _text(column: str, form: str) -> pl.Expr:
    return pl.col(column).map_elements(form.format, pl.String)


def _price(column: str) -> pl.Expr:
    """Return prices as people write them: KRW without decimals, index points with two."""
    in_won = pl.col("symbol").map_elements(
        lambda code: parse(code).market not in (Market.DERIVATIVES, Market.NIGHT), pl.Boolean
    )
    won, points = _text(column, "{:,.0f}"), _text(column, "{:,.2f}")
    return pl.when(in_won).then(won).otherwise(points).alias(column)
