"""The reader's role: pages and notebooks can read everything and change nothing."""

from __future__ import annotations

import logging
from urllib.parse import quote

import polars as pl

from engine.store.connection import Connection, fetch_frame
from engine.store.metadata import roles_sql
from engine.store.pooler import behind_transaction_pooler

log = logging.getLogger(__name__)

ROLE = "krt_reader"
STATEMENT_TIMEOUT = "10s"  # a query that is too large must not slow down the collector
_CURRENT_USER = """
SELECT current_user::text AS name,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
       coalesce((SELECT has_table_privilege(oid, 'system_status', 'SELECT')
                 FROM pg_roles WHERE rolname = 'krt_reader'), false) AS ready,
       coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER')
                 FROM pg_roles WHERE rolname = 'krt_reader'), false) AS member
"""


def reader_url(url: str) -> str:
    """Return the URL with the reader's rights: it can read everything and change nothing.

    On the embedded server, and wherever the user is superuser, the reader's role is created if it
    does not exist. On your own server it is used if your user may use it (`just db-roles`).
    Otherwise, and behind a pooler, which does not pass on roles, your user's own rights apply, but
    our transactions are read-only all the same. Raises StoreUnreachable.
    """
    connection = Connection(url, "reader")
    try:
        user = _current_user(connection)
        if user["super"] and not user["ready"]:
            with connection.transaction() as cursor:
                cursor.execute(roles_sql())
            user = _current_user(connection)
    finally:
        connection.close()
    if user["name"] == ROLE:
        return url
    if not (user["ready"] and user["member"]) or behind_transaction_pooler(url, "reader"):
        log.warning("⚠️ reading as %s: the role %s cannot be used here", user["name"], ROLE)
        return url
    options = {
        "role": ROLE,
        "default_transaction_read_only": "on",
        "statement_timeout": STATEMENT_TIMEOUT,
    }
    text = quote(" ".join(f"-c {name}={value}" for name, value in options.items()), safe="")
    return f"{url}{'&' if '?' in url else '?'}options={text}"


def _current_user(connection: Connection) -> dict[str, object]:
    with connection.transaction(read_only=True) as cursor:
        return next(pl.DataFrame(fetch_frame(cursor, _CURRENT_USER)).iter_rows(named=True))
