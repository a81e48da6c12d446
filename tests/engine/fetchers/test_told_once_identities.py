"""What must be true of any market, from KIS's JSON to rows of the tables and views, for any day.

Whoever buys buys from somebody; net is bought less sold; open interest changes by no more than was
traded; the market's basis is the future less the index; an index has its low and high; what an
auction is expected to give comes to what it gives.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import count, pairwise
from types import SimpleNamespace
from typing import cast

import orjson
import polars as pl
import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.columns import TIME
from engine.fetchers.futures_state import read_state
from engine.fetchers.registry import STREAM_FETCHERS
from engine.fetchers.told_once import StreamRequest
from engine.kis.answer import Answer
from engine.kis.client import KisClient
from engine.kis.endpoints.bars import DerivativeMinutes
from engine.kis.endpoints.request import Request
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.told_once import PROGRAMMES, read_told
from engine.market.sessions import Market, session, session_dates
from engine.market.symbols import FrontMonth, parse
from engine.market.told_once import ToldOnce
from engine.schemas import FUTURES_STATE, conform
from engine.simulator.endpoints import endpoints
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.query import in_capitals
from engine.simulator.stream.told_once import programme_frames
from engine.store import Store

NO_CLIENT = cast("KisClient", SimpleNamespace(secrets=list))
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)
DAYS = session_dates(Market.DERIVATIVES, date(2025, 9, 1), date(2025, 12, 1))
NUMBERS = count()
ENDPOINTS = endpoints()
WHOLE = ("foreign", "individual", "institution", "other_organisation", "other_corporation")
CODES = (
    "FLOWS_KOSPI",
    "FLOWS_KOSPI200_FUTURES",
    "FLOWS_KOSPI200_WEEKLY_MON_PUTS",
    "PROGRAMME_KOSPI",
    "INDEX_KOSPI200",
)


def told(exchange: SimulatedExchange, question: Request, now: datetime) -> Answer:
    """Return the simulated KIS's answer, by way of its JSON."""
    body = ENDPOINTS[question.path].answer(exchange, in_capitals(question.params()), now)
    return Answer(question.tr_id, question.symbol, orjson.loads(body), now, now)


def rows_of(exchange: SimulatedExchange, code: str, day: date, stamp: datetime) -> pl.DataFrame:
    """Return what a stream's fetcher reads two seconds after a minute."""
    symbol = parse(code)
    assert isinstance(symbol, ToldOnce)
    found = symbol.session(day)
    assert found is not None
    fetcher = STREAM_FETCHERS[symbol.stream.name](NO_CLIENT)
    request = StreamRequest(symbol, found, stamp)
    now = stamp + (-2 * SECOND if symbol.of_the_moment else 2 * SECOND)
    rows = fetcher.read(told(exchange, fetcher.question(request), now), request)
    assert fetcher.take_rejected().num_rows == 0
    return pl.DataFrame(
        conform(
            rows.with_columns(
                pl.lit(symbol.subject).alias("symbol"), pl.lit(now, TIME).alias("fetched_at")
            ),
            fetcher.schema,
        )
    )


def fed_programmes(exchange: SimulatedExchange, day: date, stamp: datetime) -> pa.RecordBatch:
    """Return what the feed's frame of a minute says of the KOSPI's programme trading."""
    found = session(Market.STOCKS, day)
    assert found is not None
    frames = {
        frame.leaves_at.replace(microsecond=0): (frame.leaves_at, frame.text)
        for frame in programme_frames(exchange, "0001", found)
    }
    registered = {StreamRegistration(PROGRAMMES, "0001")}
    _, rows, rejected = read_told([frames[stamp]], registered, timedelta())
    assert (rows.num_rows, rejected.num_rows) == (1, 0)
    return rows


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 10_000), st.integers(1, 300), st.lists(st.integers(1, 9), max_size=3))
async def test_the_identities_of_the_market_hold_from_json_to_view(
    store: Store, seed: int, first: int, steps: list[int]
) -> None:
    exchange, day = SimulatedExchange(SyntheticMarket(seed)), DAYS[next(NUMBERS)]
    opens = datetime(day.year, day.month, day.day, 9)
    stamps = [opens + first * MINUTE]
    for step in steps:
        stamps.append(stamps[-1] + step * MINUTE)
    front = parse("A01")
    assert isinstance(front, FrontMonth)
    contract = front.on(day).code
    for stamp in stamps:
        for code in CODES:
            symbol = parse(code)
            rows = rows_of(exchange, code, day, stamp)
            batch = conform(rows, STREAM_FETCHERS[symbol.stream.name].schema)
            await store.merge(symbol.table, batch)
            if code == "PROGRAMME_KOSPI":  # before and after what the feed has of it: no matter
                fed = fed_programmes(exchange, day, stamp)
                await store.merge(symbol.table, fed)
                await store.merge(symbol.table, batch)
        label = f"{stamp - MINUTE:%H%M}00"
        question = DerivativeMinutes(symbol=contract, day=day, label=label, market="F")
        await store.merge("futures_state", read_state(told(exchange, question, stamp), stamp))
    await assert_flows(store, day, stamps)
    await assert_programmes(store, day, len(stamps))
    await assert_states(store, day, contract)
    await assert_indices(store, day)


