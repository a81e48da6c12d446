"""Is there a transaction pooler (PgBouncer, Supabase's) before the database?"""

from __future__ import annotations

from engine.store.connection import Connection, fetch_frame


def behind_transaction_pooler(url: str, component: str = "krt") -> bool:
    """Tell whether two open connections share one server process, which only a pooler brings about.

    A busy pooler may give each its own; then the answer is no, and nothing depends on it: the
    store relies on no session state anywhere.
    """
    first, second = Connection(url, component), Connection(url, component)
    try:
        return _server_process(first) == _server_process(second)
    finally:
        first.close()
        second.close()


def _server_process(connection: Connection) -> int:
    with connection.transaction(read_only=True) as cursor:
        return int(fetch_frame(cursor, "SELECT pg_backend_pid()").item())
