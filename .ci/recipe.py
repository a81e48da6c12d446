"""The shell of the justfile: runs one line of a recipe the same way on every system.

`just` hands each line to a shell, and the shells of Linux and Windows agree on nothing. This one
knows words, quotes and `"$@"` (the arguments the user gave to the recipe), and nothing else.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys


def words(line: str, arguments: list[str]) -> list[str]:
    """Split a recipe's line into words, with the user's arguments in the place of `"$@"`."""
    return [word for part in shlex.split(line) for word in (arguments if part == "$@" else [part])]


def main() -> int:
    """Run the line; its exit code is ours.

    Ctrl+C reaches the command too, and it is the command's to end cleanly; we only wait for it.
    (A handler, not SIG_IGN: a command started under SIG_IGN would never hear of Ctrl+C.)
    """
    line, *rest = sys.argv[1:]
    signal.signal(signal.SIGINT, lambda *_: None)
    command = words(line, rest[1:])
    try:
        return subprocess.run(command, check=False).returncode  # noqa: S603
    except FileNotFoundError:
        sys.stderr.write(f"❌ {command[0]}: no such command; run recipes with `uv run just`\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