async def of_day(store: Store, table: str, day: date, more: str = "") -> pl.DataFrame:
    query = f"SELECT * FROM {table} WHERE timestamp::date = '{day}' {more} ORDER BY timestamp"
    return pl.DataFrame(await store.query(query))


async def assert_flows(store: Store, day: date, stamps: list[datetime]) -> None:
    for table in ("investor_flows", "investor_flows_1m"):
        rows = await of_day(store, table, day)
        for unit in ("volume", "amount"):
            bought, sold, net = (pl.col(f"{side}_{unit}") for side in ("bought", "sold", "net"))
            assert rows.filter(net != bought - sold).is_empty(), table
            by_minute = rows.filter(pl.col("investor").is_in(WHOLE)).group_by("symbol", "timestamp")
            assert set(by_minute.agg(net.sum()).get_column(f"net_{unit}")) <= {0}, table
            assert rows.filter((bought < 0) | (sold < 0)).is_empty(), table
    seconds = [int((b - a).total_seconds()) for a, b in pairwise(stamps)]
    kospi = rows.filter(symbol="KOSPI", investor="foreign")
    assert kospi["seconds"].to_list() == [None, *seconds]


async def assert_programmes(store: Store, day: date, stamps: int) -> None:
    for table in ("programme_trades", "programme_trades_1m"):
        rows = await of_day(store, table, day)
        for unit in ("", "_volume"):
            for kind in ("arbitrage", "other"):
                bought, sold = pl.col(f"{kind}_bought{unit}"), pl.col(f"{kind}_sold{unit}")
                assert rows.filter(pl.col(f"{kind}_net{unit}") != bought - sold).is_empty(), table
                assert rows.filter((bought < 0) | (sold < 0)).is_empty(), table
            both = pl.col(f"arbitrage_net{unit}") + pl.col(f"other_net{unit}")
            assert rows.filter(pl.col(f"net{unit}") != both).is_empty(), table
    rows = await of_day(store, "programme_trades", day)
    assert rows.filter(pl.col("net_volume").is_not_null()).height == stamps


async def assert_states(store: Store, day: date, contract: str) -> None:
    rows = await of_day(store, "futures_state", day, f"AND symbol = '{contract}'")
    assert rows.schema["open_interest"] == pl.Schema(FUTURES_STATE)["open_interest"]
    opened = rows["open_interest"].diff().abs().drop_nulls()
    assert (opened <= rows["day_volume"].diff().drop_nulls()).all()
    off = rows["basis"] - (rows["price"] - rows["index_price"])
    assert off.abs().max() <= 0.011  # two prices rounded to a hundredth
    assert (rows["bid"] < rows["ask"]).all()


async def assert_indices(store: Store, day: date) -> None:
    rows = await of_day(store, "index_1m", day)
    low, high = pl.min_horizontal("open", "close"), pl.max_horizontal("open", "close")
    assert rows.filter((pl.col("low") > low) | (pl.col("high") < high)).is_empty()
    assert (rows["day_turnover"].diff().drop_nulls() >= 0).all()


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 59), st.sampled_from(["A01", "005930"]))
def test_an_expectation_comes_nearer_to_what_the_auction_gives(
    seed: int, number: int, name: str
) -> None:
    exchange, day = SimulatedExchange(SyntheticMarket(seed)), DAYS[number]
    found = parse(name)
    instrument = found.on(day) if isinstance(found, FrontMonth) else found
    symbol = parse(f"AUCTIONS_{instrument.code}")
    assert isinstance(symbol, ToldOnce)
    session = instrument.session(day)
    assert session is not None
    bars = exchange.session_rows(instrument.code, session).bars
    stamps = symbol.expected_stamps(day)
    for stamp, given_price in (
        (session.opens, bars["open"][0]),
        (session.auction, bars["close"][-1]),
    ):
        if stamp is None:  # of a contract that expires
            continue
        rows = rows_of(exchange, symbol.code, day, stamp).filter(timestamp=stamp)
        assert stamp in stamps
        assert rows["said_at"].max() <= stamp
        last = rows.sort("said_at").row(-1, named=True)
        assert abs(last["price"] / given_price - 1) <= 0.004
        if name != "A01":
            assert last["size"] >= 0
