"""Keep this machine awake while something must not be missed.

Each system has a way of its own, and each lets go when our process ends, however it ends. None of
them wakes a machine that sleeps, or holds against a closed lid everywhere.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from engine.environment import child_environment

log = logging.getLogger(__name__)

_SESSION = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS")
# Of Windows: until told otherwise; the system stays awake, the screen need not.
_CONTINUOUS, _SYSTEM_REQUIRED = 0x80000000, 0x00000001


@contextmanager
def keep_awake(why: str) -> Iterator[None]:
    """Ask the system not to sleep while the block runs; a line says so where it will not."""
    if sys.platform == "win32":
        _set_windows_state(_CONTINUOUS | _SYSTEM_REQUIRED)
        try:
            yield
        finally:
            _set_windows_state(_CONTINUOUS)
        return
    child = _start(awake_command(why))
    if child is None:
        log.info("⏱️ this system has nothing that keeps it awake: turn its sleep off")
    try:
        yield
    finally:
        if child is not None:
            if child.poll() is not None:  # logind, for one, does not let everybody
                log.info("⏱️ this system was not kept awake, it refused: turn its sleep off")
            child.terminate()
            child.wait()


def awake_command(why: str) -> list[str] | None:
    """Return the command that holds this machine awake until our process ends; None without one."""
    if sys.platform == "darwin":
        return ["caffeinate", "-i", "-s", "-w", str(os.getpid())]
    if shutil.which("systemd-inhibit") is None:
        return None
    hold = ["tail", f"--pid={os.getpid()}", "-f", os.devnull]
    about = ["--what=sleep:idle", "--who=korea-realtime-trading", f"--why={why}"]
    return ["systemd-inhibit", *about, *hold]


def _start(command: list[str] | None) -> subprocess.Popen[bytes] | None:
    if command is None:
        return None
    session = {name: os.environ[name] for name in _SESSION if name in os.environ}
    try:
        return subprocess.Popen(  # noqa: S603
            command,
            env=child_environment(**session),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C in the terminal is for us
        )
    except OSError:
        return None


def _set_windows_state(flags: int) -> None:
    import ctypes  # noqa: PLC0415 - Windows only

    windows = getattr(ctypes, "windll", None)
    if windows is not None:
        windows.kernel32.SetThreadExecutionState(flags)
