"""The database that the parent owns: killed, shut against everybody, out of disk, started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from engine.errors import StoreError, StoreUnreachable
from engine.files import make_folder
from engine.store import migrate
from engine.store.connection import Connection
from engine.store.embedded.cluster import DATABASE, Cluster
from engine.store.embedded.programs import find_programs
from tests.engine.store.kill_loop import kill_server

RECOVERS_WITHIN = 120.0  # seconds
FILLING = 100  # tries, while a database writes


@dataclass(frozen=True)
class Disk:
    """A folder; on a disk of its own, which can be full, where one may be mounted (root, Linux)."""

    folder: Path
    size: str
    mounted: bool

    def fill(self) -> None:
        """Make the disk as small as its content, which may grow while it is done."""
        for _ in range(FILLING):
            if not self.mounted or self._resize(str(self._used_bytes())):
                return
        raise OSError(f"{self.folder} grows faster than it can be filled")

    def _used_bytes(self) -> int:
        disk = os.statvfs(self.folder)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize

    def empty(self) -> None:
        """Give the disk its size back."""
        if self.mounted and not self._resize(self.size):
            raise OSError(f"{self.folder} cannot be given its size again")

    def _resize(self, size: str) -> bool:
        """Give the disk a size; False if its content is larger."""
        command = ["mount", "-o", f"remount,size={size}", str(self.folder)]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def disk(folder: Path, size: str) -> Iterator[Disk]:
    """Mount a disk on the folder if that can be done here; unmount it in the end."""
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(folder)]
    mounted = False
    with suppress(FileNotFoundError):
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield Disk(folder, size, mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)


class Server:
    """A Postgres that only the soak test starts and stops."""

    def __init__(self, on: Disk) -> None:
        self.disk = on
        folder = on.folder / "server"
        make_folder(folder, 0o755)
        self._cluster = Cluster(folder, find_programs(None))
        self._cluster.initialise(durable=True)
        self._cluster.start(durable=True)
        self._cluster.ensure_database()
        self.url = self._cluster.url()
        migrate(self.url)

    def kill(self, *, alone: bool) -> None:
        """SIGKILL the server, alone or with all its processes."""
        if self._cluster.is_running():
            kill_server(self._cluster.folder, alone=alone)

    def shut_out(self) -> None:
        """Refuse connections to the database, and end those that are open."""
        with suppress(StoreUnreachable), closing(self._maintenance()) as database:
            database.execute_alone(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")
            database.query(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                f" WHERE datname = '{DATABASE}'"
            )

    def bring_back(self) -> None:
        """Let it run again, with room on its disk, and accept connections."""
        self.disk.empty()
        if not self._cluster.is_running():
            self._cluster.start(durable=True)
        deadline = time.monotonic() + RECOVERS_WITHIN
        while not self._accept_connections():
            if time.monotonic() > deadline:
                raise StoreUnreachable(f"the server has not recovered in {RECOVERS_WITHIN} s")
            time.sleep(0.5)

    def logs(self) -> list[Path]:
        """Return what the server has logged."""
        data = self._cluster.data
        return [*(data / "log").glob("*.log"), *data.glob("start.log")]

    def stop(self) -> None:
        """Stop it."""
        self.disk.empty()
        with suppress(StoreError):
            self._cluster.stop()

    def remove(self) -> None:
        """Remove its files."""
        self._cluster.remove()

    def keep(self, folder: Path) -> None:
        """Copy its files to a folder that is not removed."""
        shutil.copytree(self._cluster.folder, folder, ignore=shutil.ignore_patterns(".s.PGSQL*"))

    def _accept_connections(self) -> bool:
        """Accept connections again; False while the server recovers from a full disk."""
        with suppress(StoreUnreachable), closing(self._maintenance()) as database:
            database.execute_alone(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS true")
            return True
        return False

    def _maintenance(self) -> Connection:
        return Connection(self.url.replace(f"/{DATABASE}?", "/postgres?"), "soak")
