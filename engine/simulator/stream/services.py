"""Which TR of the feed carries what: of which kind of symbol, in which market, in which fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.errors import InputError
from engine.market.sessions import Market
from engine.market.symbols import Contract, Option, Stock
from engine.simulator.market.data import Instrument, instrument
from engine.simulator.quotations.programmes import CODES
from engine.simulator.quotations.table import Columns
from engine.simulator.stream.book_columns import (
    DERIVATIVE_LEVELS,
    FUTURE_BOOK,
    OPTION_BOOK,
    STOCK_BOOK,
    STOCK_LEVELS,
)
from engine.simulator.stream.trade_columns import (
    FUTURE_TRADE,
    NIGHT_FUTURE_TRADE,
    NIGHT_OPTION_TRADE,
    OPTION_TRADE,
    STOCK_TRADE,
)


@dataclass(frozen=True)
class Service:
    """A TR of which frames are sent. `levels` of its book; 0 for one of trades."""

    tr_id: str
    kind: type[Instrument]
    market: Market
    columns: Columns
    levels: int = 0


SERVICES = {
    service.tr_id: service
    for service in (
        Service("H0IFCNT0", Contract, Market.DERIVATIVES, FUTURE_TRADE),
        Service("H0IFASP0", Contract, Market.DERIVATIVES, FUTURE_BOOK, DERIVATIVE_LEVELS),
        Service("H0MFCNT0", Contract, Market.NIGHT, NIGHT_FUTURE_TRADE),
        Service("H0MFASP0", Contract, Market.NIGHT, FUTURE_BOOK, DERIVATIVE_LEVELS),
        Service("H0IOCNT0", Option, Market.DERIVATIVES, OPTION_TRADE),
        Service("H0IOASP0", Option, Market.DERIVATIVES, OPTION_BOOK, DERIVATIVE_LEVELS),
        Service("H0EUCNT0", Option, Market.NIGHT, NIGHT_OPTION_TRADE),
        Service("H0EUASP0", Option, Market.NIGHT, OPTION_BOOK, DERIVATIVE_LEVELS),
        Service("H0STCNT0", Stock, Market.STOCKS, STOCK_TRADE),
        Service("H0STASP0", Stock, Market.STOCKS, STOCK_BOOK, STOCK_LEVELS),
    )
}
TRADES = tuple(tr_id for tr_id, service in SERVICES.items() if not service.levels)
# These can be registered like the others, but send nothing: the simulated market lacks their data.
_SILENT = """
    H0EUANC0 H0NXCNT0 H0NXASP0 H0NXANC0 H0NXMKO0 H0NXPGM0 H0UNCNT0 H0UNASP0
    H0UNANC0 H0UNMKO0 H0UNPGM0 H0UPCNT0 H0UPANC0 H0STPGM0 H0STCNI0 H0STCNI9
    H0IFCNI0 H0MFCNI0 H0EUCNI0
"""
MARKET_STATES = "H0STMKO0"  # of stocks: engine.simulator.stream.market_states
EXPECTATIONS, PROGRAMMES = "H0STANC0", "H0UPPGM0"  # engine.simulator.stream.told_once
_OF_STOCKS = frozenset({MARKET_STATES, EXPECTATIONS})
SILENT = frozenset(_SILENT.split())
KNOWN = SILENT | SERVICES.keys() | _OF_STOCKS | {PROGRAMMES}
Problem = Literal["tr_id", "tr_key"]


def problem(tr_id: str, tr_key: str) -> Problem | None:
    """Return what is wrong with a registration: the TR, its key, or nothing."""
    if tr_id not in KNOWN:
        return "tr_id"
    service = SERVICES.get(tr_id)
    if tr_id == PROGRAMMES:
        return None if tr_key in CODES.values() else "tr_key"
    if service is None and tr_id not in _OF_STOCKS:
        return None if tr_key else "tr_key"
    try:
        found = instrument(tr_key)
    except InputError:
        return "tr_key"
    return None if isinstance(found, service.kind if service else Stock) else "tr_key"
