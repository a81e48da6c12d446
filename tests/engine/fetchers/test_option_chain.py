"""A chain is complete around the market although KIS's board is not, and shows each quote's age."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.clock import VirtualClock
from engine.errors import KisError, KisUnreachable
from engine.fetchers import chain_rows
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.kis.answer import Answer
from engine.kis.client import KisClient
from engine.market.symbols import parse_chain
from engine.schemas import OPTION_CHAIN
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, Simulator, SyntheticMarket, serve
from tests.engine.fetchers.boards import HIGH, Answering, chain_answers, option
from tests.engine.kis.stub_kis import ReceivedRequest, StubKis, StubReply, fine, open_client

MINUTE = datetime(2026, 11, 20, 10, 5)
MASTER = "/common/master/fo_idx_code_mts.mst.zip"


@asynccontextmanager
async def open_simulated(folder: Path) -> AsyncIterator[tuple[Simulator, KisClient]]:
    clock = VirtualClock(MINUTE + timedelta(seconds=2))
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    async with serve(SyntheticMarket(3), clock) as simulator:
        master = simulator.base_url + MASTER
        settings = KisSettings(base_url=simulator.base_url, app_keys=keys, master_url=master)
        client = KisClient(settings, clock, folder=folder)
        try:
            yield simulator, client
        finally:
            await client.close()


def request(minute: datetime = MINUTE, maturity: str = "202612") -> ChainRequest:
    return ChainRequest("KOSPI200", maturity, minute, deadline=minute + timedelta(minutes=1))


def frame(batch: pa.RecordBatch) -> pl.DataFrame:
    assert batch.schema == OPTION_CHAIN
    found = pl.from_arrow(batch)
    assert isinstance(found, pl.DataFrame)
    assert not found["symbol"].is_duplicated().any()
    return found


async def test_the_strikes_around_the_market_are_there_on_both_sides(tmp_path: Path) -> None:
    async with open_simulated(tmp_path) as (simulator, client):
        chain = frame(await OptionChainFetcher(client).fetch(request()))
    price = chain["underlying_price"][0]
    assert chain["underlying_source"].unique().to_list() == ["future:A01612"]
    for side in "CP":
        strikes = chain.filter(pl.col("option_type") == side)["strike"].sort()
        around = strikes.filter((strikes - price).abs() <= 10.5 * 2.5).to_list()
        assert len(around) >= 21
        assert {b - a for a, b in pairwise(around)} == {2.5}
    near = chain.filter((pl.col("strike") - price).abs() <= 25)
    assert (
        near.select("price", "iv", "delta", "open_interest", "quoted_at")
        .null_count()
        .sum_horizontal()
        .item()
        == 0
    )
    assert simulator.counts.calls["FHPIF05030100"] == 1
    assert simulator.counts.calls["FHMIF10000000"] <= 2 * (2 * 13 + 1)


async def test_quoted_strikes_have_their_own_time_and_no_bid_and_ask(tmp_path: Path) -> None:
    async with open_simulated(tmp_path) as (_, client):
        chain = frame(await OptionChainFetcher(client).fetch(request()))
    on_board = pl.col("bid").is_not_null()
    assert chain.filter(on_board)["quoted_at"].n_unique() == 1
    singles = chain.filter(~on_board)
    assert singles["quoted_at"].n_unique() == len(singles) > 40
    assert (chain["quoted_at"] <= chain["fetched_at"]).all()
    assert chain["fetched_at"].unique().to_list() == [client.clock.now()]
    # At the pace of the settings: board, board-top and then five single quotes a second.
    took = (client.clock.now() - MINUTE).total_seconds() - 2
    assert took <= (len(singles) + 2) / 5 + 0.5


async def test_a_small_budget_of_quotes_goes_round_and_begins_near_the_market(
    tmp_path: Path,
) -> None:
    async with open_simulated(tmp_path) as (simulator, client):
        fetcher = OptionChainFetcher(client, quotes_a_minute=10)
        chains = []
        for n in range(12):
            minute = MINUTE + timedelta(minutes=n)
            await client.clock.sleep_until(minute + timedelta(seconds=2))
            chains.append(frame(await fetcher.fetch(request(minute))))
    assert simulator.counts.calls["FHMIF10000000"] == 12 * 10
    price = chains[0]["underlying_price"][0]
    asked = pl.col("bid").is_null() & pl.col("quoted_at").is_not_null()
    first = chains[0].filter(asked)
    assert len(first) == 10
    assert ((first["strike"] - price).abs() <= 3 * 2.5).all()
    # Unquoted strikes are rows all the same, with nulls: levels must not shift.
    assert [len(chain) for chain in chains[:2]] == [len(chains[-1])] * 2
    assert chains[0].filter(pl.col("price").is_null())["strike"].n_unique() >= 21
    last = chains[-1].with_columns((pl.col("fetched_at") - pl.col("quoted_at")).alias("age"))
    assert last["price"].null_count() == 0
    around = (pl.col("strike") - price).abs()
    ages = [
        last.filter(pl.col("bid").is_null(), cut)["age"].mean()
        for cut in (around <= 10, around > 25)
    ]
    assert ages[0] < ages[1]


async def test_a_weekly_board_is_complete_and_needs_no_quotes(tmp_path: Path) -> None:
    maturity = parse_chain("KOSPI200_WEEKLY_MON:front").on(MINUTE.date()).maturity
    weekly = ChainRequest("KOSPI200_WEEKLY_MON", maturity, MINUTE)
    async with open_simulated(tmp_path) as (simulator, client):
        chain = frame(await OptionChainFetcher(client).fetch(weekly))
    assert simulator.counts.calls["FHMIF10000000"] == 0
    assert chain["underlying_symbol"].unique().to_list() == [f"{maturity}_KOSPI200_WEEKLY_MON"]
    assert 100 <= len(chain) < 200


async def test_two_chains_can_be_fetched_at_once(tmp_path: Path) -> None:
    async with open_simulated(tmp_path) as (simulator, client):
        fetcher = OptionChainFetcher(client)
        both = await asyncio.gather(
            *(fetcher.fetch(request(maturity=m)) for m in ("202612", "202701"))
        )
    symbols = [frame(chain)["underlying_symbol"].unique().to_list() for chain in both]
    assert symbols == [["202612_KOSPI200"], ["202701_KOSPI200"]]
    assert frame(both[1])["underlying_source"][0] == "future:A01703"
    assert simulator.counts.refusals == {}


async def fetch_chain(kis: StubKis, folder: Path, answer: Answering) -> pl.DataFrame:
    kis.answer = answer
    async with open_client(kis, folder, master_url=kis.base_url + "/master.zip") as client:
        return frame(await OptionChainFetcher(client).fetch(request()))


async def test_vendor_values_are_kept_as_given(kis: StubKis, tmp_path: Path) -> None:
    untraded = option(330, hts_ints_vltl="0.0000", optn_bidp="0.00", theta="-0.0000", acml_vol="0")
    chain = await fetch_chain(kis, tmp_path, chain_answers([untraded], [option(330, "C")]))
    call = chain.row(0, named=True)
    assert (call["iv"], call["bid"], call["theta"], call["volume"]) == (0.0, 0.0, 0.0, 0)
    assert chain["volume"][1] == 12


@pytest.mark.parametrize("odd", ["", "-", "nan", "１", None, [], "1e5"])
async def test_a_value_that_cannot_be_read_is_null(
    kis: StubKis, tmp_path: Path, odd: object
) -> None:
    calls = [option(330, gama=odd, hts_otst_stpl_qty=odd, atm_cls_name=odd)]
    call = (await fetch_chain(kis, tmp_path, chain_answers(calls, [option(330, "C")]))).row(
        0, named=True
    )
    assert (call["gamma"], call["open_interest"], call["atm_class"]) == (None, None, None)
    assert call["price"] == 1.5


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"acpr": ""}, "strike cannot be read"),
        ({"acpr": "0.00"}, "strike cannot be read"),
        ({"optn_shrn_iscd": "x"}, "code cannot be read"),
        ({"optn_shrn_iscd": None}, "code cannot be read"),
        ({"optn_shrn_iscd": "B0161\u00002A9"}, "code cannot be read"),
    ],
)
async def test_a_row_without_strike_or_code_is_rejected(kis, tmp_path, changed, reason) -> None:
    odd = option(330, **changed)
    kis.answer = chain_answers([odd, option(332.5)], [option(330, "C")])
    async with open_client(kis, tmp_path) as client:
        fetcher = OptionChainFetcher(client)
        assert len(frame(await fetcher.fetch(request()))) == 2
    (kept,) = fetcher.take_rejected().to_pylist()
    assert (kept["reason"], orjson.loads(kept["raw"])) == (reason, odd)


async def test_calls_and_puts_are_told_apart_by_their_codes(kis: StubKis, tmp_path: Path) -> None:
    chain = await fetch_chain(kis, tmp_path, chain_answers([option(330, "C")], [option(330, "B")]))
    assert chain["option_type"].to_list() == ["C", "P"]
    assert chain["symbol"].to_list() == ["B01612330", "C01612330"]


async def test_an_option_that_comes_twice_is_one_row(kis: StubKis, tmp_path: Path) -> None:
    chain = await fetch_chain(
        kis, tmp_path, chain_answers([option(330)] * 3, [option(330, "C"), option(330)])
    )
    assert chain["symbol"].to_list() == ["B01612330", "C01612330"]


async def test_an_empty_board_is_asked_for_again(kis: StubKis, tmp_path: Path) -> None:
    good, asked = chain_answers([option(330)], [option(330, "C")]), iter(range(2))

    def answer(request: ReceivedRequest) -> StubReply:
        empty = "callput" in request.path and next(asked, None) is not None
        return fine(output1=[], output2=[]) if empty else good(request)

    assert len(await fetch_chain(kis, tmp_path, answer)) == 2


async def test_a_board_that_stays_empty_is_an_empty_snapshot(kis: StubKis, tmp_path: Path) -> None:
    chain = await fetch_chain(kis, tmp_path, chain_answers([], []))
    assert (len(chain), chain.schema["timestamp"]) == (0, pl.Datetime("us"))


@pytest.mark.parametrize(
    ("top", "price", "source"),
    [
        ({"futs_prpr": "", "unas_prpr": "349.00"}, 349.0, "index"),
        ({"futs_prpr": "0.00", "unas_prpr": "349.00"}, 349.0, "index"),
        ({"futs_prpr": "-", "unas_prpr": "0.00"}, None, None),
        ({}, None, None),
    ],
)
async def test_the_underlying_is_the_future_else_the_index(
    kis, tmp_path, top, price, source
) -> None:
    chain = await fetch_chain(kis, tmp_path, chain_answers(*HIGH, top=top))
    assert chain["underlying_price"].unique().to_list() == [price]
    assert chain["underlying_source"].unique().to_list() == [source]
    assert (len(chain) > 200) == (price is not None)


async def test_without_the_underlying_the_last_price_decides_what_is_quoted(kis, tmp_path) -> None:
    kis.answer = chain_answers(*HIGH)
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        first = frame(await fetcher.fetch(request()))
        kis.answer = chain_answers(*HIGH, top={})
        await client.clock.sleep_until(MINUTE + timedelta(seconds=62))
        second = frame(await fetcher.fetch(request(MINUTE + timedelta(minutes=1))))
    assert first["symbol"].equals(second["symbol"])
    assert second["underlying_price"].null_count() == len(second)


async def test_a_price_carries_its_age_and_says_whether_it_is_of_today(kis, tmp_path) -> None:
    """Prices of yesterday passed for today's."""

    def board(number: int) -> Answering:
        calls = [
            option(330),  # stands still
            option(332.5, acml_vol=str(12 + number)),  # trades every minute, at one price
            option(335, acml_vol="0", optn_bidp="0.00", optn_askp="0.00"),
            option(337.5, acml_vol="0"),  # did not trade, but is quoted
            option(340, optn_prpr=f"{1 + number // 2}.00"),  # moves in the third minute
            option(342.5, optn_prpr=""),
        ]
        return chain_answers(calls, [option(330, "C")])

    ages: list[dict[float, Any]] = []
    async with open_client(kis, tmp_path) as client:
        fetcher = OptionChainFetcher(client)
        for number in range(3):
            kis.answer = board(number)
            minute = MINUTE + timedelta(minutes=number)
            await client.clock.sleep_until(minute + timedelta(seconds=2))
            chain = frame(await fetcher.fetch(request(minute))).filter(option_type="C")
            age = (pl.col("timestamp") - pl.col("price_since")).dt.total_minutes()
            ages.append(dict(chain.select("strike", age.alias("age")).iter_rows()))
    assert ages[0] == {330: 0, 332.5: 0, 335: 0, 337.5: 0, 340: 0, 342.5: None}
    assert ages[2] == {330: 2, 332.5: 0, 335: 2, 337.5: 2, 340: 0, 342.5: None}
    stale = dict(chain.select("strike", "stale_price").iter_rows())
    assert stale == {330: False, 332.5: False, 335: True, 337.5: False, 340: False, 342.5: None}


