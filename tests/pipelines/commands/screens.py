"""Run a command in this process on a screen that is made up: a terminal, a pipe, Korean Windows."""

from __future__ import annotations

import io
import logging
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from engine.clock import WallClock
from pipelines.commands.main import main

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b]*\x1b\\")


@dataclass(frozen=True)
class Screen:
    """Where the output goes; `width` (columns) is that of a terminal, None of a pipe."""

    width: int | None = None
    encoding: str = "utf-8"
    term: str = "xterm-256color"


class _Output(io.TextIOWrapper):
    """Standard output that says what it is told to whoever asks whether it is a terminal."""

    is_terminal = False
    stop_at: str | None = None  # once this is written, Ctrl+C is pressed

    def write(self, text: str) -> int:
        """Write, and press Ctrl+C where that is asked for."""
        written = super().write(text)
        if self.stop_at and self.stop_at in text:
            self.stop_at = None
            signal.raise_signal(signal.SIGINT)
        return written

    def isatty(self) -> bool:
        """Say whether it is a terminal."""
        return self.is_terminal


def run(
    screen: Screen, *arguments: str, errors: bool = False, stop_at: str | None = None
) -> tuple[int, str]:
    """Return the exit code, and all that the command wrote to standard output.

    With `errors` what it wrote to standard error as well, as a terminal shows both. Once the text
    of `stop_at` is written, Ctrl+C ends the command. Moments of today have become others: they are
    of the run, not of the data.
    """
    with pytest.MonkeyPatch.context() as patch, _own_log():
        for name in ("NO_COLOR", "FORCE_COLOR", "LINES"):
            patch.delenv(name, raising=False)
        patch.setenv("TERM", screen.term)
        patch.setenv("COLUMNS", str(screen.width or 80))
        if screen.width is None:
            patch.delenv("COLUMNS")
        output = _Output(io.BytesIO(), encoding=screen.encoding, newline="\n", write_through=errors)
        output.is_terminal, output.stop_at = screen.width is not None, stop_at
        patch.setattr(sys, "stdout", output)
        if errors:
            patch.setattr(sys, "stderr", output)
        try:
            code = main(arguments)
        except SystemExit as ended:  # by Ctrl+C
            code = int(ended.code or 0)
        output.flush()
        written = output.buffer.getvalue()  # type: ignore[attr-defined]
    today = f"{WallClock().now():%Y-%m-%d}"
    text = _ESCAPES.sub("", written.decode(screen.encoding))
    return code, re.sub(rf"{today}([ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?)?", _other, text)


@contextmanager
def _own_log() -> Iterator[None]:
    """Let a command set up its log, and put things back as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _other(found: re.Match[str]) -> str:
    """Return as many figures that are always the same."""
    return re.sub(r"\d", "7", found[0])
