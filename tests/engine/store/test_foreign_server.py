"""A server of one's own, set up for others: another path, another encoding, other words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import polars as pl
import pytest

from engine.clock import WallClock
from engine.errors import InputError
from engine.history.scan import scan
from engine.store import MergeCounts, Store, migrate
from engine.store.connection import Connection
from tests.engine.store.data import futures_bars

TABLES = (
    "SELECT schemaname::text AS schema, count(*) AS n FROM pg_tables"
    " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') GROUP BY 1"
)


@contextmanager
def made(server_url: str, *, encoding: str = "UTF8", set_up: str = "") -> Iterator[str]:
    """Make a database as somebody else would; drop it at the end."""
    template, name = server_url.rpartition("/")[2].partition("?")[0], f"own_{uuid4().hex[:12]}"
    url = server_url.replace(f"/{template}?", f"/{name}?")
    with closing(Connection(server_url.replace(f"/{template}?", "/krt?"), "test")) as maintenance:
        maintenance.execute_alone(
            f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
        with closing(Connection(url, "test")) as own:
            for statement in filter(None, set_up.format(name=name).split(";")):
                own.execute_alone(statement)
        yield url
        maintenance.execute_alone(f"DROP DATABASE {name} WITH (FORCE)")


async def test_all_is_in_public_whatever_schema_comes_first(server_url: str) -> None:
    """Six tables were left behind in a schema that came before public."""
    set_up = (
        "CREATE SCHEMA other; CREATE TABLE other.futures_1m (x int);"
        "CREATE TABLE other.schema_migrations (version text);"
        "ALTER DATABASE {name} SET search_path = other, public;"
        "ALTER DATABASE {name} SET timezone = 'America/New_York';"
        "ALTER DATABASE {name} SET datestyle = 'SQL, DMY';"
        "ALTER DATABASE {name} SET client_encoding = 'UHC'"
    )
    with made(server_url, set_up=set_up) as url:
        migrate(url)
        migrate(url)
        store = Store(url, WallClock())
        for _ in range(2):
            await store.merge("futures_1m", futures_bars([1.0, 2.0]))
        counts = await store.merge("futures_1m", futures_bars([1.0, 3.0]))
        assert counts == MergeCounts(changed=1, unchanged=1)
        tables = await store.query(TABLES)
        await store.close()
        assert scan("futures_1m", url).select(pl.len()).collect().item() == 2
    by_schema = dict(zip(*(tables[name].to_pylist() for name in ("schema", "n")), strict=True))
    assert by_schema.pop("other") == 2
    assert list(by_schema) == ["public"]


@pytest.mark.parametrize("encoding", ["EUC_KR", "LATIN1", "SQL_ASCII"])
def test_a_database_that_cannot_hold_korean_is_refused_in_a_sentence(
    server_url: str, encoding: str
) -> None:
    with made(server_url, encoding=encoding) as url:
        with pytest.raises(InputError, match=rf"{encoding}.*UTF8"):
            migrate(url)
        with closing(Connection(url, "test")) as own:
            assert own.query(TABLES).num_rows == 0
