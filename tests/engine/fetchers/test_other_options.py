"""What the day has counted of options that a snapshot does not quote: told once, then kept."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.fetchers.other_options import COUNTED, OtherOptions
from tests.engine.fetchers.boards import HIGH, Answering, chain_answers
from tests.engine.kis.stub_kis import ReceivedRequest, StubKis, StubReply, fine, open_client

MINUTE = datetime(2026, 11, 20, 10, 5)
KEY = "202612_KOSPI200"
NEAR = 2 * (2 * 13 + 1)
BEYOND = 2 * 40  # options of the stub's list that its board lacks: 300 to 397.5


def request(number: int = 0, deadline: datetime | None = None) -> ChainRequest:
    minute = MINUTE + timedelta(minutes=number)
    return ChainRequest("KOSPI200", "202612", minute, deadline or minute + timedelta(minutes=1))


def counting(future: float = 350.0, held: str = "30", **quotes: StubReply) -> Answering:
    """Answer as KIS does with a cut board; every single quote tells price and counts."""
    top = {"futs_prpr": f"{future:.2f}", "unas_prpr": "349.00"}
    plain = chain_answers(*HIGH, top=top)
    told = {"futs_prpr": "2.50", "acml_vol": "7", "hts_otst_stpl_qty": held}

    def answer(asked: ReceivedRequest) -> StubReply:
        if "inquire-price" not in asked.path:
            return plain(asked)
        return quotes.get(asked.query["FID_INPUT_ISCD"], fine(output1=told))

    return answer


def asked_singles(kis: StubKis) -> list[str]:
    return [r.query["FID_INPUT_ISCD"] for r in kis.asked if "inquire-price" in r.path]


async def take(fetcher: OptionChainFetcher, number: int = 0) -> pl.DataFrame:
    """Return a minute's snapshot, and count the others in the time that is left."""
    await fetcher.client.clock.sleep_until(MINUTE + timedelta(minutes=number, seconds=2))
    chain = pl.DataFrame(await fetcher.fetch(request(number)))
    await fetcher.count_others(request(number))
    return chain


