"""Steps of the futures' price limits as events (market_events): 15 and 20 % after the first, 8 %.

What KIS shows of them comes with the answers about bars. Where the day has come to the limit that
they show, the contract's quote is asked for as well, a call after each of these answers, since that
is known to have the wider one. An event begins at KIS's time of the first answer that shows it, so
up to a minute late (with the feed up to 25, unless `state` is collected), and ends with the next
one or with the session.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from engine.errors import KrtError
from engine.fetchers.price_limits import FIRST_STEP, LAST_STEP, ShownLimits, read_limits
from engine.kis.client import KisClient, Priority
from engine.kis.endpoints.options import DerivativeQuote
from engine.market.hours import DAY, MINUTE, Session
from engine.schemas import MARKET_EVENTS
from engine.store import Store
from engine.store.identifiers import literal
from pipelines.day.ingest import Ingestor

log = logging.getLogger(__name__)

PRICE_LIMIT = "price_limit"


@dataclass(frozen=True)
class _Step:
    percent: int
    began: datetime
    source: str


class LimitWatch:
    """Follows the limits of a day's futures; a failure is a line in the log."""

    def __init__(self, client: KisClient, store: Store, ingestor: Ingestor) -> None:
        self._client = client
        self._store = store
        self._ingestor = ingestor
        self._steps: dict[str, _Step] = {}
        self._ended: set[str] = set()
        self._shown: asyncio.Queue[tuple[ShownLimits, Session]] = asyncio.Queue()

    def note(self, shown: ShownLimits, session: Session) -> None:
        """Note what an answer about bars shows, without waiting for anything."""
        if shown.step > FIRST_STEP or shown.is_reached:
            self._shown.put_nowait((shown, session))

    async def run(self) -> None:
        """Ask for more where a limit has been reached, and store the steps, until cancelled."""
        while True:
            shown, session = await self._shown.get()
            try:
                if shown.is_reached and shown.step < LAST_STEP:
                    quote = await self._client.call(
                        DerivativeQuote(shown.symbol, "F"),
                        priority=Priority.OTHERS,
                        deadline=self._client.clock.now() + MINUTE,
                    )
                    shown = read_limits(quote, shown.symbol) or shown
                if shown.symbol not in self._ended:
                    await self._note_step(shown, session)
            except KrtError as error:
                log.warning("⚠️ %s: its price limits: %s", shown.symbol, error)

    async def end(self, symbol: str, session: Session) -> None:
        """End the event of a symbol with its session."""
        self._ended.add(symbol)
        if step := self._steps.pop(symbol, None):
            try:
                await self._store_events([(symbol, step, session.last_stamp)])
            except KrtError as error:
                log.warning("⚠️ %s: its price limits: %s", symbol, error)

    async def _note_step(self, shown: ShownLimits, session: Session) -> None:
        known = self._steps.get(shown.symbol)
        if known is None and shown.step > FIRST_STEP:
            known = await self._stored_step(shown.symbol, session.date)
        if shown.step <= (known.percent if known else FIRST_STEP):
            if known:
                self._steps[shown.symbol] = known
            return
        log.warning("⚠️ %s: its price limits are %d per cent away now", shown.symbol, shown.step)
        began = _Step(shown.step, shown.told_at.replace(microsecond=0), shown.source)
        self._steps[shown.symbol] = began
        ended = [(shown.symbol, known, began.began)] if known else []
        await self._store_events([*ended, (shown.symbol, began, None)])

    async def _stored_step(self, symbol: str, day: date) -> _Step | None:
        """Return the step that holds by the database: an earlier run of the day has seen it."""
        midnight = datetime.combine(day, datetime.min.time())
        found = await self._store.query(
            "SELECT code::integer AS percent, started_at, source FROM market_events"  # noqa: S608 - quoted
            f" WHERE symbol = {literal(symbol)} AND kind = {literal(PRICE_LIMIT)}"
            f" AND started_at >= {literal(midnight)} AND started_at < {literal(midnight + DAY)}"
            " AND ended_at IS NULL ORDER BY started_at DESC LIMIT 1"
        )
        rows = found.to_pylist()
        if not rows:
            return None
        return _Step(rows[0]["percent"], rows[0]["started_at"], rows[0]["source"])

    async def _store_events(self, events: list[tuple[str, _Step, datetime | None]]) -> None:
        now = self._client.clock.now()
        rows = [
            {
                "symbol": symbol,
                "kind": PRICE_LIMIT,
                "started_at": step.began,
                "ended_at": ended_at,
                "source": step.source,
                "code": str(step.percent),
                "fetched_at": now,
            }
            for symbol, step, ended_at in events
        ]
        await self._ingestor.store_events(pa.RecordBatch.from_pylist(rows, MARKET_EVENTS))
