"""The evening of a collector of every day: the session is validated, and exported if asked for."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path

import polars as pl

from engine.backoff import Backoff
from engine.errors import KrtError
from engine.market.sessions import Market, previous_sessions
from engine.store import Store
from engine.store.export import export
from engine.store.identifiers import literal
from pipelines.day.alerts import Alerts, stopped_component, validation_findings
from pipelines.history.session_status import validated_sessions
from pipelines.history.validate import Validation, validate

log = logging.getLogger(__name__)

TRIES = 4  # the next evening does what is left
LOOK_BACK = 5  # sessions: a start fills what these have open, and then they can be validated
BETWEEN_TRIES = Backoff(first=10.0, longest=600.0)


class Evening:
    """What is done when a session is over.

    `found` has what was last found in each session: the same findings again are no news.
    """

    def __init__(self, store: Store, alerts: Alerts, found: dict[date, str]) -> None:
        self._store = store
        self._alerts = alerts
        self._found = found

    async def attempt(self, what: str, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job, again after a pause if it fails; in the end leave it with a line."""
        for failures in range(1, TRIES + 1):
            try:
                return await job()
            except Exception as error:  # noqa: BLE001 - the next session must be collected
                log.error(
                    "❌ %s failed (%d of %d tries): %s", what, failures, TRIES, describe(error)
                )
                now = self._store.now()
                self._alerts.tell(stopped_component(self._alerts.t, what, now, describe(error)))
            if failures < TRIES:
                await self._store.clock.sleep(BETWEEN_TRIES.wait_after(failures))
        return None

    async def validate(self, day: date) -> None:
        """Validate the session, and those before it that are not: a line and an alert of each."""
        first = await self._first_unvalidated(day)
        found = await validate(self._store, self._store.clock, [], first, day)
        texts = texts_of(found)
        for session, text in texts.items():
            log.warning(
                "⚠️ %s: validation found %s; see just validate --from %s", session, text, session
            )
            if self._found.get(session) != text:
                self._alerts.tell(validation_findings(self._alerts.t, session, text))
        self._found.clear()
        self._found.update(texts)
        if not texts:
            log.info("✅ %s is valid", day)

    async def _first_unvalidated(self, day: date) -> date:
        earlier = previous_sessions(Market.DERIVATIVES, day, LOOK_BACK)
        rows = await self._store.query(
            "SELECT session, bool_and(open = 0 AND validated) AS good FROM kept_sessions"  # noqa: S608
            f" WHERE session BETWEEN {literal(earlier[0])} AND {literal(day)} GROUP BY session"
        )
        good = dict(zip(rows["session"].to_pylist(), rows["good"].to_pylist(), strict=True))
        return next((session for session in earlier if not good.get(session)), day)

    async def export(self, folder: Path) -> None:
        """Write the sealed sessions that changed below the folder, as Parquet."""
        sealed = await validated_sessions(self._store)
        parts = await self._store.clock.thread(export, self._store.url, folder, sealed)
        written = parts.filter(pl.col("written"))
        log.info(
            "✅ exported: %d files of %d are new, below %s", written.height, parts.height, folder
        )


def texts_of(found: Validation) -> dict[date, str]:
    """Return what was found in each session, in words: `missing 3, ohlc 1`."""
    counts = (
        found.findings.group_by("session", "check")
        .agg(pl.col("bars").sum())
        .sort("session", "check")
        .with_columns(text=pl.format("{} {}", "check", "bars"))
        .group_by("session", maintain_order=True)
        .agg(pl.col("text").str.join(", "))
    )
    return dict(counts.iter_rows())


def describe(error: BaseException) -> str:
    """Return an error in one line; one that we did not raise on purpose with its place."""
    if isinstance(error, KrtError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
