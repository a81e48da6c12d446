"""The shell of the justfile: runs one line of a recipe the same way on every system.

`just` hands each line to a shell, and the shells of Linux and Windows agree on nothing. This one
knows words, quotes and `"$@"` (the arguments the user gave to the recipe), and nothing else.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable


def words(line: str, arguments: list[str]) -> list[str]:
    """Split a recipe's line into words, with the user's arguments in the place of `"$@"`."""
    return [word for part in shlex.split(line) for word in (arguments if part == "$@" else [part])]


def main() -> int:
    """Run the line; its exit code is ours (128 and the signal's number if a signal ended it).

    Ctrl+C reaches the command too, and it is the command's to end cleanly; we only wait for it.
    SIGTERM and SIGHUP may come to us alone (`just` hands on its SIGTERM): the command gets them
    from us. What we were started to ignore stays ignored, for the command too.
    """
    line, *rest = sys.argv[1:]
    command = words(line, rest[1:])
    running: list[subprocess.Popen[bytes]] = []
    early: list[int] = []

    def hand_on(number: int, _frame: object) -> None:
        for child in running:
            child.send_signal(number)
        if not running:
            early.append(number)

    _handle("SIGINT", lambda *_: None)  # not SIG_IGN: the command would never hear of Ctrl+C
    _handle("SIGTERM", hand_on)
    _handle("SIGHUP", hand_on)
    try:
        child = subprocess.Popen(command)  # noqa: S603
    except FileNotFoundError:
        sys.stderr.write(f"❌ {command[0]}: no such command; run recipes with `uv run just`\n")
        return 2
    running.append(child)
    for number in early:
        child.send_signal(number)
    if sys.platform != "win32" and os.isatty(0):
        threading.Thread(target=_watch_terminal, args=(child,), daemon=True).start()
    code = child.wait()
    return code if code >= 0 else 128 - code


def _watch_terminal(child: subprocess.Popen[bytes]) -> None:
    """Send the command a SIGHUP when the terminal is closed.

    The system tells only the process that leads the terminal's session. That is a shell, which
    tells all its jobs, or `just` (`ssh -t machine just live`), which tells nobody.
    """
    terminal = select.poll()
    terminal.register(0, 0)
    if terminal.poll()[0][1] & select.POLLHUP:
        child.send_signal(signal.SIGHUP)


def _handle(name: str, handler: Callable[[int, object], None]) -> None:
    """Install the handler, unless there is no such signal (Windows) or we are to ignore it."""
    number = getattr(signal, name, None)
    if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
        signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
