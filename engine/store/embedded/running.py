"""A lock that the running server itself holds: one server a folder, also among containers.

Two containers on one folder see no process of each other, so each would find no server and start
a second one, which destroys the data. What both see is a lock on a file (flock), held by whoever
has it open: the server is started with the file open, so the lock lasts until its last process has
ended, however that was, and even if those who used it were killed. The file says who holds it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.errors import InputError

_WAIT = 10.0  # seconds: the processes of a server that was killed end a moment after it
_INTERVAL = 0.1


@contextmanager
def hold_for_server(folder: Path) -> Iterator[tuple[int, ...]]:
    """Hold the folder; yield the descriptors that a server started in the block must inherit.

    Raises InputError if a server that we cannot see holds it. On Windows nothing is held: there
    each process of the machine sees all others.
    """
    if sys.platform == "win32":
        yield ()
        return
    file = folder / "running.lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        _acquire(descriptor, folder)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_ourselves()).encode(), 0)
        yield (descriptor,)
    finally:
        os.close(descriptor)  # a server that was started keeps its own


def is_held(folder: Path) -> bool:
    """Return whether any server holds the folder; on Windows, where it cannot be told, true."""
    if sys.platform == "win32":
        return True
    import fcntl  # noqa: PLC0415 - Unix only

    try:
        with (folder / "running.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _acquire(descriptor: int, folder: Path) -> None:
    import fcntl  # noqa: PLC0415 - Unix only

    for _ in range(round(_WAIT / _INTERVAL)):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_INTERVAL)
        except OSError as error:
            raise InputError(
                f"{folder} is on a disk without locks ({error.strerror}): the database needs a"
                " folder on a disk of this machine"
            ) from None
        else:
            return
    raise InputError(
        f"the database in {folder} is running {_whereabouts(os.pread(descriptor, 4096, 0))}:"
        " stop it there, or name another folder"
    )


def _whereabouts(content: bytes) -> str:
    """Return where the holder of the lock runs, as far as its file says so."""
    holder: dict[str, str] = {}
    with suppress(ValueError, TypeError, RecursionError):  # another program's, or half written
        holder = dict(json.loads(content))
    if holder == _ourselves():
        return "and does not end"
    return f"in another container or on another machine ({holder.get('host', 'unknown')})"


def _ourselves() -> dict[str, str]:
    """Return what tells this machine and this container from all others."""
    found = {"host": socket.gethostname(), "boot": "", "processes": ""}
    with suppress(OSError):  # Linux only
        found["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        found["processes"] = str(Path("/proc/self/ns/pid").stat().st_ino)
    return found
