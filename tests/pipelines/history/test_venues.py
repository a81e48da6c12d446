"""Venues are filled, checked and repaired as days are, each by itself."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.history.queries import read_bars
from engine.history.scan import scan
from engine.store.export import export
from pipelines.history.backfill import backfill
from pipelines.history.repair import validate_and_fix
from pipelines.history.session_status import validated_sessions
from pipelines.history.validate import validate
from tests.pipelines.history.damage import apply_damage, plan_damage
from tests.pipelines.history.findings import stamps_found
from tests.pipelines.simulated import desk

TABLE = "stocks_venue_1m"
FIRST, LAST = date(2026, 11, 18), date(2026, 11, 19)  # the second is the examination's
SYMBOLS = ["005930_AFTER", "005930_NX", "005930_UN"]
MORNING = datetime(2026, 11, 20, 7)


@pytest.mark.long
async def test_venues_are_whole_and_every_damage_is_found_and_mended(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, MORNING) as at:
        report = await backfill(at.context, ["005930", *SYMBOLS], FIRST, LAST)
        assert report.owed == 2 * 381 + 240 + 180 + 2 * (700 + 590)
        # Minutes without a trade are settled as anywhere: some need a second answer, hours later.
        again = await backfill(await at.next_run(), ["005930", *SYMBOLS], FIRST, LAST)
        assert again.open == 0
        truth = await at.bars(TABLE)
        served = [at.served(symbol, day) for symbol in SYMBOLS for day in (FIRST, LAST)]
        assert_frame_equal(
            truth.sort("symbol", "timestamp"), pl.concat(served).sort("symbol", "timestamp")
        )
        venues = await at.frame(f"SELECT DISTINCT symbol, venue FROM {TABLE} ORDER BY 1")
        assert venues["venue"].to_list() == ["J", "NX", "UN"]

        # What asks for the stock, or for the table of the regular session, gets no other venue.
        regular = await at.bars("stocks_1m")
        assert_frame_equal(regular, pl.concat([at.served("005930", d) for d in (FIRST, LAST)]))
        assert (await read_bars(at.store, ["005930"], FIRST, LAST)).height == regular.height
        assert scan(TABLE, database_url).filter(venue="NX").collect().height == len(
            truth.filter(symbol="005930_NX")
        )

        whole = await validate(at.store, at.clock, [])
        assert (whole.exit_code, whole.targets.height) == (0, 8)
        kept = await at.frame("SELECT market, owed, open FROM kept_sessions WHERE market = 'nxt'")
        assert sorted(kept.rows()) == [("nxt", 590, 0), ("nxt", 700, 0)]
        told = await at.frame("SELECT count(*) AS n FROM rejected_rows")
        assert told["n"][0] == 0

        damage = plan_damage(truth.filter(symbol="005930_UN"), 4, of_each=1, table=TABLE)
        await apply_damage(at.store, damage)
        # KIS has a bar in a break after all: it is kept, and told.
        await at.store.execute(
            f"INSERT INTO {TABLE} SELECT '2026-11-18 08:55', t.symbol, t.venue, t.open, t.high,"
            " t.low, t.close, t.volume, t.fetched_at, t.committed_at"
            f" FROM {TABLE} AS t WHERE symbol = '005930_NX' ORDER BY timestamp LIMIT 1"
        )
        in_break = ("break", "005930_NX", datetime(2026, 11, 18, 8, 55))
        fixed = await validate_and_fix(at.context, [])
        assert stamps_found(fixed.before) == damage.expected | {in_break}
        assert stamps_found(fixed.after) == {in_break}  # nothing removes it
        await at.store.execute(f"DELETE FROM {TABLE} WHERE timestamp = '2026-11-18 08:55'")
        assert_frame_equal(await at.bars(TABLE), truth, check_row_order=False)
        assert (await validate(at.store, at.clock, [])).exit_code == 0

        files = export(database_url, tmp_path / "copy", await validated_sessions(at.store))
        of_venues = files.filter(table=TABLE)
        assert sorted(of_venues["product"].to_list()) == ["after", "nx", "un"]
        assert of_venues["rows"].sum() == truth.height
