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

    Whoever has no right to (`krt_reader`, `krt_writer`) may ask all the same: where nothing is
    lacking nothing is done.

    Raises StoreUnreachable if the server does not answer, StoreError with what it said otherwise,
    InputError if the URL is none.
    """
    if _is_newest(check_address(url)):
        return
    done = _dbmate(url)
    if done.returncode and "SSL is not enabled" in done.stderr and "sslmode" not in url:
        # libpq, which everything else uses, falls back to plain when the URL asks for nothing.
        done = _dbmate(f"{url}{'&' if '?' in url else '?'}sslmode=disable")
    if done.returncode:
        said = _without_secrets(done.stderr.strip().splitlines()[-1] if done.stderr else "dbmate")
        kind = StoreUnreachable if any(w in said.lower() for w in _UNREACHABLE) else StoreError
        raise kind(f"the database could not be migrated: {said}")


def _is_newest(url: str) -> bool:
    """Say whether every migration is applied. dbmate, which would say so too, wants to create."""
    connection = Connection(url, "migrate")
    try:
        with connection.transaction(read_only=True) as cursor:
            applied = fetch_frame(cursor, "SELECT version::text FROM schema_migrations")["version"]
    except StoreError:  # an empty database, or none: dbmate makes the tables or says why not
        return False
    finally:
        connection.close()
    files = (file.name for file in _migrations().iterdir())
    return {name.partition("_")[0] for name in files if name.endswith(".sql")} <= set(applied)


def _dbmate(url: str) -> subprocess.CompletedProcess[str]:
    """Run dbmate. The URL goes through the environment: everybody sees the arguments of a process.

    `migrate` rather than `up`: the latter wants to create the database, which poolers cannot.
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


def _without_secrets(said: str) -> str:
    return re.sub(r"://[^@/\s]*@", "://…@", said)
