"""What KIS gives without a time is dated by KIS's clock where ours is wrong.

Chains, flows, the expected price of a stock and the state of a future are of the moment in which
they are asked for, and are stored under the minute of that moment.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest

from engine.errors import KisError
from engine.fetchers.auctions import AuctionFetcher
from engine.fetchers.base import OUTSIDE_BY_KIS, BarRequest, PriceFetcher
from engine.fetchers.derivatives import WRONG_CLOCK, DerivativeBarFetcher
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
async def test_what_has_no_time_of_its_own_is_dated_by_kis_and_not_by_a_wrong_clock(
    database_url: str, tmp_path: Path, name: str, ahead: timedelta
) -> None:
    """With a clock three hours ahead the board of noon was the snapshot of three o'clock."""
    async with desk(database_url, tmp_path, NOON, ahead=ahead) as at:
        fetcher, request = asked(at, name)
        stamps = pl.DataFrame(await fetcher.fetch(request))["timestamp"]
        true = NOON.replace(second=0) + timedelta(minutes=name == "auction")
        assert set(stamps.unique()) <= {true}
        assert stamps.len() or name == "auction"  # at noon nothing is expected


@pytest.mark.parametrize("name", ["chain", "flows"])
async def test_what_comes_while_no_session_is_on_by_kis_is_of_none(
    database_url: str, tmp_path: Path, name: str
) -> None:
    """By our clock it is noon, by KIS's seven in the morning: the board is yesterday's.

    If it is KIS's clock that is wrong, nobody can ask for it again: it is kept aside, whole.
    """
    early = NOON - timedelta(hours=5)
    async with desk(database_url, tmp_path, early, ahead=timedelta(hours=5)) as at:
        fetcher, request = asked(at, name)
        with pytest.raises(KisError, match="at 07:00 by KIS's there was nothing to store"):
            await fetcher.fetch(request)
        rejected = fetcher.take_rejected()
        assert (await at.store.merge("rejected_rows", rejected)).inserted == rejected.num_rows
        kept = rejected.to_pylist()
    calls = {"chain": ["FHPIF05030100", "FHPIF05030000"], "flows": ["FHPTJ04030000"]}[name]
    assert [row["tr_id"] for row in kept] == calls
    assert {row["symbol"] for row in kept} == {
        "202509_KOSPI200" if name == "chain" else "FLOWS_KOSPI"
    }
    assert fetcher.counts[OUTSIDE_BY_KIS] == len(kept)
    raw = orjson.loads(kept[0]["raw"])
    assert (raw["our_clock"], raw["kis_clock"]) == ("2025-09-02 12:00:02", "2025-09-02 07:00:02")
    rows = raw["said"]["output1" if name == "chain" else "output"]
    assert len(rows) == (100 if name == "chain" else 1)
    assert {"chain": "optn_prpr", "flows": "frgn_seln_vol"}[name] in rows[0]


@pytest.mark.parametrize("name", ["chain", "flows"])
async def test_a_clock_that_is_off_by_seconds_dates_them(
    database_url: str, tmp_path: Path, name: str
) -> None:
    async with desk(database_url, tmp_path, NOON, ahead=timedelta(seconds=20)) as at:
        fetcher, request = asked(at, name)
        assert (await fetcher.fetch(request)).num_rows


@pytest.mark.parametrize("ahead", CLOCKS)
async def test_an_expectation_before_the_open_is_dated_by_kis(
    database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    """The orders for an auction are taken before the session opens."""
    async with desk(database_url, tmp_path, NOON.replace(hour=8, minute=40), ahead=ahead) as at:
        fetcher, request = asked(at, "auction")
        stamps = pl.DataFrame(await fetcher.fetch(request))["timestamp"]
    assert stamps.to_list() == [NOON.replace(hour=8, minute=41, second=0)]


@pytest.mark.parametrize("ahead", [timedelta(), *CLOCKS])
async def test_the_state_of_a_future_is_kept_aside_once_a_minute_with_both_clocks(
    database_url: str, tmp_path: Path, ahead: timedelta
) -> None:
    """Asked two seconds after a minute of ours, it is of no end of a minute of KIS's."""
    async with desk(database_url, tmp_path, NOON, ahead=ahead) as at:
        fetcher = DerivativeBarFetcher(at.context.client)
        session = parse(CONTRACT).session(NOON.date())
        assert session is not None
        for _ in range(2):
            await fetcher.fetch(BarRequest(CONTRACT, session))
        kept = [row for row in fetcher.take_rejected().to_pylist() if row["reason"] == WRONG_CLOCK]
        assert (fetcher.take_state(CONTRACT) is None) is bool(kept) is bool(ahead)
    assert fetcher.counts[WRONG_CLOCK] == len(kept) == bool(ahead)
    for row in kept:
        raw = orjson.loads(row["raw"])
        assert (row["symbol"], raw["kis_clock"]) == (CONTRACT, "2025-09-02 12:00:02")
        assert raw["our_clock"] == f"{NOON + ahead}"
        assert int(raw["said"]["hts_otst_stpl_qty"]) > 0
