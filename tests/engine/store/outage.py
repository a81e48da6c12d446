"""A database that is away for a while; other databases of its server go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from engine.store.connection import Connection


@contextmanager
def away(url: str) -> Iterator[None]:
    """Close the database to all connections, and end the present ones, while the block runs."""
    name = url.rpartition("/")[2].partition("?")[0]
    with closing(Connection(url.replace(f"/{name}?", "/krt?"), "test")) as maintenance:
        maintenance.execute_alone(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        maintenance.query(
            f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        try:
            yield
        finally:
            maintenance.execute_alone(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
