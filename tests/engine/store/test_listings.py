"""Listings with validity: what is renamed or listed no more keeps its rows."""

from __future__ import annotations

from datetime import date, timedelta

import polars as pl

from engine.history.listings import NAMES, learn_names, search_listings
from engine.market.symbols import parse
from engine.store import MergeCounts, Store
from engine.store.listings import store_listings
from pipelines.reports.sql_text import sql_text
from tests.engine.store.data import listings

MONDAY = date(2026, 11, 16)
TUESDAY, FRIDAY = MONDAY + timedelta(days=1), MONDAY + timedelta(days=4)


async def periods(store: Store) -> list[tuple[str, str, date, date]]:
    found = await store.query(
        "SELECT symbol, name, seen_first, seen_last FROM stock_listings ORDER BY 1, 3"
    )
    return pl.DataFrame(found).rows()


async def states(store: Store, text: str = "") -> list[tuple[str, str, str]]:
    found = search_listings(
        pl.DataFrame(await store.query(sql_text("listings", "states.sql"))), text
    )
    return found.select("code", "name", "state").rows()


async def test_the_same_name_goes_on_and_another_one_begins_a_row(store: Store) -> None:
    first = await store_listings(store, listings(c000010="가나", c000020="다라"), MONDAY)
    assert first == MergeCounts(inserted=2)
    again = await store_listings(store, listings(c000010="가나", c000020="다라"), MONDAY)
    assert again == MergeCounts(unchanged=2)
    later = await store_listings(store, listings(c000010="가나", c000020="마바"), TUESDAY)
    assert later == MergeCounts(inserted=1, changed=1)
    assert await periods(store) == [
        ("000010", "가나", MONDAY, TUESDAY),
        ("000020", "다라", MONDAY, MONDAY),
        ("000020", "마바", TUESDAY, TUESDAY),
    ]
    assert await states(store) == [
        ("000010", "가나", "listed"),
        ("000020", "마바", "listed"),
        ("000020", "다라", "now 마바"),
    ]


async def test_a_name_that_comes_back_is_a_period_of_its_own(store: Store) -> None:
    for day, name in [(MONDAY, "가나"), (TUESDAY, "다라"), (FRIDAY, "가나")]:
        await store_listings(store, listings(c000010=name), day)
    assert await periods(store) == [
        ("000010", "가나", MONDAY, MONDAY),
        ("000010", "다라", TUESDAY, TUESDAY),
        ("000010", "가나", FRIDAY, FRIDAY),
    ]


async def test_what_is_listed_no_more_keeps_its_name(store: Store) -> None:
    await store_listings(store, listings(c000010="가나", c000020="다라"), MONDAY)
    await store_listings(store, listings("KOSDAQ", c900010="사아"), MONDAY)
    await store_listings(store, listings(c000010="가나", halted=("000010",)), FRIDAY)
    # KOSDAQ's file did not come on Friday: that says nothing about its stocks.
    assert await states(store) == [
        ("000010", "가나", "halted"),
        ("900010", "사아", "listed"),
        ("000020", "다라", "listed no more"),
    ]
    learn_names(pl.DataFrame(await store.query(NAMES)))
    assert parse("000020").name_ko == "다라 000020"


async def test_what_a_file_has_before_its_first_day_is_not_listed_yet(store: Store) -> None:
    in_files = listings(c000010="가나", c000020="다라").with_columns(
        listed_from=pl.Series([TUESDAY, MONDAY])
    )
    for day, state in ((MONDAY, "not listed yet"), (TUESDAY, "listed")):
        await store_listings(store, in_files, day)
        assert await states(store) == [("000010", "가나", state), ("000020", "다라", "listed")]


async def test_another_market_begins_a_row(store: Store) -> None:
    await store_listings(store, listings("KOSDAQ", c000010="가나"), MONDAY)
    await store_listings(store, listings("KOSPI", c000010="가나"), FRIDAY)
    assert await states(store) == [
        ("000010", "가나", "listed"),
        ("000010", "가나", "now of KOSPI"),
    ]


async def test_a_day_that_is_played_again_changes_nothing(store: Store) -> None:
    await store_listings(store, listings(c000010="가나"), FRIDAY)
    assert await store_listings(store, listings(c000010="다라"), MONDAY) == MergeCounts()
    assert await periods(store) == [("000010", "가나", FRIDAY, FRIDAY)]


async def test_a_code_or_a_part_of_a_name_finds_it(store: Store) -> None:
    names = {
        "c000660": "SK하이닉스",
        "c005930": "삼성전자",
        "c005935": "삼성전자우",
        "cQ00593": "N%_",
    }
    await store_listings(store, listings(**names), MONDAY)

    async def found(text: str) -> list[str]:
        return [code for code, _, _ in await states(store, text)]

    assert await found("00593") == ["005930", "005935"]
    assert await found("sk 하이") == ["000660"]
    assert await found("전자") == ["005930", "005935"]
    assert await found("q00") == ["Q00593"]
    assert await found("%") == ["Q00593"]
    assert await found("' OR 1=1") == []
    assert len(await found("")) == 4
