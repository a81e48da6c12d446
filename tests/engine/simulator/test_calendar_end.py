"""The last weeks that the calendar knows: a day runs, and what lies beyond is refused."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.kis.client import KisClient
from engine.market.symbols import FrontMonth, parse
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, SyntheticMarket, serve
from tests.served import served_bars

DAYS = [date(2027, 12, 10), date(2027, 12, 30)]  # the last expiry was on the 9th


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("product", ["A01", "A05", "A06"])
async def test_every_bar_of_a_last_day_is_fetched(day: date, product: str, tmp_path: Path) -> None:
    """Each call was answered HTTP 500: the front month expires in 2028."""
    front = parse(product)
    assert isinstance(front, FrontMonth)
    contract = front.on(day)
    session = contract.session(day)
    assert session is not None
    clock = VirtualClock(session.sealed_at)
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    async with serve(SyntheticMarket(3), clock) as simulator:
        settings = KisSettings(base_url=simulator.base_url, app_keys=keys)
        client = KisClient(settings, clock, folder=tmp_path)
        request = BarRequest(contract.code, session, whole_day=True)
        bars = pl.DataFrame(await DerivativeBarFetcher(client).fetch(request))
        await client.close()
        served = served_bars(simulator.exchange, contract.code, day)
    assert bars.height == served.height > 380
    assert bars["close"].to_list() == served["close"].to_list()
    assert simulator.counts.refusals == {}


@pytest.mark.parametrize("day", DAYS)
async def test_the_chain_of_a_last_day_is_fetched(day: date, tmp_path: Path) -> None:
    minute = datetime.combine(day, time(10))
    clock = VirtualClock(minute + timedelta(seconds=2))
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    async with serve(SyntheticMarket(3), clock) as simulator:
        settings = KisSettings(base_url=simulator.base_url, app_keys=keys)
        client = KisClient(settings, clock, folder=tmp_path)
        request = ChainRequest("KOSPI200", "202801", minute, deadline=minute + timedelta(minutes=1))
        chain = await OptionChainFetcher(client).fetch(request)
        await client.close()
    assert chain.num_rows > 100


async def test_what_the_calendar_does_not_know_is_refused_as_kis_refuses(calling: Any) -> None:
    """It was HTTP 500 and a traceback; here the clock went on beyond the calendar."""
    async with calling(datetime(2028, 1, 3, 12)) as caller:
        answer = await caller.get(
            "FHMIF10000000", FID_COND_MRKT_DIV_CODE="F", FID_INPUT_ISCD="A01803"
        )
    assert answer.status_code == 200
    assert answer.json() == {
        "rt_cd": "2",
        "msg_cd": "OPSQ2001",
        "msg1": "ERROR : INPUT INVALID_CHECK_DATE",
    }
