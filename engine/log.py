"""How we log: one line an event, its sign first, with the time of the clock in use.

✅ 🚀 🎉 done, started · 🔄 ⏱️ retry, wait · ⚠️ warning · ❌ failed. A simulated day logs
simulated time, so a line at 15:44 means 15:44 in Seoul whatever the speed.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path

from engine.clock import Clock, WallClock, to_kst_naive
from engine.files import private_folder
from engine.text import visible

HIDDEN = "•••"
LAUNCHD_LABEL = "local.korea-realtime-trading"  # launchd tells a job which one it is
MOST_KEPT = 10_000_000  # bytes of the file that launchd appends our output to
_OURS = ("engine", "pipelines", "strategies")


class _ClockFormatter(logging.Formatter):
    """`2025-09-01 15:44:02 message`: secrets masked, one line that does nothing but be read."""

    def __init__(self, clock: Clock | None, secrets: Iterable[str]) -> None:
        super().__init__("%(message)s")
        self._clock = clock
        self._secrets = sorted({s for s in secrets if s}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        line = visible(" ⏎ ".join(text.splitlines()))
        return f"{self._moment(record):%Y-%m-%d %H:%M:%S} {line}"

    def _moment(self, record: logging.LogRecord) -> datetime:
        if self._clock is not None:
            return self._clock.now()
        return to_kst_naive(datetime.fromtimestamp(record.created, tz=UTC))


class _LogFile(logging.FileHandler):
    """A file of log lines. While its disk is full, one line on standard error says so.

    Python's own handler would print two tracebacks for each lost line.
    """

    _reported = False

    def _open(self) -> TextIOWrapper:
        """Open the file for its owner alone, whatever the umask is; the name is Python's."""
        with suppress(FileExistsError):
            Path(self.baseFilename).touch(mode=0o600, exist_ok=False)
        return super()._open()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - Python's name
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._reported:
            self._reported = True
            with suppress(OSError):  # standard error may be a file on the same disk
                sys.stderr.write(f"❌ the log {self.baseFilename} loses lines: {error.strerror}\n")

    def close(self) -> None:
        try:
            super().close()
        except OSError:  # of buffered lines; they count as lost like those before
            self.handleError(logging.makeLogRecord({}))


def setup_logging(
    *,
    clock: Clock | None = None,
    level: int | str = logging.INFO,
    secrets: Iterable[str] = (),
    handler: logging.Handler | None = None,
    file: Path | None = None,
) -> None:
    """Send our log lines to standard error (or `handler`), and to `file` if one is given.

    `secrets` are masked in every line, as a last resort: no code should log them. Of libraries only
    WARNING and above is logged; httpx would log every address otherwise.
    """
    handlers = [handler or logging.StreamHandler()]
    if file is not None:
        private_folder(file.parent)
        handlers.append(_LogFile(file, encoding="utf-8"))
    formatter = _ClockFormatter(clock, secrets)
    for each in handlers:
        each.setFormatter(formatter)
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
        old.close()
    for each in handlers:
        root.addHandler(each)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)


def empty_long_launchd_log() -> None:
    """Empty the file that launchd appends our output to if it is long: nobody else ever would.

    The lines of each day stand in a file of their own as well.
    """
    if os.environ.get("XPC_SERVICE_NAME") != LAUNCHD_LABEL:
        return
    error = 2  # its number; Python's own stream may be replaced
    with suppress(OSError):
        about = os.fstat(error)
        if stat.S_ISREG(about.st_mode) and about.st_size > MOST_KEPT:
            os.ftruncate(error, 0)


def remove_old_logs(folder: Path, days: int) -> None:
    """Remove the files of days (`live-2026-11-27.log`) that nobody has written to for so long.

    By their own time and not by their name: a simulation plays days long past. One that another
    program has open (Windows) is left for the next time.
    """
    oldest = WallClock().now() - timedelta(days=days)
    for file in folder.glob("live-*.log"):
        with suppress(OSError):
            written = datetime.fromtimestamp(file.stat().st_mtime, tz=UTC)
            if to_kst_naive(written) < oldest:
                file.unlink()
