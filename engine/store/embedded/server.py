"""The embedded Postgres: made on first use, shared by all `krt` processes, stopped by the last.

    FOLDER/
      users/           a file for each process that uses the server, locked while it lives
      server.lock      held while somebody starts, joins or leaves
      …                the cluster: cluster.py

On Unix the server has no port: whoever is not the user (or root) cannot even reach the socket, and
`peer` authentication asks the kernel who is calling. On Windows it listens on 127.0.0.1 with a
random password. As long as anybody uses it, a server that died is started again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock
import platformdirs

from engine.errors import InputError, StoreError
from engine.store.embedded.cluster import DATABASE, Cluster, data_folder
from engine.store.embedded.programs import (
    SYSTEM_FOLDER,
    find_programs,
    make_enterable,
    runs_under_another_account,
)

__all__ = ["DATABASE", "default_folder", "embedded_server"]

log = logging.getLogger(__name__)

_LOOK_EVERY = 2.0  # seconds
_OURS = 0o600  # of lock files: who can open one can hold it, and everybody would wait


def default_folder() -> Path:
    """Return where the embedded server lives unless told otherwise."""
    if sys.platform != "win32" and os.geteuid() == 0:
        return SYSTEM_FOLDER
    return platformdirs.user_data_path("korea-realtime-trading", appauthor=False)


@contextmanager
def embedded_server(
    folder: Path | None = None, *, durable: bool = True, temporary: bool = False
) -> Iterator[str]:
    """Start the embedded server or join the running one; yield the URL of its database.

    The last user to leave stops it, and removes the folder if it is `temporary`. `durable=False`
    (tests) does not wait for the disk. Raises InputError if the server's account cannot reach the
    folder, StoreError if the server does not start.
    """
    folder = (folder or default_folder()).expanduser().resolve()
    _prepare(folder)
    cluster = Cluster(folder, find_programs(_owner(folder)))
    me = filelock.FileLock(folder / "users" / f"{uuid.uuid4().hex}.lock", mode=_OURS)
    with _lock(folder):
        _join(cluster, durable=durable)
        me.acquire()
    try:
        with _kept_running(cluster, durable=durable):
            yield cluster.url()
    finally:
        with _lock(folder):
            me.release()
            last = not _in_use(folder)
            if last:
                cluster.stop()
        if last and temporary:
            cluster.remove()


def _prepare(folder: Path) -> None:
    try:
        if runs_under_another_account():
            make_enterable(folder)
        else:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "users").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the database folder {folder}: {error.strerror}") from None
    if not os.access(folder / "users", os.W_OK):
        raise InputError(f"the database folder {folder} belongs to somebody else: name another")


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / "server.lock", timeout=600, mode=_OURS)


def _owner(folder: Path) -> str | None:
    """Return the account that existing data belongs to."""
    if sys.platform == "win32" or not data_folder(folder).exists():
        return None
    return data_folder(folder).owner()


def _join(cluster: Cluster, *, durable: bool) -> None:
    if not cluster.programs.can_enter(cluster.folder):
        raise InputError(
            f"the database folder {cluster.folder} lies below a folder that the account"
            f" `{cluster.programs.account}`, which Postgres runs under, may not enter:"
            f" name one such as {SYSTEM_FOLDER}"
        )
    if not cluster.data.exists():
        cluster.initialise()
    if not cluster.runs():
        cluster.start(durable=durable)
    cluster.ensure_database()


def _in_use(folder: Path) -> bool:
    """Tell whether any process uses the server. The system releases the lock of a crashed one."""
    living = False
    for path in (folder / "users").iterdir():
        try:
            # Windows removes no file that is open, not even ours: it stays, and tells nothing.
            with filelock.FileLock(path, timeout=0, mode=_OURS), suppress(PermissionError):
                path.unlink(missing_ok=True)
        except filelock.Timeout:
            living = True
    return living


@contextmanager
def _kept_running(cluster: Cluster, *, durable: bool) -> Iterator[None]:
    """Start the server again should it die (out of memory, killed) while the block runs."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(_LOOK_EVERY):
            if not cluster.runs():
                _revive(cluster, durable=durable)

    watcher = threading.Thread(target=look, name="database-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _revive(cluster: Cluster, *, durable: bool) -> None:
    try:
        with _lock(cluster.folder):
            if not cluster.runs():
                cluster.start(durable=durable)
                log.warning("⚠️ the database had died and has been started again")
    except (StoreError, OSError, filelock.Timeout) as error:  # a full disk: it is tried again
        log.error("❌ %s", error)
