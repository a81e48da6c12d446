"""A virtual clock in a trading session."""

from __future__ import annotations

from datetime import datetime

import pytest

from engine.clock import VirtualClock


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime(2026, 7, 22, 10, 5, 2))
