"""Queries: read-only, with plain types, in Seoul's time."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.clock import WallClock
from engine.errors import InputError, StoreError, StoreUnreachable
from engine.store import Store
from engine.store.connection import Connection
from engine.store.identifiers import identifier, literal
from tests.engine.store.data import futures_bars


@pytest.fixture
async def asked_store(unchanged_database_url: str) -> AsyncIterator[Store]:
    """A store that is only asked."""
    store = Store(unchanged_database_url, WallClock(), component="test")
    yield store
    await store.close()


@pytest.mark.parametrize(
    ("sql", "answer"),
    [
        ("SELECT sum(x::bigint) AS a FROM generate_series(1, 3) x", 6.0),
        ("SELECT avg(x) AS a FROM generate_series(1, 4) x", 2.5),
        (
            "SELECT committed - fetched AS a FROM (SELECT timestamp '2025-09-02 10:00:01.5' AS"
            " committed, timestamp '2025-09-01 10:00:00' AS fetched) t",
            timedelta(1, 1.5),
        ),
        ("SELECT NULL::interval AS a", None),
        ("SELECT interval '1 day 2 h' AS a", timedelta(days=1, hours=2)),
        ("SELECT interval '1 month 2 days' AS a", "1 months 2 days 0:00:00"),
        (
            "SELECT timestamptz '2025-09-01 00:00:00Z' AS a",
            datetime(2025, 9, 1, 9, tzinfo=ZoneInfo("Asia/Seoul")),
        ),
        ("  -- the time zone\n/* of the */ SHOW timezone", "Asia/Seoul"),
        ("VALUES ('a')", "a"),
        ("(SELECT 'b'::name)", "b"),
    ],
)
async def test_answers_come_in_readable_types(asked_store: Store, sql: str, answer: object) -> None:
    assert pl.DataFrame(await asked_store.query(sql)).item() == answer


async def test_explain_and_an_empty_answer_are_answers(asked_store: Store) -> None:
    plan = await asked_store.query("EXPLAIN SELECT * FROM futures_1m")
    assert plan.column_names == ["QUERY PLAN"]
    assert (await asked_store.query("SELECT timestamp, close FROM futures_1m")).num_rows == 0


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO strategy_symbols VALUES ('x', 'y', now(), now())",
        "SELECT make_partition('futures_1m', 'a01')",
        "DROP TABLE gaps",
        "WITH gone AS (DELETE FROM gaps RETURNING *) SELECT * FROM gone",
        "COMMIT; DROP TABLE gaps",
        "SELEC 1",
        "SELECT no_such_column FROM gaps",
    ],
)
async def test_a_write_or_an_error_is_refused_in_one_line_and_the_next_query_works(
    asked_store: Store, sql: str
) -> None:
    with pytest.raises(StoreError) as refusal:
        await asked_store.query(sql)
    assert not isinstance(refusal.value, StoreUnreachable)
    assert "\n" not in str(refusal.value)
    assert (await asked_store.query("SELECT count(*) AS n FROM gaps"))["n"].to_pylist() == [0]


@pytest.mark.parametrize("sql", [" \n", ";", " ; ;\n"])
async def test_empty_sql_is_refused(asked_store: Store, sql: str) -> None:
    with pytest.raises(InputError, match="no SQL"):
        await asked_store.query(sql)


async def test_connections_carry_the_name_of_their_component(asked_store: Store) -> None:
    name = await asked_store.query("SELECT current_setting('application_name') AS name")
    assert name["name"].to_pylist() == ["test"]


async def test_nothing_is_left_open_between_statements(store: Store) -> None:
    """A pooler keeps a server for an open transaction, and vacuum waits for it."""
    await store.merge("futures_1m", futures_bars([1.0]))
    await store.query("SELECT 1")
    state = (
        "SELECT state FROM pg_stat_activity"
        " WHERE application_name = 'test' AND datname = current_database()"
    )
    other = Store(store.url, store.clock, component="onlooker")
    assert (await other.query(state))["state"].to_pylist() == ["idle"]
    await other.close()


def test_an_absent_server_is_unreachable_and_its_password_not_shown() -> None:
    connection = Connection("postgresql://krt:secret@127.0.0.1:1/krt", "test")
    with pytest.raises(StoreUnreachable, match="refused") as error:
        connection.query("SELECT 1")
    assert "secret" not in str(error.value)


@pytest.fixture(scope="module")
def connection(server_url: str):
    connection = Connection(server_url, "test")
    yield connection
    connection.close()


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(codec="utf-8", exclude_characters="\0")),
    st.dates(date(1, 1, 2), date(9999, 12, 30)),
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
)


@given(value=VALUES)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_literal_gives_back_its_value_whatever_it_contains(connection: Connection, value) -> None:
    kinds = {bool: "boolean", int: "bigint", float: "double precision", str: "text"}
    cast = f"::{kinds[type(value)]}" if type(value) in kinds else ""
    returned = connection.query(f"SELECT {literal(value)}{cast} AS a")["a"].to_pylist()[0]
    same = isinstance(value, float) and math.isnan(value) and math.isnan(returned)
    assert same or returned == value


@pytest.mark.parametrize("name", ['a"b', "A", "a b", "", "a;b", "x" * 64, "é", "1a"])
def test_a_name_that_is_not_spelt_like_our_tables_is_refused(name: str) -> None:
    with pytest.raises(InputError):
        identifier(name)


def test_a_nul_has_no_literal() -> None:
    with pytest.raises(InputError, match="NUL"):
        literal("a\0b")
