"""The embedded Postgres: made on first use, shared by all `krt` processes, stopped by the last.

    FOLDER/
      postgres-18/     the data, owned by the account that the server runs under
      run/             the socket (Unix); elsewhere if its path would be longer than sockets allow
      users.json       which processes use the server
      server.lock      held while somebody starts, joins or leaves
      password         Windows only: there are no private sockets there

On Unix the server has no port: whoever is not the user (or root) cannot even reach the socket, and
`peer` authentication asks the kernel who is calling. On Windows it listens on 127.0.0.1 with a
random password.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import filelock
import platformdirs
import psutil

from engine.errors import InputError, StoreError
from engine.store.connection import Connection
from engine.store.programs import MAJOR, SYSTEM_FOLDER, Programs, find_programs

log = logging.getLogger(__name__)

DATABASE = "krt"
_PORT = 5432  # on Unix only part of the socket's name
_SOCKET_PATH_LIMIT = 103  # macOS: 104 bytes with the closing zero; Linux 108
_SETTINGS = {
    "timezone": "Asia/Seoul",
    "log_timezone": "Asia/Seoul",
    "max_connections": "60",
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "logging_collector": "on",  # one file a weekday, overwritten a week later: bounded
    "log_filename": "postgresql-%a.log",
    "log_truncate_on_rotation": "on",
}
_NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


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
    folder = (folder or default_folder()).expanduser().absolute()
    _prepare(folder)
    user = [os.getpid(), psutil.Process().create_time(), uuid.uuid4().hex]
    with _lock(folder):
        programs = find_programs(_owner(folder))
        url = _join(folder, programs, user, durable=durable)
    try:
        yield url
    finally:
        with _lock(folder):
            last = _leave(folder, programs, user)
        if last and temporary:
            shutil.rmtree(folder, ignore_errors=True)


def _prepare(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the database folder {folder}: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"the database folder {folder} belongs to somebody else: name another")


def _lock(folder: Path) -> filelock.BaseFileLock:
    return filelock.FileLock(folder / "server.lock", timeout=600)


def _owner(folder: Path) -> str | None:
    data = _data(folder)
    return data.owner() if sys.platform != "win32" and data.exists() else None


def _data(folder: Path) -> Path:
    return folder / f"postgres-{MAJOR}"


def _join(folder: Path, programs: Programs, user: list[object], *, durable: bool) -> str:
    if not programs.can_enter(folder):
        raise InputError(
            f"the database folder {folder} lies below a folder that the account"
            f" `{programs.account}`, which Postgres runs under, may not enter:"
            f" name one such as {SYSTEM_FOLDER}"
        )
    if not _data(folder).exists():
        _initialise(folder, programs)
    if _postmaster(folder) is None:
        _start(folder, programs, durable=durable)
    url = _url(folder)
    _ensure_database(url)
    _write_users(folder, [*_users(folder), user])
    return url


def _leave(folder: Path, programs: Programs, user: list[object]) -> bool:
    left = [other for other in _users(folder) if other != user]
    _write_users(folder, left)
    if left:
        return False
    if _postmaster(folder) is not None:
        try:
            programs.run("pg_ctl", "stop", "-D", _data(folder), "-m", "fast", "-w", "-t", "60")
        except StoreError:  # immediate: the next start recovers from the log, nothing is lost
            log.warning("⚠️ the database did not stop in order; stopping it at once")
            programs.run("pg_ctl", "stop", "-D", _data(folder), "-m", "immediate", "-w")
    return True


def _initialise(folder: Path, programs: Programs) -> None:
    """Make the data folder beside its place and rename it, so that a half-made one never counts."""
    log.info("🚀 making the database in %s (once)", folder)
    making = folder / "making"
    shutil.rmtree(making, ignore_errors=True)
    programs.own(making)
    authentication = ["--auth=peer"]
    if sys.platform == "win32":
        (folder / "password").write_text(secrets.token_urlsafe(32))
        authentication = ["--auth=scram-sha-256", f"--pwfile={folder / 'password'}"]
    # The builtin collation orders text by code point, like Polars, on every system and version.
    programs.run(
        "initdb", "-D", making, "-U", "postgres", "-E", "UTF8", "--no-instructions",
        "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", *authentication,
    )  # fmt: skip
    if sys.platform != "win32":
        _admit_callers(making, programs)
    with (making / "postgresql.conf").open("a") as file:
        file.write("include 'krt.conf'\n")
    making.rename(_data(folder))


def _admit_callers(data: Path, programs: Programs) -> None:
    """Let our own account, and the server's, be any database role; nobody else any."""
    import pwd  # noqa: PLC0415 - Unix only

    accounts = {pwd.getpwuid(os.geteuid()).pw_name, programs.account} - {None}
    (data / "pg_hba.conf").write_text("local all all peer map=krt\n")
    lines = [f'krt "{account}" all\n' for account in sorted(map(str, accounts))]
    (data / "pg_ident.conf").write_text("".join(lines))


