"""Looking without being able to touch: the reader's role for pages and notebooks."""

from __future__ import annotations

import logging
from urllib.parse import quote

import polars as pl

from engine.store.connection import Connection, fetch_frame
from engine.store.metadata import roles_sql
from engine.store.pooler import behind_transaction_pooler

log = logging.getLogger(__name__)

ROLE = "krt_reader"
STATEMENT_TIMEOUT = "10s"  # a page that asks for too much is stopped, not the collector
_WHO = """
SELECT current_user::text AS name,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super,
       coalesce((SELECT has_table_privilege(oid, 'system_status', 'SELECT')
                 FROM pg_roles WHERE rolname = 'krt_reader'), false) AS ready,
       coalesce((SELECT pg_has_role(current_user, oid, 'MEMBER')
                 FROM pg_roles WHERE rolname = 'krt_reader'), false) AS member
"""


def reader_url(url: str) -> str:
    """Return the URL with the reader's rights: it can read everything and change nothing.

    On the embedded server, and wherever we are superuser, the role is made if it is not there. On a
    server of yours it is taken if your user may take it (`just db-roles`); otherwise, and behind a
    pooler, which knows no such thing, your user's own rights hold, but transactions are read-only
    all the same. Raises StoreUnreachable.
    """
    connection = Connection(url, "reader")
    try:
        who = _who(connection)
        if who["super"] and not who["ready"]:
            with connection.transaction() as cursor:
                cursor.execute(roles_sql())
            who = _who(connection)
    finally:
        connection.close()
    if who["name"] == ROLE:
        return url
    if not (who["ready"] and who["member"]) or behind_transaction_pooler(url, "reader"):
        log.warning("⚠️ reading as %s: the role %s cannot be taken here", who["name"], ROLE)
        return url
    options = {
        "role": ROLE,
        "default_transaction_read_only": "on",
        "statement_timeout": STATEMENT_TIMEOUT,
    }
    text = quote(" ".join(f"-c {name}={value}" for name, value in options.items()), safe="")
    return f"{url}{'&' if '?' in url else '?'}options={text}"


def _who(connection: Connection) -> dict[str, object]:
    with connection.transaction(read_only=True) as cursor:
        return next(pl.DataFrame(fetch_frame(cursor, _WHO)).iter_rows(named=True))
