"""A KIS for the feed on the virtual clock of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.clock import VirtualClock
from tests.engine.kis.stream.stream_server import StreamServer, open_server


@pytest.fixture
async def server(clock: VirtualClock) -> AsyncIterator[StreamServer]:
    async with open_server(clock) as server:
        yield server
