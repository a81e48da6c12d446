"""The environment of our process is a stranger's: which variables of it reach a child or a driver.

A variable that was set for another program must not decide what we do: PGCLIENTENCODING=UHC, which
is common on Korean Windows, ended the day at KIS's first Korean word; PGHOSTADDR led to another
server; DBMATE_MIGRATIONS_TABLE made a second table of migrations. Settings of ours begin with KRT_,
and an address of a database says all that there is to say about it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LIBPQ = "PG"  # what libpq reads begins so, and it cannot be told not to
_NAMED = (
    # where things are
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP"),
    *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
    # without these, programs do not start on Windows
    *("SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "USERNAME"),
    *("APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "HOMEDRIVE", "HOMEPATH"),
    *("NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE"),
)
_PAGE = (  # for a page and for what a researcher runs in a notebook
    *("KRT_", "POLARS_", "RAY_", "XDG_"),
    *("DISPLAY", "WAYLAND_DISPLAY", "BROWSER", "DBUS_SESSION_BUS_ADDRESS"),
    *("TERM", "COLORTERM", "NO_COLOR", "VIRTUAL_ENV"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)

# What `just live` sets for its own process, where the user has not, before Polars and Arrow are
# loaded. One thread: a minute's frames are small, and handing them to other threads costs a tenth
# of a day's CPU. Memory that is free stays with the process for a minute: after half a second, as
# Polars has it, every minute would ask the system for all of it again while a bar waits. Arrow
# takes its memory from the system's own allocator: its usual one keeps what each thread has once
# needed, 60 MB for batches of 2 MB, and more of it week after week.
FOR_LIVE = {
    "POLARS_MAX_THREADS": "1",
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:90000,muzzy_decay_ms:90000",
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}

_M_ARENA_MAX, _ARENAS = -8, 2  # the parameter of mallopt(3), and what we set it to

_lock = threading.Lock()
_hidden: dict[str, str] = {}
_connecting = 0


def child_environment(**values: str) -> dict[str, str]:
    """Return the environment of a child: the variables that programs need to run, and `values`."""
    return {name: os.environ[name] for name in _NAMED if name in os.environ} | values


def page_environment(**values: str) -> dict[str, str]:
    """Return the environment of a child that runs our Python for a user; it writes UTF-8."""
    wanted = {
        name: value
        for name, value in os.environ.items()
        if name.upper() in _PAGE or name.startswith(tuple(n for n in _PAGE if n.endswith("_")))
    }
    return child_environment(PYTHONUTF8="1") | wanted | values


def share_heaps() -> None:
    """Have all threads that start from now on share two heaps of glibc; elsewhere nothing is done.

    By itself glibc gives threads up to eight heaps for each core, and each keeps what its threads
    once needed. MALLOC_ARENA_MAX, where the user has set it, holds: glibc reads it before us.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        import ctypes  # noqa: PLC0415 - here only, and other commands start without it

        with suppress(AttributeError):  # a C library without it
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def forget_libpq_variables() -> None:
    """Take libpq's variables out of our own environment, when a program starts."""
    for name in _libpq_variables():
        del os.environ[name]


@contextmanager
def without_libpq_variables() -> Iterator[None]:
    """Hide libpq's variables while the block connects; for programs of others that import us."""
    global _connecting  # noqa: PLW0603 - the environment is one for all threads
    with _lock:
        _connecting += 1
        _hidden.update({name: os.environ.pop(name) for name in _libpq_variables()})
    try:
        yield
    finally:
        with _lock:
            _connecting -= 1
            if not _connecting:
                os.environ.update(_hidden)
                _hidden.clear()


def _libpq_variables() -> list[str]:
    return [name for name in os.environ if name.upper().startswith(_LIBPQ)]
