"""Bring a database to the newest schema with dbmate; its files are in `sql/migrations`.

Before anything is changed in a database that has a schema, that schema is kept in a file, as
pg_dump writes it. A database that another version of this program has migrated further is refused.
"""

from __future__ import annotations

import importlib.resources
import logging
import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Collection
from contextlib import closing
from functools import cache
from importlib.resources.abc import Traversable
from pathlib import Path

from engine.clock import WallClock
from engine.environment import child_environment
from engine.errors import InputError, SchemaIsNewer, StoreError, StoreUnreachable
from engine.files import private_folder, write_atomically
from engine.settings import check_address
from engine.store.connection import Connection, fetch_frame, with_parameter
from engine.store.dump import dump_schema

log = logging.getLogger(__name__)

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


def migrate(url: str, *, keep: Path | None = None) -> None:
    """Apply the migrations that the database lacks; several processes may do so at once.

    Roles without the right to (`krt_reader`, `krt_writer`) may call it too: if nothing is missing,
    nothing is done. The schema as it was is written into the folder `keep` if one is named.

    Raises SchemaIsNewer if the database has migrations that are not known here, StoreUnreachable if
    the server does not answer, StoreError with its message otherwise, InputError if the URL is not
    valid.
    """
    connection = Connection(check_address(url), "migrate")
    try:
        applied, lacking = _compare_versions(connection)
        if not lacking:
            return
        if keep and applied:
            _keep_schema(url, keep, applied)
        url = _in_public(connection, url)
    finally:
        connection.close()
    with importlib.resources.as_file(_migrations()) as folder:
        _migrate(url, folder)


def migrations_missing(url: str) -> int:
    """Return how many migrations the database lacks. Raises what `migrate` raises."""
    with closing(Connection(check_address(url), "migrate")) as connection:
        return len(_compare_versions(connection)[1])


def migrate_to(url: str, versions: Collection[str]) -> None:
    """Apply these migrations to a new database and no other: the schema of an older version.

    Raises what `migrate` raises, and InputError if one of them is not known here.
    """
    files = {file.name.partition("_")[0]: file for file in _migrations().iterdir()}
    if unknown := set(versions) - _known_versions(str(_migrations())):
        raise InputError(
            f"the schema is that of a newer version (migration {max(unknown)}): upgrade first"
        )
    with closing(Connection(check_address(url), "migrate")) as connection:
        if set(versions) <= _applied_versions(connection):
            return
        url = _in_public(connection, url)
    with tempfile.TemporaryDirectory(prefix="krt-migrations-") as name:
        for version in versions:
            Path(name, files[version].name).write_bytes(files[version].read_bytes())
        _migrate(url, Path(name))


def _migrate(url: str, folder: Path) -> None:
    """Apply the migrations in the folder that the database lacks."""
    try:
        done = _run_dbmate(url, folder)
    except subprocess.TimeoutExpired:
        raise StoreUnreachable(
            f"the database could not be migrated in {_LONGEST} s: another program holds its tables"
        ) from None
    if done.returncode and "SSL is not enabled" in done.stderr and "sslmode" not in url:
        # libpq, which all else uses, connects without SSL if the server has none; dbmate does not.
        done = _run_dbmate(with_parameter(url, "sslmode", "disable"), folder)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        message = _without_password(lines[-1] if lines else "dbmate failed")
        kind = StoreUnreachable if any(w in message.lower() for w in _UNREACHABLE) else StoreError
        raise kind(f"the database could not be migrated: {message}")


def _compare_versions(connection: Connection) -> tuple[set[str], set[str]]:
    """Return the migrations that the database has, and those that it lacks.

    Raises SchemaIsNewer, and what `_applied_versions` raises.
    """
    applied = _applied_versions(connection)
    known = _known_versions(str(_migrations()))
    if newer := applied - known:
        raise SchemaIsNewer(
            f"the database is newer than this program: it has the migration {max(newer)}, which"
            " is not known here; upgrade the program, and end what still runs an old one"
        )
    return applied, set(known - applied)


def _applied_versions(connection: Connection) -> set[str]:
    """Return the migrations of the database. Not by dbmate, which would create its table.

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
            found = fetch_frame(cursor, "SELECT version::text FROM schema_migrations")
            return set(found["version"])
    except StoreUnreachable:
        raise
    except StoreError:  # no table yet: dbmate makes it
        return set()


@cache
def _known_versions(folder: str) -> frozenset[str]:
    """Return the migrations in a folder as they were when this process first looked.

    A process that goes on while its program is upgraded beneath it keeps to what it knows.
    """
    return frozenset(file.name.partition("_")[0] for file in Path(folder).glob("*.sql"))


def _keep_schema(url: str, folder: Path, applied: set[str]) -> None:
    """Write the schema into a file of the folder. A migration loses nothing: it goes on without."""
    moment = WallClock().now()
    file = folder / f"schema-{max(applied)}-{moment:%Y%m%d-%H%M%S}.sql"
    try:
        schema = dump_schema(url)
        versions = "".join(f"-- migration {version}\n" for version in sorted(applied))
        write_atomically(
            private_folder(folder) / file.name, schema + versions.encode(), private=True
        )
    except (StoreError, OSError) as error:
        log.warning("⚠️ the schema is not kept before it is migrated: %s", error)
    else:
        log.info("✅ the schema as it was is kept in %s", file)


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


def _run_dbmate(url: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run dbmate. The URL goes through the environment: all users see a process's arguments.

    `migrate` rather than `up`, which would create the database: poolers cannot.
    """
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
