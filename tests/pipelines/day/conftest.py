"""What the tests of a day share: a feed of fewer frames, and a history that is filled once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipelines.history.reconcile import fill_before_open
from strategies.registry import warm_up_sessions
from tests.databases import filled_once, fresh_database
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time
from tests.pipelines.simulated import desk, send_fewer_frames


@pytest.fixture(autouse=True)
def fewer_frames(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare a day's tests most messages; the long tests have them all."""
    if "all_frames" not in request.fixturenames:
        send_fewer_frames(monkeypatch)


@pytest.fixture
def all_frames() -> None:
    """Have a test use all messages of the feed, as the long tests do."""


@pytest.fixture(scope="session")
def filled_history(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database with the sessions before the day, as a start of the day fills them."""
    folder = tmp_path_factory.mktemp("history")
    return filled_once(server_url, "history", lambda url: asyncio.run(_fill_history(url, folder)))


async def _fill_history(url: str, folder: Path) -> None:
    async with desk(url, folder, at_time("08:30")) as at:
        await fill_before_open(at.context, [STOCK, FUTURE], DAY, warm_up_sessions())


@pytest.fixture
def empty_database_url(server_url: str) -> Iterator[str]:
    """The URL of a fresh database without any history."""
    with fresh_database(server_url) as url:
        yield url


@pytest.fixture
def database_url(filled_history: str) -> Iterator[str]:
    """The URL of a fresh database with that history: these tests are about the day."""
    with fresh_database(filled_history) as url:
        yield url


@pytest.fixture
def another_database_url(filled_history: str) -> Iterator[str]:
    """The URL of a second one, for comparisons."""
    with fresh_database(filled_history) as url:
        yield url
