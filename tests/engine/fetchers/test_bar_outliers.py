"""Bars far from those around them: stored once KIS gives them again, and nothing else is lost."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fetchers.bar_rules import VALUES, Fields, Rules, split_rows
from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.stock import StockBarFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.market.sessions import Market
from tests.engine.fetchers.futures_rows import FAR, NOW, labels, reasons, row, rows, session, split
from tests.engine.kis.stub_kis import StubKis, fine, open_client
from tests.paths import REAL_DATA, require

APART = "far from the rows around it: a bar once KIS gives it again"


@pytest.mark.parametrize("factor", [1 / 3, 0.9, 1.1, 3])
@pytest.mark.parametrize("index", [0, 1, 10, 19])
def test_a_row_far_from_the_rows_around_it_waits_for_a_second_answer(
    factor: float, index: int
) -> None:
    answer = rows(20)
    answer[index] = row(answer[index]["stck_cntg_hour"][:4], 350 * factor)
    first = split(answer, max_price_ratio=FAR)
    assert reasons(answer, max_price_ratio=FAR) == {index: APART}
    given = first.waiting.select(VALUES)
    assert reasons(answer, max_price_ratio=FAR, given=given) == {}
    again = split(answer, max_price_ratio=FAR, given=given)
    assert again.bars[codec.ROW].to_list() == list(range(20))
    assert again.confirmed[codec.ROW].to_list() == [index]


def test_an_outlier_beside_the_true_row_of_its_minute_leaves_the_true_one() -> None:
    answer = rows(20)
    answer.insert(10, row(answer[10]["stck_cntg_hour"][:4], 1050))
    assert reasons(answer, max_price_ratio=FAR) == {10: APART}
    assert len(labels(answer, max_price_ratio=FAR)) == 20
    assert split(answer, max_price_ratio=FAR).waiting.is_empty()


def test_the_two_first_rows_of_a_day_that_differ_wildly_are_both_stored() -> None:
    """The median of two rows lies between them: both stood apart, and both were thrown away."""
    answer = [row("10:04", 1050), row("10:03", 350)]
    given = split(answer, max_price_ratio=FAR).waiting.select(VALUES)
    assert labels(answer, max_price_ratio=FAR, given=given) == ["10:04", "10:03"]


def test_a_market_that_jumps_and_stays_is_not_rejected() -> None:
    answer = [*rows(10, price=420), *rows(10, first="09:54", price=350)]  # it jumped and stayed
    assert reasons(answer, max_price_ratio=FAR) == {}


def test_a_bar_with_a_long_wick_is_not_rejected() -> None:
    answer = rows(20)
    answer[5] |= {"futs_hgpr": "400.00", "futs_lwpr": "320.00"}
    assert reasons(answer, max_price_ratio=FAR) == {}


def beyond_8_percent() -> list[dict[str, Any]]:
    """Return rows of a fall: the newest three stand beyond the limit that KIS names, 322 to 378."""
    return [
        row(label, price) for label, price in (("10:04", 315), ("10:03", 318), ("10:02", 321))
    ] + rows(20, first="10:01", price=325)


LIMITS = {"futs_llam": "322.00", "futs_mxpr": "378.00"}


async def test_bars_beyond_the_limit_that_kis_names_are_bars_at_once(
    kis: StubKis, tmp_path: Path
) -> None:
    """KRX widens its limits during the day; futs_llam and futs_mxpr show the first ones."""
    kis.answer = lambda _asked: fine(output1=LIMITS, output2=beyond_8_percent())
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("A01612", session()))
    assert batch.num_rows == 23
    assert fetcher.take_rejected().num_rows == 0
    assert len(kis.asked) == 1


async def test_a_fund_beyond_30_percent_is_stored_at_once(kis: StubKis, tmp_path: Path) -> None:
    """Funds with double leverage may move 60 % a day, and a new listing may quadruple."""
    text = {f"stck_{name}": "15800" for name in ("oprc", "hgpr", "lwpr", "prpr")}
    day = {"stck_bsop_date": "20261120", "cntg_vol": "5"}
    newest = {**day, **text, "stck_cntg_hour": "100400"}
    others = [
        {**day, **dict.fromkeys(text, "10000"), "stck_cntg_hour": f"{10 - n // 4:02d}{n:02d}00"}
        for n in range(3, -1, -1)
    ]
    kis.answer = lambda _asked: fine(output1={"stck_prdy_clpr": "10000"}, output2=[newest, *others])
    async with open_client(kis, tmp_path) as client:
        fetcher = StockBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("122630", session(Market.STOCKS)))
    assert batch["close"].to_pylist() == [10_000.0] * 4 + [15_800.0]


def with_phantom(price: float, label: str = "10:04") -> list[dict[str, Any]]:
    return [
        row(label, price) if r["stck_cntg_hour"][:4] == label.replace(":", "") else r
        for r in rows(20)
    ]


async def test_a_live_poll_stores_an_odd_bar_when_the_next_poll_has_it_again(
    kis: StubKis, tmp_path: Path
) -> None:
    """Whatever KIS gives twice for its minute is a bar."""
    kis.answer = lambda _asked: fine(output1={}, output2=with_phantom(700.0))
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        poll = BarRequest("A01612", session())
        first = await fetcher.fetch(poll)
        kept = fetcher.take_rejected().to_pylist()
        second = await fetcher.fetch(poll)
        third = await fetcher.fetch(poll)
    assert (first.num_rows, second.num_rows, third.num_rows) == (19, 20, 20)
    assert [row["reason"] for row in kept] == [APART]
    assert second["close"].to_pylist()[-1] == 700.0
    assert fetcher.take_rejected().num_rows == 0
    (confirmed,) = fetcher.take_confirmed().to_pylist()
    assert confirmed["timestamp"] == datetime(2026, 11, 20, 10, 5)
    assert (confirmed["symbol"], confirmed["close"], confirmed["volume"]) == ("A01612", 700.0, 5)


async def test_a_phantom_that_the_second_answer_takes_back_is_never_a_bar(
    kis: StubKis, tmp_path: Path
) -> None:
    answers = [with_phantom(700.0), rows(20), with_phantom(700.0)]
    kis.answer = lambda _asked: fine(output1={}, output2=answers[len(kis.asked) - 1])
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        poll = BarRequest("A01612", session())
        batches = [await fetcher.fetch(poll) for _ in answers]
    assert [batch.num_rows for batch in batches] == [19, 20, 19]
    assert {price for batch in batches for price in batch["close"].to_pylist()} == {350.0}
    assert fetcher.take_confirmed().num_rows == 0


async def test_a_request_of_the_history_asks_twice_for_an_odd_bar(
    kis: StubKis, tmp_path: Path
) -> None:
    """A command has no next poll: it asks for the page once more."""
    kis.answer = lambda _asked: fine(output1={}, output2=with_phantom(700.0, "09:55"))
    until = datetime(2026, 11, 20, 10, 5)
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        batch = await fetcher.fetch(BarRequest("A01612", session(), until=until))
    assert len(kis.asked) == 2
    assert batch.num_rows == 20
    assert fetcher.take_confirmed().num_rows == 1


POSSIBLE = st.lists(
    st.tuples(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(0, 10**6)),
    min_size=1,
    max_size=40,
)


@given(POSSIBLE)
def test_nothing_possible_that_kis_gives_twice_is_left_out(bars) -> None:
    """Any prices in any order: what could be a bar is one at the second giving."""

    class Client:
        secrets = list

    newest = datetime(2026, 11, 20, 10, 4)
    answer = [
        row(
            f"{newest - timedelta(minutes=n):%H:%M}",
            low / 100,
            futs_hgpr=f"{max(low, high) / 100:.2f}",
            futs_lwpr=f"{min(low, high) / 100:.2f}",
            cntg_vol=str(volume),
        )
        for n, (low, high, volume) in enumerate(bars)
    ]
    body = {"rt_cd": "0", "output1": LIMITS, "output2": answer}
    fetcher = DerivativeBarFetcher(Client())  # type: ignore[arg-type]
    for _ in range(2):
        frame = fetcher.read(Answer("TR", "A01612", body, NOW, NOW), session())
    assert frame["close"].to_list() == [low / 100 for low, _, _ in bars]


def real(name: str) -> pl.DataFrame:
    return pl.read_parquet(require(REAL_DATA / name))


def as_kis_writes(bars: pl.DataFrame, fields: Fields) -> pl.DataFrame:
    names = ("open", "high", "low", "close", "volume")
    return bars.select(
        pl.col("timestamp").dt.strftime("%Y%m%d").alias(fields.day),
        pl.col("timestamp").dt.strftime("%H%M%S").alias(fields.hour),
        *(pl.col(name).cast(pl.String).alias(getattr(fields, name)) for name in names),
        pl.lit("").alias(fields.turnover),
    ).with_row_index(codec.ROW)


@pytest.mark.parametrize(
    ("name", "fetcher", "market"),
    [
        ("k200_futures_1min.parquet", DerivativeBarFetcher, Market.DERIVATIVES),
        ("krx_stocks_1min.parquet", StockBarFetcher, Market.STOCKS),
    ],
)
def test_no_real_bar_is_rejected_as_an_outlier(name: str, fetcher: Any, market: Market) -> None:
    frame, fields = real(name), fetcher.fields
    (ratio,) = set(fetcher.max_price_ratio.values())
    days = frame.with_columns(pl.col("timestamp").dt.date().alias("day"))
    found: Counter[str] = Counter()
    for (_, day), part in days.sort("timestamp", descending=True).group_by("symbol", "day"):
        texts = as_kis_writes(part, fields)
        rules = Rules(session(market, day), datetime(2030, 1, 1), max_price_ratio=ratio)
        result = split_rows(texts, fields, rules)
        found.update(result.counts)
        found.update(result.rejected[codec.REASON].to_list() if len(result.rejected) else [])
    assert found["bars"] > 0.98 * len(frame)
    # A fund without a trade has prices of zero; some rows are in the wait for the auction.
    assert not {r for r in found if not re.match("rows|bars|of the|price not|outside", r)}
