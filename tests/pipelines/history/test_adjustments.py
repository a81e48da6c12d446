"""Corporate actions: found in bars that come back otherwise, confirmed by KIS's daily prices."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine import schemas
from engine.clock import VirtualClock
from engine.features.adjustment import adjusted
from engine.history.scan import scan
from engine.market.symbols import parse
from engine.simulator.market.split import SplitMarket
from engine.store import Store
from pipelines.history.adjustments import settle_adjustments
from pipelines.history.backfill import backfill
from pipelines.research import scan as research_scan
from tests.engine.store.data import batch
from tests.paths import DIRTY_STOCKS_FILE, needs
from tests.pipelines.simulated import MARKET, desk

STOCK = "005930"
DAYS = date(2025, 9, 1), date(2025, 9, 2)
THEN, LATER = datetime(2025, 9, 2, 18), datetime(2025, 9, 9, 18)
EFFECTIVE = date(2025, 9, 5)
KEPT = ["effective", "factor", "state", "first_seen"]


async def actions(store: Store) -> pl.DataFrame:
    return pl.DataFrame(await store.query("SELECT * FROM adjustments ORDER BY symbol, effective"))


async def test_a_split_is_found_confirmed_and_makes_one_series(
    database_url: str, tmp_path: Path
) -> None:
    """The first day is fetched again after the split, the second one never is."""
    async with desk(database_url, tmp_path, THEN) as at:
        await backfill(at.context, [STOCK], *DAYS)
        paid = await at.bars("stocks_1m")
    market = SplitMarket(MARKET, STOCK, EFFECTIVE, 0.25)
    async with desk(database_url, tmp_path / "later", LATER, market) as at:
        await at.store.execute("DELETE FROM stocks_1m WHERE timestamp = '2025-09-01 10:00'")
        await backfill(at.context, [STOCK], DAYS[0], LATER.date())
        kept = await actions(at.store)
        assert kept.select(KEPT).rows() == [
            (EFFECTIVE, pytest.approx(0.25, rel=1e-4), "confirmed", DAYS[0])
        ]
        series = research_scan("stocks_1m", url=database_url, adjusted=True)
        found = series.collect()
        stored = scan("stocks_1m", database_url).collect()
        old = found.filter(pl.col("timestamp") < datetime(2025, 9, 5))
        expected = paid.join(old, on="timestamp", suffix="_found")
        assert expected.height > 700
        assert ((expected["close"] * 0.25 - expected["close_found"]).abs() <= 0.51).all()
        mixed = stored.filter(pl.col("timestamp") < datetime(2025, 9, 3))["close"]
        assert mixed.max() > 3 * mixed.min(), "unadjusted is what KIS said then"
        after = found.filter(pl.col("timestamp") >= datetime(2025, 9, 5))
        assert after["adjustment"].unique().to_list() == [1.0]
        assert await settle_adjustments(at.context) == 0, "nothing is new"


async def test_what_the_daily_prices_do_not_show_is_a_doubt_and_changes_nothing(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(database_url, tmp_path, LATER) as at:
        await replace(at.store, lambda n: 0.25)
        assert await settle_adjustments(at.context) == 0
        kept = await actions(at.store)
        assert kept.select("state", "reason").rows() == [
            ("doubted", "KIS's daily prices do not show this factor")
        ]
        assert "which is not applied" in caplog.text
        found = research_scan("stocks_1m", url=database_url, adjusted=True).collect()
        assert found["close"].equals(scan("stocks_1m", database_url).collect()["close"])
        assert found["adjustment_doubted"].all()


async def test_bars_that_are_not_one_factor_are_a_doubt(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, LATER) as at:
        await replace(at.store, lambda n: 0.25 if n % 3 else 0.3)
        assert await settle_adjustments(at.context) == 0
        assert (await actions(at.store)).select("state", "reason").rows() == [
            ("doubted", "not one factor over the session")
        ]


async def replace(store: Store, factor: Any) -> None:
    """Store thirty bars of a session, and other ones afterwards."""
    session = parse(STOCK).session(DAYS[0])
    assert session is not None
    for by, fetched in ((lambda _: 1.0, THEN), (factor, LATER)):
        prices = [round((50_000 + 10 * n) * by(n)) for n in range(30)]
        await store.merge("stocks_1m", as_batch(session.stamps()[:30], prices, fetched))


def as_batch(stamps: list[datetime], prices: list[float], fetched: datetime) -> Any:
    frame = pl.DataFrame({"timestamp": stamps, "close": prices}).with_columns(
        pl.col("close").cast(pl.Float64),
        symbol=pl.lit(STOCK),
        timeframe=pl.lit("1m"),
        volume=pl.lit(4),
        fetched_at=pl.lit(fetched),
        source=pl.lit(schemas.REST),
    )
    return batch(frame.with_columns(open="close", high="close", low="close"), schemas.STOCK_BARS)


@needs(DIRTY_STOCKS_FILE)
async def test_the_action_of_a_real_stock_is_one_factor_and_one_series(store: Store) -> None:
    """476060, 2025-09-05: KIS gave 33250 first, 8313 when it was asked for another day."""
    store.clock = VirtualClock(datetime(2025, 12, 30))
    rows = pl.read_parquet(DIRTY_STOCKS_FILE).filter(symbol="476060")
    session = rows.filter(pl.col("timestamp").dt.date() == date(2025, 9, 5))
    by_price = session.sort("timestamp", "close")
    second = by_price.unique("timestamp", keep="first", maintain_order=True)
    first = by_price.unique("timestamp", keep="last", maintain_order=True)
    assert first.height == second.height == 380
    for part, fetched in ((first, datetime(2025, 9, 5, 16)), (second, datetime(2025, 12, 1))):
        bars = part.with_columns(
            pl.col("timestamp").dt.offset_by("1m"),
            timeframe=pl.lit("1m"),
            fetched_at=pl.lit(fetched),
            source=pl.lit(schemas.REST),
        )
        await store.merge("stocks_1m", batch(bars, schemas.STOCK_BARS))
    found = pl.DataFrame(await store.query("SELECT * FROM corrections"))
    assert found.select("symbol", "kind").rows() == [("476060", "adjustment")]
    factor = found["factor"].item()
    assert factor == pytest.approx(0.25, rel=1e-3)
    known = pl.DataFrame(
        [("476060", date(2025, 11, 3), factor, "confirmed")],
        ["symbol", "effective", "factor", "state"],
        orient="row",
    )
    replaced = await store.query("SELECT timestamp, close FROM replaced_bars")
    series = adjusted(scan("stocks_1m", store.url), known).collect()
    both = series.join(pl.DataFrame(replaced), on="timestamp", suffix="_old")
    assert both.height == 380
    assert ((both["close_old"] * factor - both["close"]).abs() <= 1.0).all()
    on_that_day = adjusted(
        pl.DataFrame(replaced)
        .lazy()
        .with_columns(
            symbol=pl.lit("476060"),
            fetched_at=pl.lit(datetime(2025, 9, 5, 16)),
            source=pl.lit("rest"),
            volume=pl.lit(1),
            open="close",
            high="close",
            low="close",
        ),
        known,
    ).collect()
    joined = on_that_day.join(series, on="timestamp", suffix="_now")
    assert ((joined["close"] - joined["close_now"]).abs() <= 1.0).all()
