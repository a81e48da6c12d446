"""One collector at a time: whoever collects holds a lock in the folder of its spool."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from engine.errors import InputError
from engine.files import private_folder

log = logging.getLogger(__name__)


@contextmanager
def hold_collector_lock(folder: Path, name: str = "collector.lock") -> Iterator[None]:
    """Hold the collector's lock: two collectors would make every call twice. Raises InputError.

    A folder that takes no lock (it is full, or can only be read) does not end the day. `name` is
    that of another lock, of who holds the collector's only for the time of a session.
    """
    lock = FileLock(folder / name, mode=0o600)
    try:
        _take(lock, folder)
    except OSError as error:
        log.error("❌ a second collector would not be noticed: %s: %s", folder, error.strerror)
    try:
        yield
    finally:
        lock.release()


def refuse_second_collector(folder: Path) -> None:
    """Raise InputError if a collector holds the lock, before a second one shows its empty view.

    The lock is free afterwards: whoever collects takes it, and says if it cannot be taken.
    """
    lock = FileLock(folder / "collector.lock", mode=0o600)
    with suppress(OSError):
        _take(lock, folder)
    lock.release()


def _take(lock: FileLock, folder: Path) -> None:
    """Take the lock. Raises InputError if another process has it, OSError."""
    private_folder(folder)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise InputError(
            f"another collector is running with this data folder (it holds {lock.lock_file})"
        ) from None
