"""Roles of a database of yours: a reader and a writer with least privileges."""

from __future__ import annotations

import importlib.resources


def roles_sql() -> str:
    """Return the SQL that makes the roles `krt_reader` and `krt_writer`; for psql, by the owner."""
    return importlib.resources.files("sql").joinpath("roles.sql").read_text("utf-8")
