"""Whole days of a symbol or an index, and weeks, months and years of them."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine.columns import PRICES
from engine.errors import CalendarRangeError
from engine.market.sessions import Market, previous_sessions, session, session_dates
from engine.simulator.exchange import KEPT, SimulatedExchange, served_session
from engine.simulator.kept import kept_by_owner
from engine.simulator.market.data import instrument
from engine.simulator.market.trades import turnover_of_bars
from engine.simulator.partial_bar import krw_in_unit
from engine.simulator.query import Query, asked_day
from engine.simulator.summaries import symbol_state

EVERY = {"D": "1d", "W": "1w", "M": "1mo", "Y": "1y"}
LIMIT = 100  # rows an answer
DAYS = pl.Schema(
    [
        ("date", pl.Date()),
        *((name, pl.Float64()) for name in PRICES),
        *((name, pl.Float64()) for name in ("volume", "turnover")),
    ]
)
Day = tuple[date, float, float, float, float, float, float]


def asked_span(query: Query, now: datetime) -> tuple[date, date]:
    """Return the first and last day asked for, none of them older than what KIS keeps.

    Some clients write the first as 10101, a date of the year 1.
    """
    text = query["FID_INPUT_DATE_1"]
    first = asked_day(text.zfill(8) if text else "", now)
    return max(first, now.date() - KEPT), asked_day(query["FID_INPUT_DATE_2"], now)


def session_days(first: date, last: date, now: datetime) -> list[date]:
    """Return the sessions of stocks in a span that KIS still has, newest first."""
    first = max(first, now.date() - KEPT)
    last = min(last, now.date())
    try:
        return list(reversed(session_dates(Market.STOCKS, first, last))) if first <= last else []
    except CalendarRangeError:
        return []


def sessions_until(day: date, count: int, market: Market = Market.STOCKS) -> list[date]:
    """Return a market's last sessions, newest first, the day itself included if it is one."""
    try:
        own = [day] if session(market, day) else []
        return [*own, *reversed(previous_sessions(market, day, count - len(own)))]
    except CalendarRangeError:
        return []


def symbol_days(
    exchange: SimulatedExchange, symbol: str, dates: list[date], now: datetime
) -> pl.DataFrame:
    """Return the days of a stock or future in `DAYS`, in the order of `dates`; today's so far.

    Turnover is in KIS's unit: KRW for stocks, thousand KRW for derivatives.
    """
    market = instrument(symbol).market
    rows = [
        _today(exchange, symbol, market, now)
        if day == now.date()
        else _day(exchange, symbol, market, day)
        for day in dates
    ]
    return pl.DataFrame([row for row in rows if row], DAYS, orient="row")


def _today(exchange: SimulatedExchange, symbol: str, market: Market, now: datetime) -> Day | None:
    state = symbol_state(exchange, symbol, market, now)
    if state is None or not state.today:
        return None
    opened, high, low, close, volume, turnover = (
        float(state.today[name]) for name in list(DAYS)[1:]
    )
    return now.date(), opened, high, low, close, volume, turnover


@kept_by_owner(8192)
def _day(exchange: SimulatedExchange, symbol: str, market: Market, day: date) -> Day | None:
    hours = served_session(symbol, market, day)
    if hours is None:
        return None
    # A stock's close is that of its regular session, whatever is traded after it.
    in_session = hours.stamp_of_label(pl.col("label")).is_not_null()
    bars = exchange.market.bars(symbol, hours).filter(in_session)
    if bars.is_empty():
        return None
    turnover = float(turnover_of_bars(symbol, hours, bars).sum() // krw_in_unit(symbol))
    opened, high, low, close, volume = bars.select(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum().cast(pl.Float64),
    ).row(0)
    return day, opened, high, low, close, volume, turnover


def periods(days: pl.DataFrame, period: str) -> pl.DataFrame:
    """Return days, weeks, months or years (D, W, M, Y), at most LIMIT, newest first.

    `before` and `volume_before` are close and volume of the period before.
    """
    if days.is_empty():
        return days.with_columns(before=pl.lit(None, pl.Float64), volume_before=pl.lit(0.0))
    grouped = (
        days.sort("date")
        .group_by_dynamic("date", every=EVERY.get(period, "1d"))
        .agg(
            pl.col("date").last().alias("last"),
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume", "turnover").sum(),
        )
    )
    return (
        grouped.with_columns(
            date="last",
            before=pl.col("close").shift().fill_null(pl.col("open")),
            volume_before=pl.col("volume").shift().fill_null(pl.col("volume")),
        )
        .with_columns(price="close")
        .drop("last")
        .reverse()
        .head(LIMIT)
    )