async def test_a_quote_that_fails_or_is_empty_leaves_the_one_before(kis, tmp_path) -> None:
    kis.answer = chain_answers(*HIGH)
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await fetcher.fetch(request())
        kis.answer = chain_answers(
            *HIGH,
            B01612350=fine(output1={}),
            C01612350=StubReply(b"<html>"),
            B01612352=fine(output1={"futs_prpr": "9.00"}),
        )
        await client.clock.sleep_until(MINUTE + timedelta(seconds=62))
        chain = frame(await fetcher.fetch(request(MINUTE + timedelta(minutes=1))))
        assert client.clock.now() < MINUTE + timedelta(minutes=2)
    quotes = {row["symbol"]: row for row in chain.to_dicts()}
    assert quotes["B01612352"]["price"] == 9.0
    for old in ("B01612350", "C01612350"):
        assert quotes[old]["price"] == 2.5
        assert quotes[old]["quoted_at"] < MINUTE + timedelta(minutes=1)


async def test_without_the_master_file_the_chain_is_the_board_alone(kis, tmp_path, caplog) -> None:
    good = chain_answers(*HIGH)
    kis.answer = lambda asked: StubReply(b"no zip") if "zip" in asked.path else good(asked)
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        assert len(frame(await fetcher.fetch(request()))) == 200
        kis.answer = good
        await client.clock.sleep_until(MINUTE + timedelta(seconds=65))
        later = frame(await fetcher.fetch(request(MINUTE + timedelta(minutes=1))))
    assert len(later) > 200
    assert caplog.text.count("list of strikes") == 1


