"""The SQL of the reports, as text from the folder `sql`."""

from __future__ import annotations

import importlib.resources


def sql_text(folder: str, name: str, **values: str) -> str:
    """Return a file of `sql/{folder}`, with the SQL text of each value in place of its {name}."""
    text = importlib.resources.files("sql").joinpath(folder).joinpath(name).read_text("utf-8")
    return text.format(**values) if values else text