async def test_every_listed_option_is_counted_and_only_those_near_the_market_have_prices(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.answer = counting()
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        first, second = [await take(fetcher, number) for number in range(2)]
    assert len(first) == 200 + NEAR
    assert len(second) == 200 + BEYOND
    others = second.join(first, on="symbol", how="anti")
    assert others["open_interest"].unique().to_list() == [30]
    assert others["volume"].unique().to_list() == [7]
    for name in ("price", "bid", "ask", "iv", "delta", "quoted_at", "quote_source", "price_since"):
        assert others[name].null_count() == len(others), name
    singles = asked_singles(kis)
    near, rest = singles[:NEAR], singles[NEAR:BEYOND]
    assert len({*near, *rest}) == BEYOND, "each once, after those near the market"
    away = [abs(float(code[-3:]) - 350) for code in rest]
    assert max(away[:10]) <= min(away[10:20]) < max(away[10:20]) <= min(away[20:]) + 1


async def test_a_sum_over_the_chain_does_not_move_with_the_strikes_that_are_quoted(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.answer = counting()
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await take(fetcher)
        sums = []
        for number, future in enumerate((350.0, 357.5, 340.0, 350.0), 1):
            kis.answer = counting(future)
            chain = await take(fetcher, number)
            sums.append(chain.select("open_interest", "volume").sum().row(0))
    assert len(set(sums)) == 1, sums


async def test_a_few_old_counts_are_asked_for_again(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = counting()
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await take(fetcher)
        before = len(asked_singles(kis))
        kis.answer = counting(held="45")
        await take(fetcher, 1)
        last = await take(fetcher, 2)
    again = asked_singles(kis)[before:]
    assert len(again) == 2 * (NEAR + 2)
    assert last.filter(pl.col("quoted_at").is_null())["open_interest"].value_counts().to_dicts()
    counts = last.filter(pl.col("quoted_at").is_null())["open_interest"].to_list()
    assert (counts.count(45), counts.count(30)) == (2, BEYOND - NEAR - 2)


async def test_what_nobody_holds_is_no_row_and_what_kis_does_not_tell_is_asked_for_once(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.answer = counting(
        B01612310=fine(output1={}),
        C01612310=fine(output1={"futs_prpr": "1.00", "hts_otst_stpl_qty": "0"}),
    )
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        chains = [await take(fetcher, number) for number in range(3)]
    missing = {"B01612310", "C01612310"}
    assert {*chains[0]["symbol"], *chains[1]["symbol"]}.isdisjoint(missing)
    assert len(chains[1]) == 200 + BEYOND - 2
    assert asked_singles(kis).count("B01612310") == 1


async def test_counting_ends_with_a_call_that_fails_and_goes_on_a_minute_later(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.answer = counting()
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await fetcher.fetch(request())
        kis.answer = lambda _: StubReply(b"<html>", 502)
        before = len(asked_singles(kis))
        await fetcher.count_others(request(deadline=MINUTE + timedelta(seconds=40)))
        assert fetcher.counts["quotes failed"] == 10
        assert 1 <= len({*asked_singles(kis)[before:]}) <= 10
        kis.answer = counting()
        await client.clock.sleep_until(MINUTE + timedelta(seconds=62))
        await take(fetcher, 1)
        assert len(await take(fetcher, 2)) == 200 + BEYOND


async def test_counting_leaves_the_end_of_the_minute_to_the_next_one(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.answer = counting()
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await fetcher.fetch(request())
        await client.clock.sleep_until(MINUTE + timedelta(seconds=51))
        before = len(asked_singles(kis))
        await fetcher.count_others(request())
        assert len(asked_singles(kis)) == before


async def test_before_the_open_only_open_interest_is_of_use(kis: StubKis, tmp_path: Path) -> None:
    """So the first snapshot of the day has all options."""
    kis.answer = counting()
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await fetcher.count_before_open(request(deadline=MINUTE + timedelta(minutes=1)))
        assert len(asked_singles(kis)) == BEYOND
        chain = await take(fetcher, 1)
    assert len(chain) == 200 + BEYOND
    others = chain.filter(pl.col("quoted_at").is_null())
    assert others["open_interest"].unique().to_list() == [30]
    assert others["volume"].null_count() == others.height == BEYOND - NEAR


@pytest.mark.parametrize("broken", ["callput", "display-board-top", "zip"])
async def test_without_board_or_price_nothing_is_counted_before_the_open(
    kis: StubKis, tmp_path: Path, broken: str
) -> None:
    good = counting()
    kis.answer = lambda asked: StubReply(b"", 502) if broken in asked.path else good(asked)
    async with open_client(kis, tmp_path, master_url=kis.base_url + "/master.zip") as client:
        fetcher = OptionChainFetcher(client)
        await fetcher.count_before_open(request(deadline=MINUTE + timedelta(seconds=20)))
    assert asked_singles(kis) == []


def told(*rows: tuple[str, int | None, datetime]) -> pl.DataFrame:
    frame = pl.DataFrame(
        rows,
        schema={
            "symbol": pl.String,
            "open_interest": pl.Int64,
            "quoted_at": pl.Datetime("us"),
        },
        orient="row",
    )
    return frame.with_columns(volume=pl.lit(1, pl.Int64), turnover=pl.lit(None, pl.Float64))


def listed(*symbols: str) -> pl.DataFrame:
    return pl.DataFrame(
        {"symbol": symbols, "strike": [300.0] * len(symbols), "distance": range(len(symbols))},
        schema_overrides={"symbol": pl.String},
    )


NOTHING = pl.DataFrame(
    schema={
        "symbol": pl.String,
        "strike": pl.Float64,
        "volume": pl.Int64,
        "turnover": pl.Float64,
        "open_interest": pl.Int64,
    }
)


def test_counts_are_those_of_the_session_and_of_what_is_not_quoted() -> None:
    others = OtherOptions()
    others.note_listed(KEY, listed("a", "b", "c"))
    others.note(KEY, told(("a", 5, MINUTE), ("b", 6, MINUTE - timedelta(days=1)), ("c", 7, MINUTE)))
    quoted = NOTHING.vstack(NOTHING.clear(1).with_columns(symbol=pl.lit("c")))
    found = others.counted(KEY, MINUTE.date(), quoted)
    assert found.select("symbol", "open_interest").rows() == [("a", 5)]
    assert others.to_ask(KEY, 9) == ["b"], "of yesterday"
    assert others.counted("202701_KOSPI200", MINUTE.date(), NOTHING).is_empty()


@pytest.mark.parametrize(("hour", "kept"), [(19, True), (15, False)])
def test_a_night_begins_at_noon(hour: int, kept: bool) -> None:
    others, key = OtherOptions(), KEY + "_NIGHT"
    others.note_listed(key, listed("a"))
    others.note(key, told(("a", 5, datetime(2026, 11, 20, hour))))
    session = datetime(2026, 11, 20).date() if hour == 19 else datetime(2026, 11, 21).date()
    assert (others.counted(key, session, NOTHING).height == 1) is kept


def test_what_kis_does_not_tell_any_more_stays_as_it_was_told() -> None:
    others = OtherOptions()
    others.note_listed(KEY, listed("a"))
    others.note(KEY, told(("a", 5, MINUTE)))
    others.note(KEY, told(("a", None, MINUTE + timedelta(minutes=1))))
    assert others.counted(KEY, MINUTE.date(), NOTHING)["open_interest"].to_list() == [5]


def test_a_run_that_begins_anew_knows_what_the_last_snapshot_had() -> None:
    others = OtherOptions()
    stored = told(("a", 5, None), ("b", 6, MINUTE)).with_columns(timestamp=pl.lit(MINUTE))
    others.note(KEY, told(("b", 9, MINUTE + timedelta(minutes=5))))
    others.recall(KEY, stored)
    others.note_listed(KEY, listed("a", "b", "c"))
    found = others.counted(KEY, MINUTE.date(), NOTHING).sort("symbol")
    assert found.select("symbol", *COUNTED).rows() == [("a", 1, None, 5), ("b", 1, None, 9)]
    assert others.to_ask(KEY, 9) == ["c"]
