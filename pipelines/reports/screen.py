"""Open what a command has made, where somebody looks at a screen."""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path


def has_screen() -> bool:
    """Say whether the command was typed in a terminal of a machine whose screen is at hand.

    A pipe, a service, a test and a session over SSH have none.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_file(file: Path) -> None:
    """Open a picture or page with the program that the system has for it."""
    webbrowser.open(file.resolve().as_uri())
