"""Frames of futures and options as of now: the book, days, prices expected of the auctions."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from engine.market.sessions import Market
from engine.market.symbols import Contract
from engine.simulator.board_answers import last_minute
from engine.simulator.exchange import SimulatedExchange, is_forgotten
from engine.simulator.market.data import Instrument, draws, instrument
from engine.simulator.market.listing import future_name
from engine.simulator.query import Query, fits
from engine.simulator.quotations.auctions import expected_prices
from engine.simulator.quotations.days import asked_span, periods, session_days, symbol_days
from engine.simulator.summaries import future_quote, future_summary, symbol_state

LEVELS = 5


class _Quoted(NamedTuple):
    name: str
    price: float
    before: float
    volume: float
    ask: float
    bid: float


def _asked_instrument(query: Query, now: datetime) -> Instrument | None:
    symbol = query["FID_INPUT_ISCD"]
    if not fits(symbol, query["FID_COND_MRKT_DIV_CODE"]) or is_forgotten(symbol, now):
        return None
    return instrument(symbol)


def book(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return one row: a future or option with five prices a side, their contracts and orders."""
    found = _asked_instrument(query, now)
    if found is None:
        return pl.DataFrame()
    quoted = _future(exchange, found, now) if isinstance(found, Contract) else None
    quoted = quoted or _option(exchange, query["FID_INPUT_ISCD"], now)
    if quoted is None:
        return pl.DataFrame()
    asks, bids = [quoted.ask], [quoted.bid]
    for _ in range(LEVELS - 1):
        asks.append(round(asks[-1] + found.tick_size(asks[-1]), 2))
        below = round(bids[-1] - found.tick_size(bids[-1] - 0.001), 2)
        bids.append(max(below, 0.0))
    random = draws("book", query["FID_INPUT_ISCD"], now.replace(microsecond=0))
    sizes = random.integers(1, 90, 2 * LEVELS).astype(float)
    orders = (sizes * random.uniform(0.2, 0.7, 2 * LEVELS)).round().clip(1)
    row: dict[str, float | str] = {
        "code": query["FID_INPUT_ISCD"],
        "hour": f"{now:%H%M%S}",
        **quoted._asdict(),
    }
    for n in range(LEVELS):
        row |= {f"ask{n + 1}": asks[n], f"bid{n + 1}": bids[n]}
        row |= {f"ask_size{n + 1}": sizes[n], f"bid_size{n + 1}": sizes[LEVELS + n]}
        row |= {f"ask_orders{n + 1}": orders[n], f"bid_orders{n + 1}": orders[LEVELS + n]}
    row |= {"asks": float(sizes[:LEVELS].sum()), "bids": float(sizes[LEVELS:].sum())}
    row |= {"ask_orders": float(orders[:LEVELS].sum())}
    row |= {"bid_orders": float(orders[LEVELS:].sum())}
    return pl.DataFrame([row])


def _future(exchange: SimulatedExchange, found: Contract, now: datetime) -> _Quoted | None:
    quoted = future_quote(exchange, found, now)
    if not quoted:
        return None
    price, tick = float(quoted["futs_prpr"]), found.tick_size(0)
    before, volume = float(quoted["futs_prdy_clpr"]), float(quoted["acml_vol"])
    return _Quoted(
        quoted["hts_kor_isnm"], price, before, volume, ask=round(price + tick, 2), bid=price
    )


def _option(exchange: SimulatedExchange, symbol: str, now: datetime) -> _Quoted | None:
    last = last_minute(now)
    listing = exchange.options.find(symbol, last[0]) if last else None
    if last is None or listing is None:
        return None
    chain = exchange.options.at(listing.series, listing.maturity, *last)
    row = chain.row(listing.row, named=True)
    name = f"{row['option_type']} {listing.maturity} {row['strike']}"
    volume = float(row["volume"])
    return _Quoted(name, row["price"], row["before"], volume, row["ask"], row["bid"])


def day_summary(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return one row: output1 of the bars, as KIS writes it, with the index behind a future."""
    found = _asked_instrument(query, now)
    if found is None:
        return pl.DataFrame()
    summary = future_summary(exchange, found.code, Market.DERIVATIVES, now)
    return pl.DataFrame([summary]) if summary else pl.DataFrame()


def days(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the days, weeks, months or years of a future between two dates, newest first."""
    found = _asked_instrument(query, now)
    if not isinstance(found, Contract):
        return pl.DataFrame()
    first, last = asked_span(query, now)
    dates = session_days(first - timedelta(days=10), last, now)
    table = periods(
        symbol_days(exchange, found.code, dates, now), query.get("FID_PERIOD_DIV_CODE", "D")
    )
    return table.filter(pl.col("date") >= first) if not table.is_empty() else table


def expected(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return what a future's auctions of today were expected to give so far, newest first."""
    found = _asked_instrument(query, now)
    if not isinstance(found, Contract):
        return pl.DataFrame()
    state = symbol_state(exchange, found.code, Market.DERIVATIVES, now)
    rows = expected_prices(exchange, found.code, Market.DERIVATIVES, now)
    if state is None or rows.is_empty():
        return pl.DataFrame()
    before = state.before["close"]
    return rows.with_columns(before=pl.lit(before), name=pl.lit(future_name(found)))
