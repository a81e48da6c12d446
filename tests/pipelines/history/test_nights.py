"""Nights are filled, checked and repaired as days are, and no question about days reaches them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.columns import STAMPS
from engine.history.queries import read_bars
from engine.market.nights import session_of
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.simulator.market.synthetic import SyntheticMarket
from engine.store.export import export
from pipelines.history.backfill import backfill
from pipelines.history.proving import known_of
from pipelines.history.repair import validate_and_fix
from pipelines.history.request import why_gone
from pipelines.history.session_status import validated_sessions
from pipelines.history.validate import validate
from tests.pipelines.history.damage import apply_damage, plan_damage
from tests.pipelines.history.findings import stamps_found
from tests.pipelines.simulated import desk

NIGHT = "A01612_NIGHT"
TABLE = "futures_night_1m"
BEFORE = date(2026, 11, 17)
FIRST, LAST = date(2026, 11, 18), date(2026, 11, 19)  # the second is the examination's: from 19:00
NIGHTS = [BEFORE, FIRST, LAST]
MORNING = datetime(2026, 11, 20, 7)


async def test_nights_are_whole_and_every_damage_is_found_and_mended(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, MORNING) as at:
        await backfill(at.context, ["A01_NIGHT"], BEFORE, BEFORE)
        report = await backfill(at.context, ["A01", "A01_NIGHT"], FIRST, LAST)
        assert (report.owed, report.stored, report.calls) == (2 * 411 + 711 + 651, 2184, 10 + 7 + 7)
        truth = await at.bars(TABLE)
        assert_frame_equal(truth, pl.concat([at.served(NIGHT, day) for day in NIGHTS]))
        session = session_of(pl.col("symbol"), pl.col("timestamp"))
        night = truth.filter(session == FIRST)["timestamp"]
        assert night.to_list() == parse(NIGHT).expected_stamps(FIRST).to_list()
        assert (night[0], night[-1]) == (datetime(2026, 11, 18, 18, 1), datetime(2026, 11, 19, 6))

        whole = await validate(at.store, at.clock, [])
        assert (whole.exit_code, whole.targets.height) == (0, 5)
        kept = await at.frame("SELECT market, owed, open FROM kept_sessions WHERE market = 'night'")
        assert kept.sort("owed").rows() == [("night", 651, 0), *[("night", 711, 0)] * 2]

        damage = plan_damage(truth.filter(session > BEFORE), seed=4, of_each=2, table=TABLE)
        await apply_damage(at.store, damage)
        fixed = await validate_and_fix(at.context, [])
        assert stamps_found(fixed.before) == damage.expected
        assert fixed.exit_code == 0
        assert_frame_equal(await at.bars(TABLE), truth)

        # What asks for the contract, or for everything of a table of days, gets no night.
        days = await read_bars(at.store, ["A01612"], FIRST, LAST)
        assert days.height == (await at.bars()).height == 2 * 411
        night_bars = await read_bars(at.store, [NIGHT], FIRST, FIRST)
        assert night_bars.height == 711
        sealed = await validated_sessions(at.store)
        files = export(database_url, tmp_path / "copy", sealed)
        assert files.filter(table=TABLE)["rows"].sum() == truth.height
        copy = pl.read_parquet(tmp_path / "copy" / TABLE / "**/*.parquet", hive_partitioning=False)
        assert_frame_equal(copy.select(truth.columns).sort("timestamp"), truth)


class NotHeld(SyntheticMarket):
    """The synthetic market without a night, by default that of 2026-10-08, the eve of a holiday."""

    def __init__(self, seed: int, night: date = date(2026, 10, 8)) -> None:
        super().__init__(seed)
        self._night = night

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        found = super()._bars(symbol, session)
        return found.clear() if session.date == self._night else found


async def test_of_a_night_before_a_holiday_the_answers_of_kis_decide(
    database_url: str, tmp_path: Path
) -> None:
    """It is expected; two answers without a bar, hours apart, say that it was not held.

    Of an ordinary night, after one with bars, no number of empty answers says so.
    """
    ordinary, eve = date(2026, 10, 7), date(2026, 10, 8)
    async with desk(database_url, tmp_path, datetime(2026, 10, 9, 8), NotHeld(3)) as at:
        await backfill(at.context, ["A01_NIGHT"], date(2026, 10, 6), ordinary)
        for day, traded_before in ((ordinary, True), (eve, False)):
            night = parse(NIGHT).session(day)
            assert night is not None
            known = await known_of(at.context, NIGHT, night, STAMPS.to_frame(), None)
            assert known.traded_before is traded_before
            assert not known.always_trades
        first = await backfill(at.context, ["A01_NIGHT"], eve, eve)
        assert (first.owed, first.open) == (711, 711)
        second = await backfill(await at.next_run(), ["A01_NIGHT"], eve, eve)
        assert (second.no_trade, second.open) == (711, 0)
        assert (await validate(at.store, at.clock, [NIGHT])).exit_code == 0


@pytest.mark.parametrize(
    ("day", "reason"),
    [(date(2026, 5, 4), None), (date(2026, 5, 3), "older than the nights that KIS keeps")],
)
def test_nights_are_kept_for_about_200_days(day: date, reason: str | None) -> None:
    assert why_gone(NIGHT, day, date(2026, 11, 20)) == reason
