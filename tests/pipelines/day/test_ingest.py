"""Bars of many symbols at once: each is refused on its own, and counted after all commits."""

from __future__ import annotations

from datetime import date, datetime

import pyarrow as pa
import pytest

from engine.clock import VirtualClock
from engine.errors import StoreError
from engine.store import MergeCounts
from pipelines.day.alerts import Alerts, Contact
from pipelines.day.ingest import Ingestor
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.engine.store.data import futures_bars

DAY = date(2025, 9, 1)
OPEN = datetime(2025, 9, 1, 9)


class Puts:
    """A writer that notes what is put, and refuses one symbol's bars."""

    def __init__(self, refused: str) -> None:
        self.put_symbols: list[str] = []
        self._refused = refused

    async def put(
        self, _table: str, batch: pa.RecordBatch, *, patience: float = 0.0
    ) -> MergeCounts:
        assert patience == 0.0, "the feed's bars wait for nobody"
        self.put_symbols.append(symbol := batch["symbol"][0].as_py())
        if symbol == self._refused:
            raise StoreError("refused")
        return MergeCounts(inserted=batch.num_rows)


@pytest.fixture
def bars() -> dict[str, list[pa.RecordBatch]]:
    symbols = ("A01509", "A05509", "A06509")
    return {"futures_1m": [futures_bars([1.0, 2.0], symbol=one, start=OPEN) for one in symbols]}


async def test_what_is_refused_of_one_symbol_takes_no_other_with_it(
    bars: dict[str, list[pa.RecordBatch]],
) -> None:
    clock, writer = VirtualClock(OPEN), Puts("A05509")
    stats = DayStatistics(plan(Feed(futures=("A01", "A05", "A06")), DAY), simulated=True)
    ingestor = Ingestor(writer, clock, stats, Alerts([], clock, Contact()))  # type: ignore[arg-type]
    refused = await ingestor.store_bars_at_once(bars)
    assert writer.put_symbols == ["A01509", "A05509", "A06509"]
    assert {symbol: str(error) for symbol, error in refused.items()} == {"A05509": "refused"}
    assert {symbol: len(stamps) for symbol, stamps in stats.stored.items()} == {
        "A01509": 2,
        "A06509": 2,
    }
    assert stats.rows == MergeCounts(inserted=4)
    assert set(stats.last_bar) == {"A01509", "A06509"}
