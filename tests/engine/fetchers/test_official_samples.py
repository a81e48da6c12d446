"""KIS's own sample answers, value by value. They are not shipped: skipped where absent."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.fetchers.base import BarRequest
from engine.fetchers.chain_rows import read_quotes
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.fetchers.stock import StockBarFetcher
from engine.kis.answer import Answer
from engine.kis.auth import Token
from engine.kis.endpoints.options import DerivativeQuote
from engine.kis.holidays import opening_days
from tests.engine.kis.stub_kis import StubKis, StubReply, json_reply, open_client
from tests.paths import KIS_SAMPLES as SAMPLES
from tests.paths import needs
from tests.stamps import session_on

pytestmark = needs(SAMPLES)


def sample(tr_id: str) -> StubReply:
    return StubReply((SAMPLES / f"{tr_id}.json").read_bytes())


def kept_token(folder: Path) -> Token:
    (file,) = folder.glob("*-token.json")
    return Token.model_validate(orjson.loads(file.read_bytes())["token"])


async def test_futures_bars_are_read_and_half_minutes_are_rejected(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.answer = lambda _asked: sample("FHKIF03020200")
    request = BarRequest("101V09", session_on("101V09", date(2024, 4, 17)))
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        bars = (await fetcher.fetch(request)).to_pylist()
    for bar in bars:
        assert (bar.pop("fetched_at"), bar.pop("source")) == (kis.clock.now(), "rest")
    price = {"open": 359.6, "high": 359.6, "low": 359.6, "close": 359.6, "volume": 0}
    assert bars == [
        {"timestamp": datetime(2024, 4, 17, 14, 15), "symbol": "101V09", **price},
        {"timestamp": datetime(2024, 4, 17, 14, 16), "symbol": "101V09", **price},
    ]
    rejected = fetcher.take_rejected().to_pylist()
    assert [row["reason"] for row in rejected] == ["not a full minute"] * 2
    assert orjson.loads(rejected[0]["raw"])["stck_cntg_hour"] == "141430"


@pytest.mark.parametrize("clock", [datetime(2022, 9, 2, 10, 5, 2)], indirect=True)
@pytest.mark.usefixtures("clock")
async def test_stock_bars_of_today_are_read(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _asked: sample("FHKST03010200")
    request = BarRequest("000660", session_on("000660", date(2022, 9, 2)))
    async with open_client(kis, tmp_path) as client:
        bars = (await StockBarFetcher(client).fetch(request)).to_pylist()
    common = {
        "symbol": "000660",
        "timeframe": "1m",
        "fetched_at": kis.clock.now(),
        "source": "rest",
    }
    assert bars == [
        {
            "timestamp": datetime(2022, 9, 2, 10, 0),
            "open": 92500,
            "high": 92500,
            "low": 92400,
            "close": 92400,
            "volume": 1564,
            **common,
        },
        {
            "timestamp": datetime(2022, 9, 2, 10, 1),
            "open": 92400,
            "high": 92500,
            "low": 92400,
            "close": 92500,
            "volume": 1383,
            **common,
        },
    ]


async def test_stock_bars_of_a_past_day_are_read(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _asked: sample("FHKST03010230")
    request = BarRequest("005930", session_on("005930", date(2024, 11, 8)))
    async with open_client(kis, tmp_path) as client:
        bars = (await StockBarFetcher(client).fetch(request)).to_pylist()
    common = {
        "symbol": "005930",
        "timeframe": "1m",
        "fetched_at": kis.clock.now(),
        "source": "rest",
    }
    assert bars == [
        {
            "timestamp": datetime(2024, 11, 8, 12, 2),
            "open": 57700,
            "high": 57800,
            "low": 57700,
            "close": 57700,
            "volume": 3856,
            **common,
        },
        {
            "timestamp": datetime(2024, 11, 8, 14, 0),
            "open": 57400,
            "high": 57500,
            "low": 57300,
            "close": 57300,
            "volume": 118619,
            **common,
        },
        {
            "timestamp": datetime(2024, 11, 8, 14, 1),
            "open": 57300,
            "high": 57400,
            "low": 57200,
            "close": 57300,
            "volume": 59047,
            **common,
        },
    ]


def board_and_top(asked: Any) -> StubReply:
    return sample("FHPIF05030100" if "callput" in asked.path else "FHPIF05030000")


async def test_the_option_board_is_read(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = board_and_top
    minute = datetime(2026, 11, 20, 10, 5)
    async with open_client(kis, tmp_path) as client:
        chain = await OptionChainFetcher(client).fetch(ChainRequest("KOSPI200", "202612", minute))
    call, put = chain.to_pylist()
    for row in (call, put):
        assert minute <= row.pop("quoted_at") <= row.pop("fetched_at") == kis.clock.now()
    same = {
        "timestamp": minute,
        "underlying_symbol": "202612_KOSPI200",
        "strike": 480.0,
        "historical_volatility": 16.9285,
        "gamma": 0.0,
        "vega": 0.0,
        "underlying_price": 369.35,
        "underlying_source": "future:A01612",
        "price_since": minute,
        "stale_price": False,  # the put did not trade, but it has a bid and an ask
        "quote_source": "board",
        "bought": None,
        "sold": None,
        "index_price": 367.25,
    }
    assert call == {
        **same,
        "symbol": "201V05480",
        "option_type": "C",
        "price": 0.01,
        "bid": 0.0,
        "ask": 0.01,
        "volume": 34,
        "open_interest": 642,
        "iv": 31.5614,
        "delta": 0.0,
        "theta": 0.0,
        "rho": 0.0,
        "theoretical_price": 0.0,
        "bid_size": 0,
        "ask_size": 1710,  # there is no bid, and an ask of 0.01
        "turnover": 34 * 0.01 * 250_000,
        "atm_class": "OTM",
    }
    assert put == {
        **same,
        "symbol": "301V05480",
        "option_type": "P",
        "price": 108.45,
        "bid": 78.35,
        "ask": 142.6,
        "volume": 0,
        "open_interest": 48,
        "iv": 0.0,
        "delta": -1.0,
        "theta": 0.046,
        "rho": -0.3541,
        "theoretical_price": 111.51,
        "bid_size": 10,
        "ask_size": 10,
        "turnover": 0.0,
        "atm_class": "ITM",
    }


async def test_without_a_future_the_index_is_the_underlying(kis: StubKis, tmp_path: Path) -> None:
    top = orjson.loads(sample("FHPIF05030000").body)
    top["output1"]["futs_prpr"] = "0.00"
    kis.answer = lambda asked: board_and_top(asked) if "callput" in asked.path else json_reply(top)
    request = ChainRequest("KOSPI200", "202612", datetime(2026, 11, 20, 10, 5))
    async with open_client(kis, tmp_path) as client:
        chain = await OptionChainFetcher(client).fetch(request)
    assert chain["underlying_price"].to_pylist() == [367.25] * 2
    assert chain["underlying_source"].to_pylist() == ["index"] * 2


def test_a_single_quote_is_read() -> None:
    body = orjson.loads(sample("FHMIF10000000").body)
    moment = datetime(2026, 11, 20)
    answer = Answer("FHMIF10000000", "A01612", body, moment, moment)
    (row,) = read_quotes([answer]).to_dicts()
    assert row == {
        "symbol": "A01612",
        "price": 395.0,
        "volume": 220924,
        "open_interest": 247121,
        "iv": None,
        "historical_volatility": None,
        "delta": 1.0,
        "gamma": 0.0,
        "vega": 0.0,
        "theta": 0.0,
        "rho": 0.0,
        "theoretical_price": 395.48,
        "turnover": 21741293338000.0,  # 393.6 points a contract at 250,000 KRW, near its price
        "quoted_at": moment,
        "quote_source": "single",
    }


async def test_the_holidays_are_read(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _asked: sample("CTCA0903R")
    async with open_client(kis, tmp_path) as client:
        days = await opening_days(client, date(2022, 12, 27), date(2023, 1, 19))
    assert len(days) == 24
    closed = {day for day, is_open in days.items() if not is_open}
    weekends = {
        date(2022, 12, 31),
        date(2023, 1, 1),
        date(2023, 1, 7),
        date(2023, 1, 8),
        date(2023, 1, 14),
        date(2023, 1, 15),
    }
    # KRX closes on the last working day of the year, when banks do not.
    assert closed == weekends | {date(2022, 12, 30)}


@pytest.mark.parametrize("clock", [datetime(2023, 12, 21, 8, 16, 59)], indirect=True)
@pytest.mark.usefixtures("clock")
async def test_the_token_and_its_expiry_are_read_and_kept(kis: StubKis, tmp_path: Path) -> None:
    kis.token = lambda: sample("tokenP")
    async with open_client(kis, tmp_path) as client:
        await client.call(DerivativeQuote("A01612"))
    token = kept_token(tmp_path)
    assert token.expires_at == datetime(2023, 12, 22, 8, 16, 59)
    assert token.access_token.startswith("eyJ0eXAi")
    assert "eyJ0eXAi" not in repr(token)
