"""Write docs/columns.md from the comments of the database: `uv run python -m tests.columns`.

Every table and view with its columns, their types and units, as `just sql --describe` says them.
"""

from __future__ import annotations

import asyncio

import polars as pl

from engine.history.scan import query
from engine.store.identifiers import literal
from pipelines.reports.sql_text import sql_text
from tests.benchmarks.bench_env import bench_env
from tests.paths import ROOT
from tests.pipelines.conftest import fill

DOCUMENT = ROOT / "docs" / "columns.md"
_HEAD = """# Columns

What is stored, from the comments of the database itself: `just sql --describe TABLE` says the
same. Made by `uv run python -m tests.columns`; a test compares it. Times are KST without a time
zone, a bar's `timestamp` is the end of its minute.
데이터베이스의 주석에서 만든 표와 열의 목록입니다.
"""


def document(url: str) -> str:
    """Return the document, of the database at the URL."""
    tables = query(url, sql_text("describe", "tables.sql"))
    parts = [
        _section(url, name, kind, holds or "")
        for name, kind, holds in tables.select("name", "kind", "holds").iter_rows()
    ]
    return "\n".join([_HEAD, *parts])


def _section(url: str, name: str, kind: str, holds: str) -> str:
    columns = query(url, sql_text("describe", "columns.sql", table=literal(name)))
    cells = columns.select(
        pl.all().cast(pl.String).fill_null("").str.replace_all("|", r"\|", literal=True)
    )
    rows = "\n".join(
        f"| `{column}`{' (key)' if key else ''} | {kind_of(type_)} | {meaning} |"
        for column, type_, key, meaning in cells.iter_rows()
    )
    title = f"## {name}\n\n{'A view: ' if kind == 'view' else ''}{holds}\n"
    return f"{title}\n| column | type | what it holds |\n|---|---|---|\n{rows}\n"


def kind_of(type_: str) -> str:
    """Return a type as a reader of frames knows it."""
    known = {
        "timestamp without time zone": "timestamp",
        "double precision": "float",
        "bigint": "integer",
        "smallint": "integer",
    }
    return known.get(type_, type_)


def main() -> None:
    """Write the document, of a database with signals: they bring their tables."""
    with bench_env() as env:
        url = env.database()
        asyncio.run(fill(url))
        DOCUMENT.write_text(document(url), "utf-8")


if __name__ == "__main__":
    main()
