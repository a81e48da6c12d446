"""Connections share what the driver knows of types; what is made later is known all the same."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import adbc_driver_manager
import adbc_driver_postgresql
import pytest

from engine.store import driver
from engine.store.connection import Connection, connection_url
from engine.store.driver import forget_types, open_connection


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses whose types are read from now on; nothing is kept from before."""
    monkeypatch.setattr("engine.store.connection.open_connection", open_connection)
    monkeypatch.setattr("engine.store.connection.forget_types", forget_types)
    monkeypatch.setattr(driver, "_kept", type(driver._kept)())
    seen: list[str] = []
    connect = adbc_driver_postgresql.connect

    def noting(url: str) -> adbc_driver_manager.AdbcDatabase:
        seen.append(url)
        return connect(url)

    monkeypatch.setattr(driver.adbc_driver_postgresql, "connect", noting)
    return seen


def test_types_are_read_once_however_many_connections(database_url: str, read: list[str]) -> None:
    url = connection_url(database_url, "test")
    open_connection(url).close()

    def ask(_: int) -> int:
        with open_connection(url) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) AS n FROM gaps")
            return int(cursor.fetch_arrow_table()["n"][0].as_py())

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(64))) == {0}
    assert read == [url]


def test_a_type_that_is_made_later_is_read_as_if_it_had_been_there(
    database_url: str, read: list[str]
) -> None:
    connection = Connection(database_url, "test")
    assert connection.query("SELECT 1 AS n")["n"].to_pylist() == [1]
    maker = Connection(database_url, "maker")
    for statement in (
        "CREATE TYPE mood AS ENUM ('calm', 'rough')",
        "CREATE TABLE days (mood mood)",
        "INSERT INTO days VALUES ('rough')",
    ):
        maker.execute_alone(statement)
    maker.close()
    for _ in range(2):
        assert connection.query("SELECT mood FROM days")["mood"].to_pylist() == ["rough"]
    connection.close()
    ours = connection_url(database_url, "test")
    assert [url for url in read if url == ours] == [ours, ours]


def test_few_addresses_are_kept_and_what_is_dropped_serves_whoever_has_it(
    database_url: str, read: list[str]
) -> None:
    first = connection_url(database_url, "first")
    connection = open_connection(first)
    for number in range(driver._KEPT):
        open_connection(connection_url(database_url, f"other{number}")).close()
    assert first not in driver._kept
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 AS n")
        assert cursor.fetch_arrow_table()["n"].to_pylist() == [1]
    types = connection._db._db
    assert types._users == 1
    connection.close()
    assert types._users == 0
    with pytest.raises(adbc_driver_manager.Error):  # it is closed
        adbc_driver_manager.AdbcConnection(types.database)
    for url in list(driver._kept):
        forget_types(url)
    assert not driver._kept
