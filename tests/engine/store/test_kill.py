"""SIGKILL at random moments, for a short time; kill_loop.py runs by itself for a long one."""

from __future__ import annotations

import random

from tests.databases import LONG
from tests.engine.store.kill_loop import kill_repeatedly


def test_killing_collector_and_server_loses_no_batch_and_splits_none() -> None:
    seed = random.SystemRandom().randrange(2**32)
    assert kill_repeatedly(60.0 if LONG else 1.0, seed) >= 5
