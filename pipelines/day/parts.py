"""What the phases of a day share: its plan, and the parts of the engine that collect it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from engine.clock import Clock
from engine.kis.client import KisClient
from engine.store import Store, Writer
from pipelines.day.alerts import Alerts
from pipelines.day.ingest import Ingestor
from pipelines.day.patience import Patience
from pipelines.day.polling import PollingManager
from pipelines.day.statistics import DayStatistics
from pipelines.day.told_once import StreamPolling
from pipelines.day_plan import DayPlan
from pipelines.history.request import BackfillContext


@dataclass(frozen=True)
class DayParts:
    """The parts of one day's run; `kis_folder` has the holidays that KIS announced."""

    plan: DayPlan
    stats: DayStatistics
    clock: Clock
    store: Store
    writer: Writer
    kis: KisClient
    kis_folder: Path
    ingestor: Ingestor
    polling: PollingManager
    context: BackfillContext
    alerts: Alerts
    patience: Patience
    streams: StreamPolling
    # Move old trades and months of bars into files, given the day and the moment.
    moves: Sequence[Callable[[date, datetime], object]] = ()
    trade_writer: Writer | None = None  # of the feed's trades

    @property
    def spooled(self) -> tuple[int, int]:
        """The number of batches that wait on disk, and their bytes."""
        batches, size = self.writer.spooled
        trades, more = self.trade_writer.spooled if self.trade_writer else (0, 0)
        return batches + trades, size + more

    @property
    def opens(self) -> datetime:
        """When the first session of the plan opens."""
        return min(session.opens for session in self.plan.sessions)

    @property
    def sealed_at(self) -> datetime:
        """When the last session of the plan is sealed."""
        return max(session.sealed_at for session in self.plan.sessions)
