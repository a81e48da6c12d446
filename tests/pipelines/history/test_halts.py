"""Minutes of a halt: settled by what KIS's answers prove about bars, named after what KIS says."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl

from engine.columns import PRICES
from engine.history.halts import REASONS
from engine.market.sessions import Session
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.synthetic import SyntheticMarket
from pipelines.history.backfill import backfill
from pipelines.history.reconcile import fill_before_open, reconcile
from tests.pipelines.simulated import Desk, desk

DAY = date(2025, 9, 2)
CLOSE = datetime(2025, 9, 2, 15, 55)
CONTRACT, STOCK = "101W09", "000020"


class Interrupted(SyntheticMarket):
    """000020 jumps by 12 % at 10:00 and does not trade in the minute after; nor does it at 11:00.

    The future does not trade from 13:00 to 13:19.
    """

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        found = super()._bars(symbol, session)
        label = pl.col("label").dt
        minute = label.hour().cast(pl.Int64) * 60 + label.minute()
        if symbol == STOCK:
            found = found.filter(~minute.is_in([601, 660])).with_columns(
                pl.when(minute >= 600)
                .then((pl.col(name) * 1.12).round())
                .otherwise(name)
                .alias(name)
                for name in PRICES
            )
            after = minute.is_in([602, 661])
        else:
            found = found.filter(~minute.is_between(780, 799))
            after = minute == 800
        return found.with_columns(
            pl.when(after).then("close").otherwise(name).alias(name) for name in PRICES
        )


async def settled(at: Desk) -> list[tuple[str, str, int, str, str]]:
    found = await at.frame(
        "SELECT symbol, first_stamp::time::text, stamps, state, reason FROM gaps"
        " WHERE state IN ('no_trade', 'halted') ORDER BY 1, 2"
    )
    return found.rows()


async def test_minutes_of_a_halt_are_halted_and_others_without_a_trade_are_not(
    database_url: str, tmp_path: Path
) -> None:
    """KIS tells of the stock's VI when asked; a circuit breaker may come by any way."""
    async with desk(database_url, tmp_path, CLOSE, Interrupted(3)) as at:
        await at.store.execute(
            "INSERT INTO market_events VALUES ('derivatives', 'circuit_breaker',"
            " '2025-09-02 13:00', '2025-09-02 13:20', 'H0STMKO0', '174', now(), now())"
        )
        report = await reconcile(at.context, [CONTRACT, STOCK], DAY)
        assert await settled(at) == [
            (STOCK, "10:02:00", 1, "halted", REASONS["vi"]),
            (STOCK, "11:01:00", 1, "no_trade", "KIS has no bar there"),
            (CONTRACT, "13:01:00", 20, "halted", REASONS["circuit_breaker"]),
        ]
        assert (report.no_trade, report.open, report.exit_code) == (22, 0, 0)
        events = await at.frame(
            "SELECT symbol, kind, started_at, ended_at, code FROM market_events"
        )
        vi = (STOCK, "vi", datetime(2025, 9, 2, 10), datetime(2025, 9, 2, 10, 2), "1")
        assert vi in events.rows()
        again = await backfill(await at.next_run(), [CONTRACT, STOCK], DAY, DAY, again=True)
        assert (again.no_trade, again.open) == (22, 0)
        assert {row[3] for row in await settled(at)} == {"halted", "no_trade"}


async def test_a_halt_settles_nothing(database_url: str, tmp_path: Path) -> None:
    """A minute that no answer proves stays open although trading was halted in it."""
    none = {"what": "empty_answer", "endpoint": "bars", "from": "15:00"}
    async with desk(
        database_url, tmp_path, CLOSE, Interrupted(3), Scenario.model_validate({"rule": [none]})
    ) as at:
        await at.store.execute(
            "INSERT INTO market_events VALUES ('stocks', 'circuit_breaker', '2025-09-02 11:00',"
            " NULL, 'H0STMKO0', '174', '2025-09-02 11:00', '2025-09-02 11:00')"
        )
        report = await reconcile(at.context, [STOCK], DAY)
        assert (report.open, report.no_trade, await settled(at)) == (381, 0, [])
        await at.clock.sleep_until(datetime(2025, 9, 3, 8, 35))
        await fill_before_open(await at.next_run(0), [STOCK], date(2025, 9, 3), 0)
        assert [row[2:4] for row in await settled(at)] == [(1, "halted"), (1, "halted")]
