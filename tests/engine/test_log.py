"""The log: the clock's time, one line an event, and no secret in it."""

import errno
import io
import logging
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from engine.clock import VirtualClock
from engine.log import HIDDEN, LAUNCHD_LABEL, MOST_KEPT, setup_logging


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


@pytest.mark.skipif(sys.platform == "win32", reason="about launchd")
@pytest.mark.parametrize(
    ("label", "before", "emptied"),
    [(LAUNCHD_LABEL, MOST_KEPT + 1, True), (LAUNCHD_LABEL, 99, False), ("0", MOST_KEPT + 1, False)],
)
def test_the_file_that_launchd_appends_to_is_emptied_when_it_is_long(
    tmp_path: Path, label: str, before: int, emptied: bool
) -> None:
    file = tmp_path / "launchd.log"
    file.write_bytes(bytes(before))
    said = "from engine.log import empty_long_launchd_log as empty; empty()\nimport sys"
    with file.open("ab") as appended:
        subprocess.run(
            [sys.executable, "-c", f"{said}\nsys.stderr.write('more')"],
            env=os.environ | {"XPC_SERVICE_NAME": label},
            stderr=appended,
            check=True,
        )
    assert file.stat().st_size == (0 if emptied else before) + len("more")
