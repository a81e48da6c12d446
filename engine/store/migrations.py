"""Bring a database to the newest schema with dbmate; its files are in `sql/migrations`."""

from __future__ import annotations

import importlib.resources
import os
import re
import shutil
import subprocess
import sysconfig
from importlib.resources.abc import Traversable
from pathlib import Path

from engine.environment import child_environment
from engine.errors import InputError, StoreError, StoreUnreachable
from engine.settings import check_address
from engine.store.connection import Connection, fetch_frame, with_parameter

# Of what dbmate says: the same may succeed later.
_UNREACHABLE = (
    "connection refused",
    "no such host",
    "no such file",
    "timeout",
    "reset by peer",
    "starting up",
    "shutting down",
    "terminating connection",
    "too many",
    "remaining connection slots",
    "not currently accepting",
    "read-only transaction",
    "recovery is in progress",
    "bad connection",
    "eof",
)
_ENCODING = "UTF8"
_LONGEST = 600  # seconds for all migrations


def migrate(url: str) -> None:
    """Apply the migrations that the database lacks; several processes may do so at once.

    Roles without the right to (`krt_reader`, `krt_writer`) may call it too: if nothing is missing,
    nothing is done.

    Raises StoreUnreachable if the server does not answer, StoreError with its message otherwise,
    InputError if the URL is not valid.
    """
    connection = Connection(check_address(url), "migrate")
    try:
        if _is_newest(connection):
            return
        url = _in_public(connection, url)
    finally:
        connection.close()
    try:
        done = _run_dbmate(url)
    except subprocess.TimeoutExpired:
        raise StoreUnreachable(
            f"the database could not be migrated in {_LONGEST} s: another program holds its tables"
        ) from None
    if done.returncode and "SSL is not enabled" in done.stderr and "sslmode" not in url:
        # libpq, which all else uses, connects without SSL if the server has none; dbmate does not.
        done = _run_dbmate(with_parameter(url, "sslmode", "disable"))
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        message = _without_password(lines[-1] if lines else "dbmate failed")
        kind = StoreUnreachable if any(w in message.lower() for w in _UNREACHABLE) else StoreError
        raise kind(f"the database could not be migrated: {message}")


def _is_newest(connection: Connection) -> bool:
    """Return whether every migration is applied. Not by dbmate, which would create its table.

    Raises InputError if the database cannot hold Korean, StoreUnreachable.
    """
    try:
        with connection.transaction(read_only=True) as cursor:
            encoding = fetch_frame(cursor, "SELECT current_setting('server_encoding') AS name")
            if (name := encoding.item()) != _ENCODING:
                raise InputError(
                    f"the database has the encoding {name}, which does not hold every text of KIS:"
                    f" make one with CREATE DATABASE … ENCODING '{_ENCODING}' TEMPLATE template0"
                )
            applied = fetch_frame(cursor, "SELECT version::text FROM schema_migrations")["version"]
    except StoreUnreachable:
        raise
    except StoreError:  # no table yet: dbmate makes it
        return False
    files = (file.name for file in _migrations().iterdir())
    return {name.partition("_")[0] for name in files if name.endswith(".sql")} <= set(applied)


def _in_public(connection: Connection, url: str) -> str:
    """Return the URL with which dbmate works in public, where another schema would come first.

    Only there: a pooler may refuse the parameter.
    """
    try:
        with connection.transaction(read_only=True) as cursor:
            cursor.execute("SET LOCAL search_path TO DEFAULT")
            first = fetch_frame(cursor, "SELECT current_schema()::text AS name").item()
    except StoreError:  # no server: dbmate says why
        return url
    return url if first == "public" else with_parameter(url, "search_path", "public")


def _run_dbmate(url: str) -> subprocess.CompletedProcess[str]:
    """Run dbmate. The URL goes through the environment: all users see a process's arguments.

    `migrate` rather than `up`, which would create the database: poolers cannot.
    """
    with importlib.resources.as_file(_migrations()) as folder:
        return subprocess.run(  # noqa: S603
            [
                _program(),
                "--no-dump-schema",
                "--migration-lock",
                "--env-file",
                os.devnull,
                "--migrations-dir",
                str(folder),
                "migrate",
            ],
            env=child_environment(DATABASE_URL=url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_LONGEST,
        )


def _migrations() -> Traversable:
    return importlib.resources.files("sql").joinpath("migrations")


def _program() -> str:
    """Return the path of dbmate: beside our Python, or on the PATH."""
    scripts = Path(sysconfig.get_path("scripts"))
    if found := shutil.which("dbmate", path=str(scripts)) or shutil.which("dbmate"):
        return found
    raise StoreError(f"dbmate is not in {scripts}: run `uv sync`")


def _without_password(message: str) -> str:
    return re.sub(r"://[^@/\s]*@", "://…@", message)
