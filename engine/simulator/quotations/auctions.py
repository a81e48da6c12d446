"""Prices expected of the opening and the closing auction, while orders are being collected."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple

import polars as pl

from engine.market.sessions import Market
from engine.market.told_once import BEFORE_OPEN
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import draws, instrument
from engine.simulator.session_rows import SessionRows

STEP = timedelta(seconds=10)
ROWS = 100
WANDER = 0.004  # how far from the price the first expectation may be


class Expected(NamedTuple):
    """A price expected of an auction and the volume at it; zeros outside of auctions."""

    price: float
    volume: float


class _Auction(NamedTuple):
    starts: datetime
    ends: datetime
    price: float  # that it will have
    volume: int


NOTHING = Expected(0.0, 0.0)


def expected_price(
    exchange: SimulatedExchange, symbol: str, market: Market, now: datetime
) -> Expected:
    """Return price and volume that the running auction is expected to have; NOTHING without one."""
    for auction in _auctions(exchange.today(symbol, market, now)):
        if auction.starts <= now < auction.ends:
            return _expected(symbol, auction, now)
    return NOTHING


def expected_prices(
    exchange: SimulatedExchange, symbol: str, market: Market, now: datetime
) -> pl.DataFrame:
    """Return hour, price, volume every ten seconds of today's auctions so far, newest first."""
    rows = [
        (f"{moment:%H%M%S}", *expected)
        for moment, expected in auction_steps(exchange.today(symbol, market, now), symbol)
        if moment < now
    ]
    schema = {"hour": pl.String, "price": pl.Float64, "volume": pl.Float64}
    return pl.DataFrame(rows[::-1][:ROWS], schema, orient="row")


def auction_steps(rows: SessionRows | None, symbol: str) -> Iterator[tuple[datetime, Expected]]:
    """Yield what a session's auctions are expected to give, with the time, whenever it changes."""
    for auction in _auctions(rows):
        moment = auction.starts
        while moment < auction.ends:
            yield moment, _expected(symbol, auction, moment)
            moment += STEP


def _auctions(rows: SessionRows | None) -> Iterator[_Auction]:
    """Yield the auctions of a session: each ends in a bar, from which its price is known."""
    if rows is None or rows.bars.is_empty():
        return
    session = rows.session
    first = rows.bars.row(0, named=True)
    lead = BEFORE_OPEN.get(session.market, timedelta())
    if first["label"] == session.opens:
        volume = max(1, first["volume"] // 3)
        yield _Auction(session.opens - lead, session.opens, first["open"], volume)
    closing = rows.bars.filter(pl.col("label").eq_missing(pl.lit(session.auction)))
    if session.auction is not None and not closing.is_empty():
        close, volume = closing["close"][0], closing["volume"][0]
        yield _Auction(session.continuous_end, session.auction, close, volume)


def _expected(symbol: str, auction: _Auction, moment: datetime) -> Expected:
    """Return the expectation at a moment: it comes ever nearer to what the auction will give."""
    done = (moment - auction.starts) / (auction.ends - auction.starts)
    off = draws("expected", symbol, moment.replace(microsecond=0)).uniform(-WANDER, WANDER)
    price = auction.price * (1 + off * (1 - done))
    tick = instrument(symbol).tick_size(price)
    return Expected(round(round(price / tick) * tick, 2), float(int(auction.volume * done)))
