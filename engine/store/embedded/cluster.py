"""One Postgres cluster on disk: made, started, found running, stopped. server.py shares it.

FOLDER/
  postgres-18/     the data, owned by the account that the server runs under
  run/             the socket (Unix); elsewhere if its path would be longer than sockets allow
  running.lock     Unix: held by the server as long as any of its processes runs
  password         Windows only: there are no private sockets there
"""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psutil

from engine.errors import StoreError
from engine.store.connection import Connection
from engine.store.embedded.programs import MAJOR, Programs
from engine.store.embedded.running import hold_for_server, is_held
from engine.store.identifiers import literal

log = logging.getLogger(__name__)

DATABASE = "krt"
_START_ATTEMPTS = 20
_PORT = 5432  # on Unix only part of the socket's name
_SOCKET_PATH_LIMIT = 103  # macOS: 104 bytes with the closing zero; Linux 108
_SETTINGS = {
    "timezone": "Asia/Seoul",
    "log_timezone": "Asia/Seoul",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "min_wal_size": "512MB",  # log files are recycled: creating one delays a commit
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "logging_collector": "on",  # one file a weekday, overwritten a week later: bounded
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
}
# We promise durability, so production keeps Postgres's own defaults; tests need not wait.
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True)
class Cluster:
    """The cluster in a folder. Hold the folder's lock to start or stop it."""

    folder: Path
    programs: Programs

    @property
    def data(self) -> Path:
        """Where Postgres keeps its files."""
        return data_folder(self.folder)

    def initialise(self, *, durable: bool) -> None:
        """Make the data beside its place and rename it, so that it is never half made."""
        log.info("🚀 making the database in %s (once)", self.folder)
        making = self.folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        self.programs.make_private_folder(making)
        authentication = ["--auth=peer"]
        if sys.platform == "win32":
            _write_secret(password := self.folder / "password", secrets.token_urlsafe(32))
            authentication = ["--auth=scram-sha-256", f"--pwfile={password}"]
        # The builtin collation orders text by code point, like Polars, on every system.
        self.programs.run(
            "initdb",
            "-D",
            _from_within(making),
            "-U",
            "postgres",
            "-E",
            "UTF8",
            "--no-instructions",
            "--locale=C",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            *authentication,
            *([] if durable else ["--no-sync"]),
            folder=self.folder,
        )
        if sys.platform != "win32":
            _admit_callers(making, self.programs)
        with (making / "postgresql.conf").open("a") as file:
            file.write("include 'krt.conf'\n")
        making.rename(self.data)

    def start(self, *, durable: bool) -> None:
        """Start the server, which must not be running here.

        Raises StoreError with its last message, InputError if it runs where we cannot see it.
        """
        with hold_for_server(self.folder) as inherited:
            self._start(inherited, durable=durable)

    def _start(self, inherited: tuple[int, ...], *, durable: bool) -> None:
        self.programs.close_folder(self.data)
        settings = _SETTINGS | ({} if durable else _NOT_DURABLE) | self._address()
        self._clear_after_crash()
        lines = (f"{name} = {_quoted(value)}\n" for name, value in settings.items())
        _write(self.data / "krt.conf", "".join(lines))
        for attempt in range(_START_ATTEMPTS):
            (self.data / "start.log").unlink(missing_ok=True)
            try:
                self.programs.run(
                    "pg_ctl",
                    "start",
                    "-D",
                    _from_within(self.data),
                    "-l",
                    _from_within(self.data) / "start.log",
                    "-w",
                    "-t",
                    "300",
                    folder=self.folder,
                    inherited=inherited,
                )
            except StoreError as error:
                reason = self._last_fatal_line()
                if "still in use" not in reason or attempt == _START_ATTEMPTS - 1:
                    message = f"the database in {self.folder} does not start: {reason}"
                    raise StoreError(message) from error
                time.sleep(0.5)  # the processes of a killed server end a moment after it
            else:
                return

    def stop(self) -> None:
        """Stop the server if it runs."""
        if not self.is_running():
            return
        try:
            self.programs.run("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w", "-t", "60")
        except StoreError:  # the next start recovers from the log, nothing is lost
            log.warning("⚠️ the database did not stop in order; stopping it at once")
            self.programs.run("pg_ctl", "stop", "-D", self.data, "-m", "immediate", "-w")

    def remove(self) -> None:
        """Remove everything of the stopped cluster, and the folder itself."""
        shutil.rmtree(self._socket_folder(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def is_running(self) -> bool:
        """Return whether the server runs; a stale postmaster.pid is not enough."""
        pid = self._pid()
        if pid is None:
            return False
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE or "postgres" not in process.name():
                return False
            return Path(process.cwd()) == self.data  # a server lives in its folder
        except psutil.NoSuchProcess:
            return False
        except psutil.AccessDenied:  # root of a container may see no more than its name
            return is_held(self.folder)

    def url(self) -> str:
        """Return the address of our database on the running server."""
        lines = _read(self.data / "postmaster.pid").split("\n")
        if sys.platform == "win32":
            login = f"postgres:{(self.folder / 'password').read_text()}@127.0.0.1:{lines[3]}"
            return f"postgresql://{login}/{DATABASE}?sslmode=disable"
        return f"postgresql://postgres@:{lines[3]}/{DATABASE}?host={quote(lines[4], safe='')}"

    def ensure_database(self) -> None:
        """Make our database unless it exists."""
        url = self.url().replace(f"/{DATABASE}?", "/postgres?")
        with closing(Connection(url, "krt")) as maintenance:
            if not _has_database(maintenance):
                make_database(maintenance)

    def _pid(self) -> int | None:
        try:
            return int(_read(self.data / "postmaster.pid").split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _clear_after_crash(self) -> None:
        """Remove the postmaster.pid of a killed server if another process has its number now.

        Postgres would take that process for the server and refuse to start. In a container without
        init, where dead processes are not reaped, it would even take the dead server for it.
        """
        pid = self._pid()
        if pid is not None and psutil.pid_exists(pid):
            (self.data / "postmaster.pid").unlink(missing_ok=True)
        if sys.platform != "win32":
            for path in self._socket_folder().glob(".s.PGSQL.*"):
                path.unlink(missing_ok=True)

    def _last_fatal_line(self) -> str:
        """Return the server's last fatal message of a failed start."""
        logs = sorted((self.data / "log").glob("*.log"), key=lambda path: path.stat().st_mtime)
        for path in [*reversed(logs), self.data / "start.log"]:
            with suppress(OSError):
                if lines := [line for line in _read(path).split("\n") if "FATAL" in line]:
                    return lines[-1]
        return f"see {self.data / 'log'}"

    def _address(self) -> dict[str, str]:
        if sys.platform == "win32":
            return {"listen_addresses": "127.0.0.1", "port": str(_port(self.folder / "port"))}
        run = self._socket_folder()
        self.programs.make_private_folder(run)
        address = {"listen_addresses": "", "unix_socket_directories": f'"{run}"'}
        return address | {"port": str(_PORT)}

    def _socket_folder(self) -> Path:
        """Return a folder for the socket: a path that is short enough for the system.

        A comma would divide the path into two for every program that connects, and a quote for the
        server.
        """
        name = f"krt-{hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]}"
        for run in (self.folder / "run", Path(tempfile.gettempdir()) / name):
            short = len(os.fsencode(run / f".s.PGSQL.{_PORT}.lock")) <= _SOCKET_PATH_LIMIT
            if short and not set(str(run)) & set(',"'):
                return run
        return Path("/tmp") / name  # noqa: S108 - make_private_folder checks its owner


def data_folder(folder: Path) -> Path:
    """Return the folder with the data of this major version."""
    return folder / f"postgres-{MAJOR}"


def _from_within(path: Path) -> Path:
    """Return the path as seen from the cluster's folder.

    pg_ctl and initdb pass it to a shell, which would read a quote, a dollar sign or a backslash of
    the user's folder as its own. On Windows, whose shell does not enter every folder, it is whole.
    """
    return path if sys.platform == "win32" else Path(path.name)


def _quoted(value: str) -> str:
    """Return a value of a setting as Postgres's file of settings has it."""
    return "'{}'".format(value.replace("\\", "\\\\").replace("'", "''"))


def make_database(maintenance: Connection) -> None:
    """Make our database; another command may do so at the same moment, after `live --fresh`."""
    try:
        maintenance.execute_alone(f"CREATE DATABASE {DATABASE}")
    except StoreError:
        if not _has_database(maintenance):
            raise


def _has_database(maintenance: Connection) -> bool:
    found = maintenance.query(f"SELECT 1 FROM pg_database WHERE datname = {literal(DATABASE)}")
    return bool(found.num_rows)


def _read(path: Path) -> str:
    """Return a file of Postgres; paths in it are as the system spells them."""
    return os.fsdecode(path.read_bytes())


def _admit_callers(data: Path, programs: Programs) -> None:
    """Let our own account and the server's be any database role, and no other account any."""
    import pwd  # noqa: PLC0415 - Unix only

    accounts = {pwd.getpwuid(os.geteuid()).pw_name, programs.account} - {None}
    _write(data / "pg_hba.conf", "local all all peer map=krt\n")
    lines = [f'krt "{account}" all\n' for account in sorted(map(str, accounts))]
    _write(data / "pg_ident.conf", "".join(lines))


def _write(path: Path, text: str) -> None:
    """Write a setting that the server's account must be able to read, whatever our umask is."""
    path.write_bytes(os.fsencode(text))
    path.chmod(0o644)  # the folder itself is closed to others


def _write_secret(path: Path, text: str) -> None:
    """Write a file that only we can read (Windows, where a mode of 0600 protects nothing)."""
    path.touch(mode=0o600)
    subprocess.run(  # noqa: S603
        ["icacls", path, "/inheritance:r", "/grant:r", f"{getpass.getuser()}:F"],  # noqa: S607
        check=True,
        capture_output=True,
    )
    path.write_text(text)


def _port(file: Path) -> int:
    """Return a free port; the last one if possible, since clients of a restarted server use it."""
    known = file.read_text("ascii", "replace").strip() if file.exists() else ""
    last = int(known) if re.fullmatch("[0-9]{1,5}", known) else 0  # a power cut leaves it empty
    for wanted in (last, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            file.write_text(str(port := int(probe.getsockname()[1])))
            return port
    raise StoreError("no free port on 127.0.0.1")
