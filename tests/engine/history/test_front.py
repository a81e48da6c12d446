"""One series out of many contracts, the same as the database's own view."""

from __future__ import annotations

import uuid
from datetime import date, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.clock import WallClock
from engine.errors import InputError
from engine.history.front import front_series, rolls
from engine.history.scan import scan
from engine.store.metadata import store_front_months
from engine.store.store import Store
from tests.stamps import stamps_between

FIRST, LAST = date(2025, 9, 9), date(2025, 9, 15)  # 2025-09-11 is an expiry


def bars(symbols: list[str] | None = None) -> pl.DataFrame:
    """Return bars of two contracts; the later one costs 1.5 points more."""
    symbols = symbols or ["101W09", "101W12"]
    stamps = stamps_between(symbols, FIRST, LAST).sort("stamp", "symbol")
    base = 440 + (pl.col("stamp").rank("dense") * 7 % 100) * 0.05
    price = base + pl.when(pl.col("symbol") == "101W12").then(1.5).otherwise(0.0)
    return stamps.select(
        pl.col("stamp").alias("timestamp"),
        "symbol",
        open=price,
        high=price + 0.05,
        low=price - 0.05,
        close=price,
        volume=pl.lit(3, pl.Int64),
        fetched_at=pl.lit(datetime(2025, 9, 16)),
        source=pl.lit(schemas.REST),
    )


def test_the_front_month_rolls_on_the_session_after_expiry() -> None:
    series = front_series(bars().lazy()).collect()
    by_day = series.group_by(pl.col("timestamp").dt.date(), maintain_order=True)
    assert by_day.agg(pl.col("symbol").unique().implode().first().list.join(",")).rows() == [
        (date(2025, 9, 9), "101W09"),
        (date(2025, 9, 10), "101W09"),
        (date(2025, 9, 11), "101W09"),
        (date(2025, 9, 12), "101W12"),
        (date(2025, 9, 15), "101W12"),
    ]


def test_nights_stand_between_the_days_of_the_front_month_and_only_if_asked_for() -> None:
    nights = pl.concat(
        [bars([f"{code}_NIGHT"]) for code in ("101W09", "101W12")], how="vertical"
    ).filter(pl.col("timestamp") > datetime(2025, 9, 9, 12))
    both = pl.concat([bars(), nights]).lazy()
    assert_frame_equal(front_series(both).collect(), front_series(bars().lazy()).collect())
    series = front_series(both, night=True).collect()
    assert series["timestamp"].is_sorted()
    assert series["timestamp"].n_unique() == series.height
    symbols = series.filter(pl.col("timestamp") < datetime(2025, 9, 15, 18))["symbol"].rle()
    assert symbols.struct.field("value").to_list() == [
        *("101W09", "101W09_NIGHT", "101W09", "101W09_NIGHT", "101W09"),
        *("101W12_NIGHT", "101W12", "101W12_NIGHT", "101W12"),  # from the evening of the expiry on
    ]
    lengths = symbols.struct.field("len").to_list()
    assert lengths == [411, 711, 411, 711, 395, 711, 411, 711, 411]


def test_back_adjusted_prices_have_no_jump_at_the_roll() -> None:
    plain, adjusted = (
        front_series(bars().lazy(), adjusted=a).collect().sort("timestamp") for a in (False, True)
    )
    old = pl.col("symbol") == "101W09"
    assert adjusted.filter(old)["adjustment"].unique().to_list() == pytest.approx([1.5])
    moved = adjusted.filter(old)["close"] - plain.filter(old)["close"]
    assert moved.to_list() == pytest.approx([1.5] * moved.len())
    assert_frame_equal(adjusted.filter(~old), plain.filter(~old))


def test_without_a_common_minute_the_adjustment_is_null() -> None:
    apart = bars().filter(
        (pl.col("symbol") == "101W09") | (pl.col("timestamp") > datetime(2025, 9, 12))
    )
    found = rolls(apart.lazy()).select("symbol", "next_symbol", "adjustment").collect()
    assert found.rows() == [("101W09", "101W12", None), ("101W12", None, 0.0)]


async def test_the_view_of_the_database_gives_the_same(store: Store, database_url: str) -> None:
    await store.merge("futures_1m", schemas.conform(bars(), schemas.FUTURES_BARS))
    await store_front_months(store, WallClock())
    view = scan("futures_front", database_url, order_by=["timestamp"]).collect()
    bars_ = scan("futures_1m", database_url)
    plain, adjusted = (front_series(bars_, adjusted=a).collect() for a in (False, True))
    columns = ["timestamp", "symbol", "open", "close"]
    assert_frame_equal(view.select(columns), plain.select(columns))
    of_view = view.select("timestamp", close="adjusted_close", high="adjusted_high")
    assert_frame_equal(of_view, adjusted.select("timestamp", "close", "high"))


async def test_the_view_with_nights_gives_the_same(store: Store, database_url: str) -> None:
    nights = bars(["101W09_NIGHT", "101W12_NIGHT"])
    for table, frame in (("futures_1m", bars()), ("futures_night_1m", nights)):
        await store.merge(table, schemas.conform(frame, schemas.FUTURES_BARS))
    await store_front_months(store, WallClock())
    view = scan("futures_front_nights", database_url, order_by=["timestamp"]).collect()
    both = pl.concat([bars(), nights]).lazy()
    plain, adjusted = (front_series(both, adjusted=a, night=True).collect() for a in (False, True))
    columns = ["timestamp", "symbol", "open", "close", "volume"]
    assert_frame_equal(view.select(columns), plain.select(columns))
    of_view = view.select("timestamp", close="adjusted_close", high="adjusted_high")
    assert_frame_equal(of_view, adjusted.select("timestamp", "close", "high"))
    assert view["night"].to_list() == view["symbol"].str.ends_with("_NIGHT").to_list()
    assert view.filter("night").height == 4 * 711 + 711  # the last is of Monday's evening


def test_a_product_that_is_not_a_future_is_refused() -> None:
    with pytest.raises(InputError, match="is not a symbol"):
        front_series(bars().lazy(), f"x{uuid.uuid4().hex[:2]}")
    for other in ("005930", "A01612", "202612_KOSPI200"):
        with pytest.raises(InputError, match="is not a futures product: A01, A05, A06"):
            front_series(bars().lazy(), other)
