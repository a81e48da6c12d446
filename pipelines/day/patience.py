"""Patience with a database that is away: what needs it is tried again, from the start to the end.

What is collected meanwhile goes to the spool, so nothing but the end of the day ends the patience.
A refusal that waiting does not heal (a wrong schema, another kind of data) is raised at once.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from engine.backoff import Backoff
from engine.clock import Clock
from engine.errors import KisUnreachable, StoreUnreachable

log = logging.getLogger(__name__)
Result = TypeVar("Result")

BETWEEN_TRIES = Backoff(first=2.0, longest=60.0)


class Patience:
    """Tries again while the database cannot be reached; a line says so once, not at each try."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._why: dict[str, StoreUnreachable] = {}  # what waits for the database, and why

    async def retry(self, what: str, job: Callable[[], Awaitable[Result]]) -> Result:
        """Run the job, again after a pause while the database is away; return its result.

        `what` names it in the log. Raises what the job raises but StoreUnreachable.
        """
        failures = 0
        while True:
            try:
                result = await job()
            except StoreUnreachable as error:
                failures += 1
                self._why[what] = error
                if failures == 1:
                    log.warning("⚠️ %s waits for the database: %s", what, error)
                await self._clock.sleep(BETWEEN_TRIES.wait_after(failures))
            else:
                if self._why.pop(what, None):
                    log.info("✅ the database is back: %s goes on", what)
                return result

    @asynccontextmanager
    async def until(self, end: datetime) -> AsyncIterator[None]:
        """Limit the block to a moment.

        Raises StoreUnreachable if it waited for the database then, else KisUnreachable.
        """
        left = max((end - self._clock.now()).total_seconds(), 0.0)
        try:
            async with self._clock.timeout(left):
                yield
        except TimeoutError:
            for what, error in self._why.items():
                raise StoreUnreachable(
                    f"{what} had no database until {end:%H:%M}: {error}"
                ) from None
            raise KisUnreachable(
                f"the day could not be compared with KIS until {end:%H:%M}"
            ) from None
