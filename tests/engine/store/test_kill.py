"""SIGKILL at random moments, briefly; `python -m tests.engine.store.kill_loop` does it for long."""

from __future__ import annotations

import random

from tests.databases import LONG
from tests.engine.store.kill_loop import torment


def test_killing_collector_and_server_loses_and_tears_nothing() -> None:
    seed = random.SystemRandom().randrange(2**32)
    assert torment(60.0 if LONG else 1.0, seed) >= 5
