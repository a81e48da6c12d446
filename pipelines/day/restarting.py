"""A part of the day that crashes costs a line, and begins again: the others go on meanwhile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any

from engine.backoff import Backoff
from engine.clock import Clock
from engine.errors import KrtError
from pipelines.day.alerts import Alerts, stopped_component
from pipelines.day.evening import describe

log = logging.getLogger(__name__)

BETWEEN_BEGINNINGS = Backoff(first=1.0, longest=60.0)  # seconds: a bar is asked for each minute


async def begin_again(
    clock: Clock,
    alerts: Alerts,
    what: str,
    job: Callable[[], Coroutine[Any, Any, None]],
    *,
    ends_the_day: tuple[type[Exception], ...] = (KrtError,),
) -> None:
    """Run a part to its end; after an error that nobody foresaw begin it again, after a pause.

    The pauses grow. An error that `ends_the_day` is raised: the part has decided so.
    """
    for failures in count(1):
        try:
            return await job()
        except ends_the_day:
            raise
        except Exception as error:  # noqa: BLE001 - the other parts must go on
            why, pause = describe(error), BETWEEN_BEGINNINGS.wait_after(failures)
            log.error("❌ %s crashed, and begins again in %d s: %s", what, round(pause), why)
            alerts.tell(stopped_component(alerts.t, what, clock.now(), why))
        await clock.sleep(pause)
    return None
