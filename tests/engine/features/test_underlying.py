"""An option is on the nearest future, else the index, the chain's own price, or parity."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest

from engine.features.black76 import RATE
from engine.features.chain import prepare_chain
from engine.features.underlying import parity_forward, with_underlying

Board = Callable[..., pl.DataFrame]
NAME = "202612_KOSPI200"
MATURES = datetime(2026, 12, 10, 15, 20)


def offers(*rows: tuple[str, float | None, datetime | None], at: datetime) -> pl.LazyFrame:
    return pl.LazyFrame(
        [(at, NAME, *row) for row in rows],
        schema={
            "timestamp": pl.Datetime("us"),
            "underlying_symbol": pl.String,
            "source": pl.String,
            "price": pl.Float64,
            "expiry": pl.Datetime("us"),
        },
        orient="row",
    )


def decided(chain: pl.DataFrame, candidates: pl.LazyFrame | None = None) -> tuple[object, object]:
    found = with_underlying(prepare_chain(chain.lazy()), candidates).collect()
    assert found.drop("underlying_price", "underlying_source").equals(
        chain.drop("underlying_price", "underlying_source")
    )
    assert found.columns == chain.columns
    (pair,) = found.select("underlying_price", "underlying_source").unique().rows()
    return pair


@pytest.fixture
def priceless(make_board: Board) -> pl.DataFrame:
    return make_board().with_columns(
        underlying_price=pl.lit(None, pl.Float64), underlying_source=pl.lit(None, pl.String)
    )


NEAR = ("future:A01612", 1062.0, MATURES)
BEFORE = ("future:A01609", 1061.0, MATURES - timedelta(days=91))
AFTER = ("future:A01703", 1066.0, MATURES + timedelta(days=91))
INDEX = ("index", 1058.0, None)


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ([INDEX, AFTER, NEAR, BEFORE], NEAR),
        ([INDEX, AFTER, BEFORE], AFTER),  # equally near: the one that expires later
        ([INDEX, BEFORE], BEFORE),
        ([INDEX], INDEX),
        ([("future:A01612", None, MATURES), AFTER, INDEX], AFTER),
        ([("future:A01612", 0.0, MATURES), INDEX], INDEX),
        ([("future:A01612", float("nan"), MATURES), INDEX], INDEX),
    ],
)
def test_the_nearest_future_comes_first_then_the_index(
    priceless: pl.DataFrame, given: list[tuple[str, float, datetime]], chosen: tuple[str, float]
) -> None:
    at = priceless["timestamp"][0]
    assert decided(priceless, offers(*given, at=at)) == (chosen[1], chosen[0])


def test_without_candidates_the_chain_keeps_what_it_has(make_board: Board) -> None:
    assert decided(make_board()) == (1061.3, "future:A01612")
    elsewhere = offers(NEAR, at=datetime(2026, 11, 2, 9, 0))  # of another minute
    assert decided(make_board(), elsewhere) == (1061.3, "future:A01612")


def test_without_any_other_price_parity_decides(priceless: pl.DataFrame) -> None:
    price, source = decided(priceless)
    assert source == "parity"
    assert price == pytest.approx(1061.3, abs=0.15)  # the prices are on ticks of 0.05


def test_without_any_pair_there_is_no_price(priceless: pl.DataFrame) -> None:
    assert decided(priceless.filter(pl.col("option_type") == "C")) == (None, None)
    assert decided(priceless.with_columns(price=0.0, bid=0.0, ask=0.0)) == (None, None)


def test_parity_is_the_forward_also_where_the_underlying_is_spot(make_board: Board) -> None:
    chain = make_board()
    years = (MATURES - chain["timestamp"][0]) / timedelta(days=365)
    gap = pl.col("price").filter(option_type="C") - pl.col("price").filter(option_type="P")
    forwards = chain.select(pl.col("strike").head(101) + gap * math.exp(RATE * years))
    found = parity_forward(prepare_chain(chain.lazy())).collect()["forward"].item()
    assert found in forwards["strike"].to_list()
    assert found == pytest.approx(1061.3, abs=0.15)


def test_two_stale_prices_do_not_move_parity(make_board: Board) -> None:
    chain = make_board()
    near = pl.col("strike").is_in([1060.0, 1062.5]) & (pl.col("option_type") == "C")
    wrong = chain.with_columns(
        pl.when(near).then(pl.col(name) + 7).otherwise(pl.col(name)).alias(name)
        for name in ("price", "bid", "ask")
    )
    good, bad = (
        parity_forward(prepare_chain(c.lazy())).collect()["forward"].item() for c in (chain, wrong)
    )
    assert bad == pytest.approx(good, abs=0.15)


def test_parity_ignores_crossed_and_stale_rows(make_board: Board) -> None:
    chain = make_board()
    puts = pl.col("option_type") == "P"
    crossed = chain.with_columns(bid=pl.when(puts).then(999.0).otherwise("bid"))
    stale = chain.with_columns(
        quoted_at=pl.when(puts)
        .then(pl.col("quoted_at") - pl.duration(hours=1))
        .otherwise("quoted_at")
    )
    for bad in (crossed, stale):
        assert parity_forward(prepare_chain(bad.lazy())).collect()["forward"].to_list() == [None]


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_each_snapshot_gets_its_own_price(make_board: Board, engine: str) -> None:
    minutes = [datetime(2026, 11, 2, 10, n) for n in range(30)]
    snapshots = [make_board(1040.0 + 2 * n, moment=minute) for n, minute in enumerate(minutes)]
    priced = [
        snapshot if n % 3 else snapshot.with_columns(underlying_price=pl.lit(None, pl.Float64))
        for n, snapshot in enumerate(snapshots)
    ]
    candidates = pl.concat(offers(INDEX, AFTER, at=minute) for minute in minutes[::5])
    decided = with_underlying(prepare_chain(pl.concat(priced).lazy()), candidates)
    found = decided.collect(engine=engine)  # type: ignore[call-overload]
    prices = found.group_by("timestamp").agg(pl.col("underlying_price").unique())
    for n, (_, price) in enumerate(prices.sort("timestamp").iter_rows()):
        expected = 1066.0 if n % 5 == 0 else 1040.0 + 2 * n
        assert price == pytest.approx([expected], abs=0 if n % 3 else 0.15)
