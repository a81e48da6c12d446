"""What must be true after a session's sweep of the whole market, of all its stocks at once.

The bars themselves are compared with KIS's for a sample of the stocks (`tests.soak.promise`): to
make the bars of all would take longer than to collect them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date

import polars as pl

from engine.kis.stock_layout import MARKETS
from engine.kis.stock_master import parse_stock_master
from engine.market.sessions import Session
from engine.market.universes import members
from engine.simulator.market.data import MarketData
from engine.simulator.market.listed_stocks import stock_master_file
from tests.soak.plan import WHOLE_MARKET

SAMPLE = 60  # stocks of a session

Ask = Callable[[str], pl.DataFrame]


def codes_of_market(market: MarketData, day: date) -> tuple[str, ...]:
    """Return the codes that the market's master files list on the day, as traded by then."""
    listings = pl.concat(
        parse_stock_master(stock_master_file(market, name, day), name).listings for name in MARKETS
    )
    return tuple(members(listings.filter(pl.col("listed_from") <= day), [WHOLE_MARKET]))


def sample(codes: tuple[str, ...], seed: int, number: int) -> list[str]:
    """Return the stocks of a session whose bars are compared one by one."""
    return random.Random(f"{seed}/sample/{number}").sample(codes, min(SAMPLE, len(codes)))  # noqa: S311


def minutes_without_bar(ask: Ask, codes: tuple[str, ...], session: Session) -> pl.DataFrame:
    """Return symbol, stamp, state, reason of each expected minute that has no bar.

    State and reason are null where the ledger of gaps does not know of it.
    """
    day = session.date
    stored = ask(
        "SELECT symbol, timestamp AS stamp FROM stocks_1m"
        f" WHERE timestamp >= '{day}' AND timestamp < '{day}'::date + 1"
    )
    expected = pl.DataFrame({"symbol": codes}).join(
        session.stamps().alias("stamp").to_frame(), how="cross"
    )
    absent = expected.join(stored, on=["symbol", "stamp"], how="anti")
    ledger = ask(
        "SELECT symbol, first_stamp, last_stamp, state, reason, updated_at FROM gaps"
        f" WHERE session = '{day}'"
    )
    covered = (
        ledger.sort("updated_at")
        .with_columns(stamp=pl.datetime_ranges("first_stamp", "last_stamp", "1m", time_unit="us"))
        .explode("stamp")
        .unique(["symbol", "stamp"], keep="last", maintain_order=True)
    )
    return absent.join(
        covered.select("symbol", "stamp", "state", "reason"), on=["symbol", "stamp"], how="left"
    )


def what_is_broken(absent: pl.DataFrame) -> Iterator[str]:
    """Yield what the minutes without a bar say against the promise."""
    silent = absent.filter(pl.col("state").is_null() | (pl.col("state") == "filled"))
    if silent.height:
        symbols = silent["symbol"].n_unique()
        yield f"{silent.height} minutes of {symbols} swept stocks are missing in silence"
    if absent.filter(pl.col("reason").is_null(), pl.col("state").is_not_null()).height:
        yield "a gap of a swept stock has no reason"