async def test_a_board_that_fails_is_an_error_with_its_context(kis, tmp_path) -> None:
    good = chain_answers(*HIGH)
    kis.answer = lambda asked: StubReply(b"<html>", 502) if "callput" in asked.path else good(asked)
    with pytest.raises(KisUnreachable) as caught:
        await fetch_chain(kis, tmp_path, kis.answer)
    assert (caught.value.tr_id, caught.value.symbol, caught.value.minute) == (
        "FHPIF05030100",
        "202612",
        MINUTE,
    )
    assert isinstance(caught.value, KisError)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["1.5", "-"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
ROW = ANYTHING | st.builds(
    lambda n, side, changed: option(300 + 2.5 * n, side, **changed),
    st.integers(0, 20),
    st.sampled_from("BC"),
    st.dictionaries(st.sampled_from(list(option(300))), ANYTHING, max_size=3),
)


@given(st.lists(ROW, max_size=6), ANYTHING)
def test_any_rows_of_a_board_are_read_without_an_error(rows: list[Any], record: Any) -> None:
    board = chain_rows.read_board(rows, MINUTE)
    good = board.filter(pl.col("reason").is_null())
    assert len(board) == len(rows)
    assert good.select("symbol", "strike").null_count().sum_horizontal().item() == 0
    assert (good["strike"] > 0).all()
    quotes = chain_rows.read_quotes([Answer("TR", "x", {"output1": record}, MINUTE, MINUTE)])
    assert quotes["symbol"].to_list() == ["x"]
