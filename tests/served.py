"""What the simulated exchange will have served of a session in the end, for comparison."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.market.sessions import Market
from engine.market.symbols import Night, VenueStock, parse
from engine.simulator.exchange import SimulatedExchange, served_session
from engine.simulator.market.data import BARS
from engine.simulator.session_rows import FOREVER, BarFault


def served_bars(
    exchange: SimulatedExchange,
    symbol: str,
    day: date,
    *,
    night: bool = False,
    expected_only: bool = True,
    impossible: bool = False,
    traded: bool = False,
) -> pl.DataFrame:
    """Return BARS (with KIS's labels) of a session once all that comes late has come.

    Rows without an expected stamp (KIS serves some) are left out unless asked for. With
    `impossible` the bars of the market are among them whose row at KIS can be none; with `traded`
    those, too, of which KIS has no row at all: the feed tells of them.
    """
    found = parse(symbol)
    if isinstance(found, Night):
        symbol, night = found.contract.code, True
    if isinstance(found, VenueStock):
        return _at_venue(exchange, found, day)
    session = served_session(symbol, Market.NIGHT if night else parse(symbol).market, day)
    if session is None:
        return BARS.to_frame()
    session_rows = exchange.session_rows(symbol, session)
    away = [
        index
        for index, fault in session_rows.faults.items()
        if _stays_away(fault) and not traded and not (impossible and fault.wrong_until == FOREVER)
    ]
    bars = session_rows.bars.with_row_index().filter(~pl.col("index").is_in(away)).drop("index")
    return bars.filter(session.is_label(pl.col("label"))) if expected_only else bars


def _stays_away(fault: BarFault) -> bool:
    """Whether KIS never has the bar, or only as a row that cannot be a bar."""
    return fault.shown_from is None or fault.wrong_until == FOREVER


def _at_venue(exchange: SimulatedExchange, found: VenueStock, day: date) -> pl.DataFrame:
    """Return BARS of a venue; the after-market's come with those of the regular session."""
    hours = found.session(day)
    if hours is None:
        return BARS.to_frame()
    market = Market.STOCKS if found.market is Market.AFTER else found.market
    session = served_session(found.stock, market, day)
    assert session is not None
    return exchange.session_rows(found.stock, session).bars.filter(hours.is_label(pl.col("label")))
