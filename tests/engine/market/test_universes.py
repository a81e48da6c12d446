"""What a universe means: by the files of a day, and on days before and after them."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest

from engine.market.universes import (
    UNIVERSES,
    members,
    members_on,
    not_yet_listed,
    split_universes,
)

MONDAY, TUESDAY, WEDNESDAY, FRIDAY = (date(2026, 11, day) for day in (16, 17, 18, 20))
LISTED = pl.DataFrame(
    [
        ("005930", "KOSPI", "common", "KOSPI200"),
        ("005935", "KOSPI", "preferred", None),
        ("069500", "KOSPI", "ETF", None),
        ("Q500001", "KOSPI", "ETN", None),
        ("J00123456", "KOSPI", "warrant", None),
        ("247540", "KOSDAQ", "common", "KOSDAQ150"),
        ("900110", "KOSDAQ", "common", None),
    ],
    ["symbol", "market", "kind", "index_member"],
    orient="row",
)


@pytest.mark.parametrize(
    ("universe", "codes"),
    {
        "KOSPI200": ["005930"],
        "KOSDAQ150": ["247540"],
        "ETF": ["069500"],
        "KOSPI": ["005930", "005935"],
        "KOSDAQ": ["247540", "900110"],
        "all": ["005930", "005935", "069500", "247540", "900110", "Q500001"],
    }.items(),
)
def test_a_universe_has_what_the_files_put_into_it(universe: str, codes: list[str]) -> None:
    assert universe in UNIVERSES
    assert members(LISTED, [universe]) == codes


def test_several_universes_have_each_stock_once() -> None:
    assert members(LISTED, ["KOSPI", "KOSPI200", "ETF"]) == ["005930", "005935", "069500"]
    assert split_universes(["005930", "ETF", "A01", "ETF"]) == (("ETF",), ("005930", "A01"))


def period(symbol: str, index: str | None, first: date, last: date, listed: date) -> tuple:
    return symbol, "KOSPI", "common", index, first, last, listed


def test_a_past_day_has_the_members_that_it_had() -> None:
    old = date(2000, 1, 4)
    periods = pl.DataFrame(
        [
            period("000010", "KOSPI200", MONDAY, MONDAY, old),  # leaves the index on Tuesday
            period("000010", None, TUESDAY, FRIDAY, old),
            period("000020", None, MONDAY, TUESDAY, old),  # joins on Friday
            period("000020", "KOSPI200", FRIDAY, FRIDAY, old),
            period("000030", "KOSPI200", MONDAY, TUESDAY, old),  # is delisted after Tuesday
            period("000040", "KOSPI200", MONDAY, FRIDAY, date(2026, 11, 13)),  # listed on the 13th
            # The files have it before it is listed, on Wednesday; meanwhile something else changes.
            period("000050", "KOSPI200", MONDAY, MONDAY, WEDNESDAY),
            period("000050", "KOSPI200", TUESDAY, FRIDAY, WEDNESDAY),
            period("000060", "KOSPI200", TUESDAY, FRIDAY, FRIDAY),  # and this one, on Friday
        ],
        ["symbol", "market", "kind", "index_member", "seen_first", "seen_last", "listed_from"],
        orient="row",
    )
    days = [date(2026, 11, 12), MONDAY, TUESDAY, WEDNESDAY, FRIDAY, date(2027, 1, 5)]
    found = members_on(periods, ["KOSPI200"], days)
    codes = {day: [code[4] for code in found.filter(session=day)["symbol"]] for day in days}
    assert ["".join(codes[day]) for day in days] == ["13", "134", "34", "45", "2456", "2456"]


def test_a_stock_that_moves_to_another_market_is_never_of_none() -> None:
    """The new market's file may have it before it is listed there."""
    periods = pl.DataFrame(
        [
            ("000010", "KOSDAQ", "common", None, MONDAY, MONDAY, date(2000, 1, 4)),
            ("000010", "KOSPI", "common", None, TUESDAY, FRIDAY, WEDNESDAY),
            ("000020", "KOSDAQ", "common", None, MONDAY, FRIDAY, date(2000, 1, 4)),
            ("000030", "KOSPI", "common", None, MONDAY, FRIDAY, date(2000, 1, 4)),
        ],
        ["symbol", "market", "kind", "index_member", "seen_first", "seen_last", "listed_from"],
        orient="row",
    )
    days = [MONDAY, TUESDAY, WEDNESDAY]
    of_kosdaq = members_on(periods, ["KOSDAQ"], days).filter(symbol="000010")["session"]
    of_kospi = members_on(periods, ["KOSPI"], days).filter(symbol="000010")["session"]
    assert (of_kosdaq.to_list(), of_kospi.to_list()) == ([MONDAY, TUESDAY], [WEDNESDAY])


def test_what_is_listed_later_is_named_by_the_newest_file_of_its_market() -> None:
    periods = pl.DataFrame(
        [
            period("000010", "KOSPI200", MONDAY, TUESDAY, date(2000, 1, 4)),
            period("000020", "KOSPI200", MONDAY, TUESDAY, FRIDAY),
            period("000030", "KOSPI200", TUESDAY, TUESDAY, WEDNESDAY),
            period("000040", "KOSPI200", MONDAY, MONDAY, FRIDAY),  # the newest has it no more
            period("000050", None, MONDAY, TUESDAY, FRIDAY),
        ],
        ["symbol", "market", "kind", "index_member", "seen_first", "seen_last", "listed_from"],
        orient="row",
    )
    found = {day: not_yet_listed(periods, ["KOSPI200"], day) for day in (TUESDAY, WEDNESDAY)}
    assert found[TUESDAY].rows() == [("000030", WEDNESDAY), ("000020", FRIDAY)]
    assert found[WEDNESDAY]["symbol"].to_list() == ["000020"]
    assert not_yet_listed(periods, ["KOSPI200"], FRIDAY).is_empty()
