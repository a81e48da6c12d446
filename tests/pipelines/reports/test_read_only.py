"""Pages and notebooks read as a role that can change nothing."""

from __future__ import annotations

import pytest

from engine.errors import StoreError
from engine.history.scan import query
from engine.store.connection import Connection
from pipelines.reports.read_only import reader_url


def test_the_reader_reads_everything(database_url: str) -> None:
    url = reader_url(database_url)
    assert query(url, "SELECT current_user::text AS me")["me"].to_list() == ["krt_reader"]
    assert query(url, "SELECT * FROM futures_1m").is_empty()


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO strategy_symbols VALUES ('a', 'b', now(), now())",
        "DELETE FROM futures_1m",
        "CREATE TABLE mine (a int)",
        "TRUNCATE gaps",
    ],
)
def test_the_reader_changes_nothing(database_url: str, statement: str) -> None:
    url = reader_url(database_url)
    for way, said in ((url, "read-only"), (url.replace("only%3Don", "only%3Doff"), "permission")):
        connection = Connection(way, "test")
        with pytest.raises(StoreError, match=said):
            execute(connection, statement)
        connection.close()


def execute(connection: Connection, statement: str) -> None:
    with connection.transaction() as cursor:
        cursor.execute(statement)


def test_a_url_of_the_reader_stays_as_it_is(database_url: str) -> None:
    reader_url(database_url)
    own = database_url.replace("postgres@", "krt_reader@")
    assert reader_url(own) == own
