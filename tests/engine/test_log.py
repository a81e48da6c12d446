"""The log: the clock's time, one line an event, and no secret in it."""

import errno
import io
import logging
from datetime import datetime

import pytest

from engine.clock import VirtualClock
from engine.log import HIDDEN, setup_logging


@pytest.fixture
def output():
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


def test_a_line_carries_the_simulated_time(output):
    logging.getLogger("pipelines.commands.live").info("✅ 411 bars")
    assert output.getvalue() == "2025-09-01 15:44:02 ✅ 411 bars\n"


def test_secrets_are_masked_even_in_exceptions(output):
    try:
        raise ValueError("key s3cret-longer\nsecond line")
    except ValueError:
        logging.getLogger("engine.kis").exception("❌ token s3cret")
    assert "s3cret" not in output.getvalue()
    assert HIDDEN in output.getvalue()
    assert output.getvalue().count("\n") == 1


def test_libraries_are_logged_from_warnings_on(output):
    logging.getLogger("httpx").info("GET https://somewhere")
    logging.getLogger("httpx").warning("something odd")
    assert output.getvalue().count("\n") == 1


class FullDisk(io.StringIO):
    """A file on a full disk."""

    tried = False

    def write(self, text: str) -> int:
        self.tried = True
        raise OSError(errno.ENOSPC, "No space left on device")

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("output")
def test_a_full_disk_is_reported_in_a_line_and_not_by_tracebacks(tmp_path, capsys):
    setup_logging(file=tmp_path / "day.log")
    file = logging.getLogger().handlers[-1]
    file.stream.close()
    file.stream = FullDisk()
    for minute in range(3):
        logging.getLogger("engine").warning("⚠️ minute %d", minute)
    setup_logging()  # closes the file
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "⚠️" not in line] == [
        f"❌ the log {tmp_path / 'day.log'} loses lines: No space left on device"
    ]
    assert sum("⚠️ minute" in line for line in lines) == 3


@pytest.mark.usefixtures("output")
def test_a_full_disk_below_standard_error_too_raises_nothing(tmp_path, monkeypatch):
    setup_logging(file=tmp_path / "day.log")
    to_screen, file = logging.getLogger().handlers
    file.stream.close()
    file.stream = full = FullDisk()
    to_screen.setStream(full)
    monkeypatch.setattr("sys.stderr", full)
    logging.getLogger("engine").warning("⚠️ the batch goes to the spool")  # would not have gone
    setup_logging(handler=logging.NullHandler())
    assert full.tried
