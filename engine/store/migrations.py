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

from engine.errors import StoreError, StoreUnreachable
from engine.settings import check_address
from engine.store.connection import Connection, fetch_frame

_UNREACHABLE = ("connection refused", "no such host", "no such file", "timeout", "reset by peer")


def migrate(url: str) -> None:
    """Apply the migrations that the database lacks; several processes may do so at once.

    Roles without the right to (`krt_reader`, `krt_writer`) may call it too: if nothing is missing,
    nothing is done.

    Raises StoreUnreachable if the server does not answer, StoreError with its message otherwise,
    InputError if the URL is not valid.
    """
    if _is_newest(check_address(url)):
        return
    done = _run_dbmate(url)
    if done.returncode and "SSL is not enabled" in done.stderr and "sslmode" not in url:
        # libpq, which all else uses, connects without SSL if the server has none; dbmate does not.
        done = _run_dbmate(f"{url}{'&' if '?' in url else '?'}sslmode=disable")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        message = _without_password(lines[-1] if lines else "dbmate failed")
        kind = StoreUnreachable if any(w in message.lower() for w in _UNREACHABLE) else StoreError
        raise kind(f"the database could not be migrated: {message}")


def _is_newest(url: str) -> bool:
    """Return whether every migration is applied. Not by dbmate, which would create its table."""
    connection = Connection(url, "migrate")
    try:
        with connection.transaction(read_only=True) as cursor:
            applied = fetch_frame(cursor, "SELECT version::text FROM schema_migrations")["version"]
    except StoreError:  # no table yet, or no server: dbmate makes the tables or says why not
        return False
    finally:
        connection.close()
    files = (file.name for file in _migrations().iterdir())
    return {name.partition("_")[0] for name in files if name.endswith(".sql")} <= set(applied)


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
            env=os.environ | {"DATABASE_URL": url},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
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
