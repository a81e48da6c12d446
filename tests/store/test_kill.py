"""SIGKILL at random moments, briefly; `python -m tests.store.torment` does it for long."""

from __future__ import annotations

import os
import random

from tests.store.torment import torment


def test_killing_collector_and_server_loses_and_tears_nothing() -> None:
    seed = random.SystemRandom().randrange(2**32)
    assert torment(float(os.environ.get("KRT_SOAK_SECONDS", "1")), seed) >= 5
