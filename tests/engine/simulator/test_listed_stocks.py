"""The simulated master files of shares: as many as the real market has, the same for a seed."""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.kis.stock_master import parse_stock_master
from engine.simulator.market.listed_stocks import stock_master_file
from engine.simulator.market.synthetic import SyntheticMarket

DAY = date(2026, 11, 16)


def listed(seed: int, day: date = DAY) -> pl.DataFrame:
    market = SyntheticMarket(seed)
    found = [
        parse_stock_master(stock_master_file(market, name, day), name)
        for name in ("KOSPI", "KOSDAQ")
    ]
    assert [master.odd for master in found] == [[], []]
    return pl.concat(master.listings for master in found)


def test_the_market_is_as_large_as_the_real_one() -> None:
    found = listed(1)
    assert found.height == found["symbol"].n_unique() == 2_700
    kinds = dict(found.group_by("kind").len().iter_rows())
    assert {"common", "preferred", "SPAC", "ETF", "ETN", "REIT"} == kinds.keys()
    members = dict(found.group_by("index_member").len().iter_rows())
    assert (members["KOSPI200"], members["KOSDAQ150"]) == (200, 150)
    assert 0 < found["halted"].sum() < 100
    assert found["listed_from"].null_count() == 0
    assert found["listed_from"].max() < DAY  # type: ignore[operator]


def test_the_stocks_of_the_demonstration_have_their_names() -> None:
    names = dict(listed(1).select("symbol", "name").iter_rows())
    assert (names["005930"], names["000660"], names["035420"]) == (
        "삼성전자",
        "SK하이닉스",
        "NAVER",
    )


def test_a_seed_always_gives_the_same_and_another_one_does_not() -> None:
    assert listed(1).equals(listed(1))
    assert not listed(1).equals(listed(2))
    later = listed(1, date(2026, 11, 17))
    assert later["symbol"].equals(listed(1)["symbol"])
    assert not later["halted"].equals(listed(1)["halted"])
