"""pg_dump of the wheel's Postgres, on any database: it reads servers up to its own version."""

from __future__ import annotations

import re
import subprocess
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.environment import child_environment
from engine.errors import StoreError
from engine.store.embedded.programs import client_program

_LONGEST = 600  # seconds for a schema


def dump_schema(url: str) -> bytes:
    """Return the schema of the database as SQL. Raises StoreError with pg_dump's last line."""
    try:
        done = subprocess.run(  # noqa: S603
            [client_program("pg_dump"), "--schema-only", "--no-password", without_password(url)],
            env=password_environment(url),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_LONGEST,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise StoreError(f"pg_dump failed: {error}") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise StoreError(f"pg_dump failed: {said[-1] if said else done.returncode}")
    return done.stdout


def without_password(url: str) -> str:
    """Return the address for a program's arguments, which all users of the machine see."""
    bare = re.sub(r"^(\w+://[^:@/?]*):[^@/?]*@", r"\1@", url)
    return re.sub(r"(?<=[?&])password=[^&]*&?", "", bare).rstrip("?&")


def password_environment(url: str) -> dict[str, str]:
    """Return the environment of a client program of Postgres: it holds the address's password."""
    parts = urlsplit(url)
    secret = dict(parse_qsl(parts.query)).get("password") or unquote(parts.password or "")
    # English messages, whatever the user's language: they are quoted in ours.
    return child_environment(LC_ALL="C", **({"PGPASSWORD": secret} if secret else {}))
