"""The embedded Postgres: made on first use, shared by all our processes, stopped by the last.

    FOLDER/
      users/           a file for each process that uses the server, locked while it lives
      server.lock      held while a process starts, joins or leaves
      …                the cluster: cluster.py

On Unix the server has no port: only the user (or root) can reach the socket, and `peer`
authentication asks the kernel who is calling. On Windows it listens on 127.0.0.1 with a random
password. While a process uses it, a server that died is started again.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
import threading
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import filelock

from engine.errors import InputError, KrtError
from engine.files import make_folder, private_folder
from engine.settings import SYSTEM_FOLDER
from engine.store.connection import Connection
from engine.store.embedded.cluster import DATABASE, Cluster, data_folder, make_database
from engine.store.embedded.programs import (
    find_programs,
    runs_under_another_account,
)

__all__ = ["DATABASE", "embedded_server", "recreate_database"]

log = logging.getLogger(__name__)

_WATCH_INTERVAL = 2.0  # seconds
_PRIVATE = 0o600  # mode of lock files: a user who can open one could hold it, and block us


@contextmanager
def embedded_server(
    folder: Path, *, durable: bool = True, temporary: bool = False
) -> Iterator[str]:
    """Start the embedded server or join the running one; yield the URL of its database.

    The last user to leave stops it, and removes the folder if it is `temporary`. `durable=False`
    (tests) does not wait for the disk. Raises InputError if the server's account cannot reach the
    folder or another container runs the server, StoreError if the server does not start.
    """
    folder = folder.expanduser().resolve()
    _prepare(folder)
    cluster = Cluster(folder, find_programs(_owner(folder)))
    membership = filelock.FileLock(folder / "users" / f"{uuid.uuid4().hex}.lock", mode=_PRIVATE)
    with _lock(folder):
        _join(cluster, durable=durable)
        membership.acquire()
    try:
        with _watching(cluster, durable=durable):
            yield cluster.url()
    finally:
        with _lock(folder):
            membership.release()
            last = not _is_in_use(folder)
            if last:
                cluster.stop()
        if last and temporary:
            cluster.remove()


def recreate_database(url: str) -> None:
    """Drop the embedded server's database and make it anew, without a schema.

    Raises StoreError while another connection uses it.
    """
    with closing(Connection(url.replace(f"/{DATABASE}?", "/postgres?"), "fresh")) as maintenance:
        maintenance.execute_alone(f"DROP DATABASE {DATABASE}")
        make_database(maintenance)


def _prepare(folder: Path) -> None:
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in str(folder)):
        raise InputError(
            f"the database folder {str(folder)!a} has a name that cannot be shown here: name"
            " another"
        )
    try:
        make_folder(folder, 0o755 if runs_under_another_account() else 0o700)
        _close_to_writers(folder)
        private_folder(folder / "users")
    except OSError as error:
        raise InputError(f"cannot make the database folder {folder}: {error.strerror}") from None
    if not os.access(folder / "users", os.W_OK):
        raise InputError(f"the database folder {folder} belongs to another user: name another")


def _close_to_writers(folder: Path) -> None:
    """Have nobody else put files into a folder of ours; another version let the umask decide."""
    found = folder.stat()
    shared = found.st_mode & stat.S_ISVTX  # like /tmp: open by intent
    if sys.platform != "win32" and found.st_uid == os.geteuid() and not shared:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~0o022)


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / "server.lock", timeout=600, mode=_PRIVATE)


def _owner(folder: Path) -> str | None:
    """Return the account that owns the data; None before there are data, and on Windows."""
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
        cluster.initialise(durable=durable)
    if not cluster.is_running():
        cluster.start(durable=durable)
    cluster.ensure_database()


def _is_in_use(folder: Path) -> bool:
    """Return whether any process uses the server. The system releases the lock of a crashed one."""
    in_use = False
    for path in (folder / "users").iterdir():
        try:
            # Windows removes no open file, not even ours: it stays, and does no harm.
            with filelock.FileLock(path, timeout=0, mode=_PRIVATE), suppress(PermissionError):
                path.unlink(missing_ok=True)
        except filelock.Timeout:
            in_use = True
    return in_use


@contextmanager
def _watching(cluster: Cluster, *, durable: bool) -> Iterator[None]:
    """Start the server again should it die (out of memory, killed) while the block runs."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_WATCH_INTERVAL):
            if not cluster.is_running():
                _restart(cluster, durable=durable)

    watcher = threading.Thread(target=watch, name="database-watcher", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _restart(cluster: Cluster, *, durable: bool) -> None:
    try:
        with _lock(cluster.folder):
            if not cluster.is_running():
                cluster.start(durable=durable)
                log.warning("⚠️ the database had died and has been started again")
    except (KrtError, OSError, filelock.Timeout) as error:  # a full disk: it is tried again
        log.error("❌ %s", error)