def _start(folder: Path, programs: Programs, *, durable: bool) -> None:
    data = _data(folder)
    if _pid(folder) is not None and psutil.pid_exists(int(str(_pid(folder)))):
        # Postgres would take whoever has its old process number now for itself.
        (data / "postmaster.pid").unlink(missing_ok=True)
    settings = _SETTINGS | ({} if durable else _NOT_DURABLE) | _address(folder, programs)
    (data / "krt.conf").write_text("".join(f"{k} = '{v}'\n" for k, v in settings.items()))
    (data / "start.log").unlink(missing_ok=True)
    try:
        programs.run("pg_ctl", "start", "-D", data, "-l", data / "start.log", "-w", "-t", "300")
    except StoreError as error:
        raise StoreError(f"the database in {folder} does not start: {_said(data)}") from error


def _said(data: Path) -> str:
    """Return the last thing that the server said when it failed to start."""
    logs = [data / "start.log", *sorted((data / "log").glob("*.log"), key=_modified)]
    for path in reversed(logs):
        with suppress(OSError):
            if lines := [line for line in path.read_text().splitlines() if "FATAL" in line]:
                return lines[-1]
    return f"see {data / 'log'}"


def _modified(path: Path) -> float:
    return path.stat().st_mtime


def _address(folder: Path, programs: Programs) -> dict[str, str]:
    if sys.platform == "win32":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return {"listen_addresses": "127.0.0.1", "port": str(free.getsockname()[1])}
    run = _socket_folder(folder)
    programs.own(run)
    if run.owner() != (programs.account or _data(folder).owner()) or run.stat().st_mode & 0o077:
        raise StoreError(f"{run} is not ours alone: remove it, the database's socket goes there")
    escaped = str(run).replace("'", "''")
    return {"listen_addresses": "", "port": str(_PORT), "unix_socket_directories": f"{escaped}"}


def _socket_folder(folder: Path) -> Path:
    """Return a folder for the socket whose path is short enough for the system."""
    name = f"krt-{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}"
    for run in (folder / "run", Path(tempfile.gettempdir()) / name):
        if len(os.fsencode(run / f".s.PGSQL.{_PORT}.lock")) <= _SOCKET_PATH_LIMIT:
            return run
    return Path("/tmp") / name  # noqa: S108 - owner and mode are checked


def _pid(folder: Path) -> str | None:
    try:
        return (_data(folder) / "postmaster.pid").read_text().split("\n", 1)[0].strip() or None
    except FileNotFoundError:
        return None


def _postmaster(folder: Path) -> psutil.Process | None:
    """Return the running server of this folder; a stale postmaster.pid names none."""
    pid = _pid(folder)
    if pid is None:
        return None
    try:
        process = psutil.Process(int(pid))
        if process.status() == psutil.STATUS_ZOMBIE or "postgres" not in process.name():
            return None
        return process if str(_data(folder)) in process.cmdline() else None
    except psutil.NoSuchProcess:
        return None
    except psutil.AccessDenied:  # its name is all we may see
        return process


def _url(folder: Path) -> str:
    lines = (_data(folder) / "postmaster.pid").read_text().splitlines()
    if sys.platform == "win32":
        password = (folder / "password").read_text()
        return f"postgresql://postgres:{password}@127.0.0.1:{lines[3]}/{DATABASE}?sslmode=disable"
    return f"postgresql://postgres@:{lines[3]}/{DATABASE}?host={quote(lines[4], safe='')}"


def _ensure_database(url: str) -> None:
    maintenance = Connection(url.replace(f"/{DATABASE}?", "/postgres?"), "krt")
    try:
        with maintenance.transaction(read_only=True) as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'krt'")
            missing = cursor.fetchone() is None
        if missing:
            maintenance.alone(f"CREATE DATABASE {DATABASE}")
    finally:
        maintenance.close()


def _users(folder: Path) -> list[list[object]]:
    """Return the users whose process still lives: a crashed one does not keep the server up."""
    try:
        users = json.loads((folder / "users.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    return [user for user in users if _lives(user)]


def _lives(user: list[object]) -> bool:
    try:
        return bool(psutil.Process(int(str(user[0]))).create_time() == user[1])
    except psutil.NoSuchProcess:
        return False


def _write_users(folder: Path, users: list[list[object]]) -> None:
    (folder / "users.json").write_text(json.dumps(users))
