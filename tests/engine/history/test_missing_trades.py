"""Whatever trades are lost, the check finds exactly their volume, and where it was traded."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.clock import WallClock
from engine.features.missing_trades import MISSING_TRADES
from engine.history.missing_trades import missing_trades, read_missing_trades
from engine.store import Store
from engine.store.trade_files import TradeFiles
from tests.engine.store.trades import trades as example_trades

DAY = date(2025, 9, 1)
OPEN = datetime(2025, 9, 1, 8, 45)
SIZES = st.lists(st.integers(1, 50), min_size=1, max_size=40)


def session(
    sizes: list[int], symbol: str = "A01612", day: date = DAY, every: float = 0.4
) -> pl.DataFrame:
    """Return trades of these sizes; several lie in one second of the exchange."""
    moments = [OPEN + timedelta(seconds=int(n * every)) for n in range(len(sizes))]
    opened = pl.Series([symbol]).new_from_index(0, len(sizes))
    return pl.DataFrame(
        {"session": [day] * len(sizes), "symbol": opened, "size": sizes, "traded_at": moments}
    ).select("session", "symbol", pl.col("size").cum_sum().alias("day_volume"), "size", "traded_at")


def stretches(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return frame.sort("session", "symbol", "after", "before").rows()


@given(st.data())
def test_whatever_is_dropped_is_found_with_its_stretch(data: st.DataObject) -> None:
    whole = pl.concat([session(data.draw(SIZES), "A01612"), session(data.draw(SIZES), "005930")])
    kept = data.draw(st.lists(st.booleans(), min_size=whole.height, max_size=whole.height))
    left = whole.filter(pl.Series(kept, dtype=pl.Boolean))
    again = left.filter(
        pl.Series(
            data.draw(st.lists(st.booleans(), min_size=left.height, max_size=left.height)),
            dtype=pl.Boolean,
        )
    )
    shuffled = pl.concat([left, again]).sample(
        fraction=1, shuffle=True, seed=data.draw(st.integers(0, 99))
    )
    found = missing_trades(shuffled.lazy()).collect()
    assert found.schema == MISSING_TRADES
    assert stretches(found) == sorted(expected(whole, kept), key=repr_of)


def repr_of(row: tuple[object, ...]) -> tuple[object, ...]:
    day, symbol, after, before, _ = row
    return (day, symbol, after or OPEN - timedelta(1), before)


def expected(whole: pl.DataFrame, kept: list[bool]) -> list[tuple[object, ...]]:
    """Return the stretches, told one trade after the other."""
    found: list[tuple[object, ...]] = []
    for symbol in ("A01612", "005930"):
        after, lost = None, 0
        for row, is_kept in zip(whole.iter_rows(named=True), kept, strict=True):
            if row["symbol"] != symbol:
                continue
            if not is_kept:
                lost += row["size"]
                continue
            if lost:
                found.append((DAY, symbol, after, row["traded_at"], lost))
            after, lost = row["traded_at"], 0
    return found


@given(st.data())
def test_bars_show_what_is_missing_after_the_last_trade(data: st.DataObject) -> None:
    sizes = data.draw(SIZES)
    whole = session(sizes)
    left = data.draw(st.integers(1, len(sizes)))
    bars = whole.group_by("symbol", pl.col("traded_at").dt.truncate("1m").alias("timestamp")).agg(
        pl.col("size").sum().alias("volume")
    )
    found = missing_trades(whole.head(left).lazy(), bars.lazy()).collect()
    lost = sum(sizes[left:])
    last = whole["traded_at"][left - 1]
    assert found.rows() == ([(DAY, "A01612", last, None, lost)] if lost else [])


def test_bars_with_less_volume_than_the_trades_say_nothing() -> None:
    bars = pl.DataFrame({"symbol": ["A01612"], "timestamp": [OPEN], "volume": [1]})
    assert missing_trades(session([5, 5]).lazy(), bars.lazy()).collect().is_empty()


def test_a_day_and_its_night_and_the_next_day_each_begin_at_zero() -> None:
    parts = [
        session([3, 4]),
        session([5], "A01612_NIGHT"),
        session([6, 1], day=date(2025, 9, 2)),
    ]
    assert missing_trades(pl.concat(parts).lazy()).collect().is_empty()


def test_a_trade_that_is_larger_than_the_volume_grew_is_told_apart() -> None:
    odd = session([3, 4, 5]).with_columns(
        size=pl.when(pl.col("day_volume") == 7).then(6).otherwise("size")
    )
    found = missing_trades(odd.lazy()).collect()
    assert found["missing"].to_list() == [-2]
    assert found["missing"].sum() == odd["day_volume"].max() - odd["size"].sum()


async def test_the_database_and_files_are_read_alike(store: Store, tmp_path: Path) -> None:
    """The example's trades have a volume that grows by ten each, and sizes of 1, 2, 3."""
    for day in (DAY, date(2025, 9, 2)):
        await store.merge("trades", example_trades(day))
    both = ["005930", "A01612"]
    before = await read_missing_trades(store, both, DAY, date(2025, 9, 2))
    assert before[0].height == 200
    assert before[0]["missing"].sum() == 4 * (500 - 99)
    assert before[1]["traded"].to_list() == [99] * 4
    files = TradeFiles(tmp_path, 30)
    moved = await store.clock.thread(files.move, store.url, date(2025, 10, 2), WallClock().now())
    assert moved == {DAY: 100}
    after = await read_missing_trades(store, both, DAY, date(2025, 9, 2))
    for one, other in zip(before, after, strict=True):
        assert_frame_equal(one, other)
    one_day, _ = await read_missing_trades(store, ["005930"], DAY, DAY)
    assert_frame_equal(one_day, before[0].filter(session=DAY, symbol="005930"))


async def test_without_any_trades_nothing_is_found(store: Store) -> None:
    found, totals = await read_missing_trades(store, ["005930"], DAY, DAY)
    assert found.is_empty()
    assert totals.is_empty()
