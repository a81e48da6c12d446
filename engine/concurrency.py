"""Jobs that run at the same time and end together."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any


async def run_until_first_error(*jobs: Coroutine[Any, Any, None]) -> None:
    """Run the jobs; the first error ends all of them and is raised.

    No TaskGroup: before Python 3.13 one that fails leaves its caller marked as cancelled, and the
    next Ctrl+C then ends the process with a traceback.
    """
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run_with_helpers(
    job: Coroutine[Any, Any, None], *helpers: Coroutine[Any, Any, None]
) -> None:
    """Run the job; its end ends the helpers. The first error, of any of them, is raised."""
    tasks = [asyncio.create_task(each) for each in (job, *helpers)]
    running = set(tasks)
    try:
        while not tasks[0].done():
            ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
