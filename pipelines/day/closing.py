"""The close: the sealed day is compared with KIS, and what is missing is written down."""

from __future__ import annotations

import logging
from contextlib import suppress

import polars as pl

from engine.errors import KrtError
from engine.history.completeness import LOST, gap_runs, read_minutes
from engine.history.origins import read_origins
from pipelines.day.alerts import unfillable_gap
from pipelines.day.heartbeats import Heartbeats
from pipelines.day.parts import DayParts
from pipelines.history.adjustments import settle_adjustments
from pipelines.history.missing_trades import missing_trades_of_day
from pipelines.history.reconcile import reconcile
from pipelines.history.told_once import settle_streams

log = logging.getLogger(__name__)


async def close_day(day: DayParts, heartbeats: Heartbeats) -> None:
    """Compare the whole day with KIS once it is sealed: late bars and corrections come in.

    Has patience with the database. Raises KisKeyRefused, StoreError if it is refused.
    """
    await day.clock.sleep_until(day.sealed_at)
    log.info("🔄 the day is over; comparing it with KIS")
    plan = day.plan

    async def compare_with_kis() -> pl.DataFrame:
        with suppress(OSError):  # a folder that cannot be read holds up nothing
            await day.writer.drain()  # else what waits in it would count as missing
            if day.trade_writer:
                await day.trade_writer.drain()
        await reconcile(day.context, plan.names, plan.day)
        await settle_adjustments(day.context)
        day.stats.origins = await read_origins(day.store, plan.names, plan.day)
        if day.trade_writer:
            traded = [bars.symbol for bars in plan.by_feed.bars]
            found = await missing_trades_of_day(day.store, traded, plan.day)
            day.stats.missing_trades = found
        told_once = [stream.target for stream in plan.streams]
        await settle_streams(day.store, day.clock, told_once, day.streams.reasons)
        return await read_minutes(day.store, plan.kept, plan.day, day.clock.now())

    day.stats.minutes = await day.patience.retry("the comparison with KIS", compare_with_kis)
    # Of what is told once the summary has the reasons: a late start would be an alert a stream.
    lost = gap_runs(day.stats.minutes).filter(
        pl.col("state").is_in(LOST), pl.col("symbol").is_in(plan.names)
    )
    for gap in lost.select("symbol", "session", "first_stamp", "reason").iter_rows():
        day.alerts.tell(unfillable_gap(day.alerts.t, *gap))
    await _move_old_rows(day)
    await day.patience.retry("the status of the day", heartbeats.finish)


async def _move_old_rows(day: DayParts) -> None:
    """Have old rows leave the database for files; where that fails, the next close does it."""
    try:
        for move in day.moves:
            await day.clock.thread(move, day.plan.day, day.clock.now())
    except (KrtError, OSError) as error:
        log.warning("⚠️ old rows stay in the database until the next close: %s", error)
