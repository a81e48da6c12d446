"""The only place where names and values become SQL text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, datetime

from engine.errors import InputError

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")

Value = str | int | float | bool | date | datetime | None


def identifier(name: str) -> str:
    """Return the name quoted. Raises InputError unless it is spelt like our tables and columns."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is not the name of a table or column")
    return f'"{name}"'


def identifiers(names: Iterable[str], alias: str = "") -> str:
    """Return the names quoted and joined by commas, each as a column of the table `alias`."""
    return ", ".join(f"{alias}.{identifier(name)}" if alias else identifier(name) for name in names)


def literal(value: Value) -> str:  # noqa: PLR0911 - one for each type
    """Return the value as a literal. Raises InputError for a NUL, which Postgres cannot store."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ')}'::timestamp"
    if isinstance(value, date):
        return f"'{value.isoformat()}'::date"
    if isinstance(value, int):
        return f"({value})" if value < 0 else str(value)  # a cast binds tighter than the sign
    if isinstance(value, float):
        return f"'{value!r}'::double precision"
    if "\0" in value:
        raise InputError("a text for the database holds a NUL character")
    escaped = value.replace("'", "''").replace("\\", "\\\\")
    return f"E'{escaped}'" if "\\" in value else f"'{escaped}'"


def literals(values: Iterable[Value]) -> str:
    """Return the values as literals joined by commas."""
    return ", ".join(map(literal, values))
