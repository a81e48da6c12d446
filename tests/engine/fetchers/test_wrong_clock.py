"""T4 of what KIS gives without a time: KIS's clock dates it where ours is wrong.

Chains, flows, the expected price of a stock and the state of a future are of the moment in which
they are asked for, and are stored under the minute of that moment.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.errors import KisError
from engine.fetchers.auctions import AuctionFetcher
from engine.fetchers.base import BarRequest, PriceFetcher
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.fetchers.told_once import FlowsFetcher, StreamRequest
from engine.market.symbols import parse
from engine.market.told_once import ToldOnce
from tests.pipelines.simulated import Desk, desk

NOON = datetime(2025, 9, 2, 12, 0, 2)  # by KIS's clock
CONTRACT = "101W09"
CLOCKS = [timedelta(hours=3), timedelta(minutes=8), timedelta(minutes=-8)]


def stream(code: str, stamp: datetime) -> StreamRequest:
    symbol = parse(code)
    assert isinstance(symbol, ToldOnce)
    session = symbol.session(NOON.date())
    assert session is not None
    return StreamRequest(symbol, session, stamp)


def asked(at: Desk, name: str) -> tuple[PriceFetcher, object]:
    """Return a fetcher of the desk's client, and its question for the present minute."""
    client = at.context.client
    minute = at.context.clock.now().replace(second=0)
    if name == "chain":
        return OptionChainFetcher(client), ChainRequest("KOSPI200", "202509", minute)
    if name == "flows":
        return FlowsFetcher(client), stream("FLOWS_KOSPI", minute)
    return AuctionFetcher(client), stream("AUCTIONS_005930", minute + timedelta(minutes=1))


@pytest.mark.parametrize("ahead", CLOCKS)
@pytest.mark.parametrize("name", ["chain", "flows", "auction"])
async def test_t4_what_has_no_time_of_its_own_is_dated_by_kis_and_not_by_a_wrong_clock(
    database_url: str, tmp_path: Path, name: str, ahead: timedelta
) -> None:
    """T4. With a clock three hours ahead the board of noon was the snapshot of three o'clock."""
    async with desk(database_url, tmp_path, NOON, ahead=ahead) as at:
        fetcher, request = asked(at, name)
        stamps = pl.DataFrame(await fetcher.fetch(request))["timestamp"]
        true = NOON.replace(second=0) + timedelta(minutes=name == "auction")
        assert set(stamps.unique()) <= {true}
        assert stamps.len() or name == "auction"  # at noon nothing is expected


@pytest.mark.parametrize("name", ["chain", "flows"])
async def test_t4_what_comes_while_no_session_is_on_by_kis_is_of_none(
    database_url: str, tmp_path: Path, name: str
) -> None:
    """By our clock it is noon, by KIS's seven in the morning: the board is yesterday's."""
    early = NOON - timedelta(hours=5)
    async with desk(database_url, tmp_path, early, ahead=timedelta(hours=5)) as at:
        fetcher, request = asked(at, name)
        with pytest.raises(KisError, match="at 07:00 by KIS's there was nothing to store"):
            await fetcher.fetch(request)


@pytest.mark.parametrize("name", ["chain", "flows"])
async def test_a_clock_that_is_off_by_seconds_dates_them(
    database_url: str, tmp_path: Path, name: str
) -> None:
    async with desk(database_url, tmp_path, NOON, ahead=timedelta(seconds=20)) as at:
        fetcher, request = asked(at, name)
        assert (await fetcher.fetch(request)).num_rows


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=-8)])
async def test_t4_the_state_of_a_future_is_not_dated_by_it_either(
    database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    async with desk(database_url, tmp_path, NOON, ahead=ahead) as at:
        fetcher = DerivativeBarFetcher(at.context.client)
        session = parse(CONTRACT).session(NOON.date())
        assert session is not None
        await fetcher.fetch(BarRequest(CONTRACT, session))
        assert (fetcher.take_state(CONTRACT) is None) is bool(ahead)
