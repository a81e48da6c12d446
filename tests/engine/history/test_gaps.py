"""The quick look finds which stamps are missing, over years at once."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest

from engine.history import gaps
from engine.history.gaps import find_gaps
from engine.market.expected import SESSIONS
from pipelines.history.backfill import backfill
from tests.pipelines.simulated import desk

EVENING = datetime(2025, 9, 2, 18)
DAYS = date(2025, 9, 1), date(2025, 9, 2)
SYMBOLS = ["101W09", "005930"]


async def test_all_missing_stamps_are_found_in_one_look(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, SYMBOLS, *DAYS)
        wanted = pl.DataFrame(
            [(symbol, day) for symbol in SYMBOLS for day in DAYS],
            SESSIONS,
            orient="row",
        )
        assert (await find_gaps(at.store, wanted, at.clock)).is_empty()
        await at.store.execute("DELETE FROM futures_1m WHERE timestamp >= '2025-09-02 15:34'")
        await at.store.execute("DELETE FROM stocks_1m WHERE timestamp < '2025-09-02'")
        found = await find_gaps(at.store, wanted, at.clock)
        assert sorted(found.select("symbol", "session", "bars").rows()) == [
            ("005930", DAYS[0], 381),
            ("101W09", DAYS[1], 3),
        ]


@pytest.mark.parametrize("share", [0.5, 1.1])
async def test_rows_of_other_symbols_do_not_matter(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    monkeypatch.setattr(gaps, "_SAMPLE", 100)
    monkeypatch.setattr(gaps, "_NEARLY_ALL", share)
    wanted = pl.DataFrame({"symbol": ["005930", "005930"], "session": DAYS})
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, ["005930"], *DAYS)
        await at.store.execute(
            "INSERT INTO stocks_1m SELECT timestamp, '000660', timeframe, open, high, low, close,"
            " volume, fetched_at, committed_at FROM stocks_1m WHERE timestamp < '2025-09-02 10:00'"
        )
        await at.store.execute(
            "DELETE FROM stocks_1m WHERE symbol = '005930' AND timestamp = '2025-09-01 09:30'"
        )
        condition = await gaps._symbol_condition(at.store, "stocks_1m", wanted)
        assert (condition == "true") == (share == 0.5)
        found = await find_gaps(at.store, wanted, at.clock)
        assert found.select("symbol", "session", "bars").rows() == [("005930", DAYS[0], 1)]
