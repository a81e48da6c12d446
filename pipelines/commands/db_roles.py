"""`just db-roles`: the SQL for a reader and a writer."""

from __future__ import annotations

import sys

from engine.store.metadata import roles_sql


def db_roles() -> int:
    """Write the SQL for a reader and a writer with least privileges to standard output."""
    sys.stdout.write(roles_sql())
    return 0
