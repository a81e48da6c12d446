"""A KIS that answers what a test tells it to, and a virtual clock in a trading session."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

import pytest

from engine.clock import VirtualClock
from tests.engine.kis.stub_kis import StubKis, open_stub_kis


@pytest.fixture
def clock(request: pytest.FixtureRequest) -> VirtualClock:
    """Start at 10:05:02, or where `parametrize("clock", [...], indirect=True)` says."""
    return VirtualClock(getattr(request, "param", datetime(2026, 11, 20, 10, 5, 2)))


@pytest.fixture
async def kis(clock: VirtualClock) -> AsyncIterator[StubKis]:
    async with open_stub_kis(clock) as stub:
        yield stub
