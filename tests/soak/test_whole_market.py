"""The check of a whole market's sweep finds what it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import polars as pl
import pytest

from engine import schemas
from engine.clock import WallClock
from engine.market.sessions import Market, Session, session
from engine.store import Store
from engine.store.connection import Connection
from tests.soak import whole_market
from tests.soak.__main__ import FROM
from tests.soak.orders import SeasonKind
from tests.soak.plan import plan_season

CODES = ("005930", "000660")
KIND = SeasonKind(whole_market=True, one_life=True)


def held() -> Session:
    found = session(Market.STOCKS, FROM)
    assert found is not None
    return found


def gap(symbol: str, first: int, last: int, state: str, minute: int = 0) -> dict[str, object]:
    """A row of the ledger over the stamps first to last, noted at that minute of the evening."""
    stamps = held().stamps()
    noted = held().sealed_at + timedelta(minutes=minute)
    return {
        "symbol": symbol,
        "session": FROM,
        "market": "stocks",
        "first_stamp": stamps[first],
        "last_stamp": stamps[last],
        "stamps": last - first + 1,
        "state": state,
        "reason": "KIS has no bar there",
        "attempts": 1,
        "opened_at": noted,
        "answered_at": noted,
        "updated_at": noted,
    }


@pytest.mark.parametrize(
    ("ledger", "said"),
    [
        ([gap(CODES[1], 0, 379, "no_trade")], "1 minutes of 1 swept stocks are missing in silence"),
        ([gap(CODES[1], 0, 380, "no_trade")], None),
        ([gap(CODES[1], 0, 99, "open"), gap(CODES[1], 100, 380, "no_trade")], None),
        (
            [gap(CODES[1], 0, 380, "no_trade"), gap(CODES[1], 7, 8, "filled", minute=5)],
            "2 minutes of 1 swept stocks are missing in silence",
        ),
        ([], "381 minutes of 1 swept stocks are missing in silence"),
    ],
)
async def test_each_minute_of_each_stock_has_a_bar_or_stands_in_the_ledger(
    database_url: str, ledger: list[dict[str, object]], said: str | None
) -> None:
    store = Store(database_url, WallClock())
    bars = pl.DataFrame({"timestamp": held().stamps()}).with_columns(
        symbol=pl.lit(CODES[0]),
        **{name: pl.lit(100.0) for name in ("open", "high", "low", "close")},
        volume=pl.lit(1),
        timeframe=pl.lit("1m"),
        fetched_at=pl.lit(held().sealed_at),
        source=pl.lit(schemas.REST),
    )
    await store.merge("stocks_1m", schemas.conform(bars, schemas.STOCK_BARS))
    if ledger:
        await store.merge("gaps", schemas.conform(pl.DataFrame(ledger), schemas.GAPS))
    await store.close()
    with closing(Connection(database_url, "soak")) as database:
        ask: Callable[[str], pl.DataFrame] = lambda sql: pl.DataFrame(database.query(sql))  # noqa: E731
        absent = whole_market.minutes_without_bar(ask, CODES, held())
    assert absent.height == 381
    assert list(whole_market.what_is_broken(absent)) == ([said] if said else [])


def test_a_season_of_the_whole_market_sweeps_all_that_is_listed() -> None:
    season = plan_season(7, FROM, 21, kind=KIND)
    assert KIND.options == " --one-life --whole-market"
    assert all(season[n].sweeps_the_market and not season[n].night for n in range(1, 22))
    codes = whole_market.codes_of_market(season.market(), FROM)
    assert len(codes) == 2_686, "14 are listed for the first time later"
    assert len(set(whole_market.sample(codes, 7, 1))) == whole_market.SAMPLE
    assert whole_market.sample(codes, 7, 1) != whole_market.sample(codes, 7, 2)
