"""The log: the clock's time, one line an event, no secret, whoever logged it."""

import io
import logging
from datetime import datetime

import pytest

from engine.clock import VirtualClock
from engine.log import HIDDEN, setup_logging


@pytest.fixture
def heard():
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    setup_logging(
        clock=VirtualClock(datetime(2025, 9, 1, 15, 44, 2)),
        secrets=["s3cret", "s3cret-longer", ""],
        handler=logging.StreamHandler(stream),
    )
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def test_a_line_carries_the_simulated_time(heard):
    logging.getLogger("pipelines.day.live").info("✅ 411 bars")
    assert heard.getvalue() == "2025-09-01 15:44:02 ✅ 411 bars\n"


def test_secrets_are_blotted_out_even_of_exceptions(heard):
    try:
        raise ValueError("key s3cret-longer\nsecond line")
    except ValueError:
        logging.getLogger("engine.kis").exception("❌ token s3cret")
    assert "s3cret" not in heard.getvalue()
    assert HIDDEN in heard.getvalue()
    assert heard.getvalue().count("\n") == 1


def test_libraries_are_heard_from_warnings_on(heard):
    logging.getLogger("httpx").info("GET https://somewhere")
    logging.getLogger("httpx").warning("something odd")
    assert heard.getvalue().count("\n") == 1
