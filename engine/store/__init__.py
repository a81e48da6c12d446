"""Postgres, the system of record: embedded or an own server, migrations, merge, spool, roles."""

from engine.store.embedded.server import embedded_server
from engine.store.merge import MergeCounts
from engine.store.migrations import migrate
from engine.store.store import Gate, Store
from engine.store.writer import Writer

__all__ = ["Gate", "MergeCounts", "Store", "Writer", "embedded_server", "migrate"]
