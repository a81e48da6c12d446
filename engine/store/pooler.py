"""Is there a transaction pooler (PgBouncer, Supabase's) in front of the database?"""

from __future__ import annotations

from engine.store.connection import Connection, fetch_frame


def behind_transaction_pooler(url: str, component: str = "krt") -> bool:
    """Return whether two open connections share one server process, as only a pooler makes them.

    A busy pooler may give each its own, and the answer is False. Nothing depends on it: the store
    does not rely on session state anywhere.
    """
    first = Connection(url, component)
    second = Connection(url, component)
    try:
        return _server_process(first) == _server_process(second)
    finally:
        first.close()
        second.close()


def _server_process(connection: Connection) -> int:
    with connection.transaction(read_only=True) as cursor:
        return int(fetch_frame(cursor, "SELECT pg_backend_pid()").item())
