"""A scan returns what the same query over a full read returns, and the server does its share."""

from __future__ import annotations

import logging
import math

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import InputError, StoreError
from engine.history.scan import scan
from engine.history.snapshots import BATCH_BYTES
from engine.store.connection import Connection
from tests.engine.history.edge_values import PREDICATES, ROWS, frame

COLUMNS = st.lists(st.sampled_from(frame().columns), min_size=1, unique=True)
ROWS_WANTED = st.one_of(st.none(), st.integers(0, ROWS + 1))


def execute(url: str, *statements: str) -> None:
    connection = Connection(url, "test")
    for statement in statements:
        with connection.transaction() as cursor:
            cursor.execute(statement)
    connection.close()


def scanning(url: str) -> bool:
    """Say whether the server still works on a scan; Polars closes one only at its next call."""
    connection = Connection(url, "test")
    with connection.transaction(read_only=True) as cursor:
        cursor.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'scan'"
            " AND datname = current_database()"
        )
        found = pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table()))["n"][0]
    connection.close()
    return bool(found)


def query(
    source: pl.LazyFrame,
    predicate: pl.Expr,
    columns: list[str],
    before: int | None,
    after: int | None,
) -> pl.LazyFrame:
    """Return the source after a head, a filter, a sort by the key, a head and a selection."""
    limited = source if before is None else source.head(before)
    kept = limited.filter(predicate).sort("symbol", "timestamp")
    return (kept if after is None else kept.head(after)).select(columns)


@pytest.fixture(scope="module")
def scanned(edge_table: str) -> pl.LazyFrame:
    return scan("edge_table", edge_table)


@given(PREDICATES, COLUMNS, ROWS_WANTED, ROWS_WANTED)
@example(~pl.col("x").is_in([math.nan]), ["x"], None, None)
@example(pl.col("v") > 1, ["v"], 30, None)
@example(~(pl.col("name") > "A"), ["name"], None, None)
@settings(
    max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_query_returns_what_it_returns_over_a_full_read(
    scanned: pl.LazyFrame,
    predicate: pl.Expr,
    columns: list[str],
    before: int | None,
    after: int | None,
) -> None:
    try:
        expected = query(frame().lazy(), predicate, columns, before, after).collect()
    except pl.exceptions.PolarsError as refusal:
        with pytest.raises(type(refusal)):
            query(scanned, predicate, columns, before, after).collect()
        return
    given_ = query(scanned, predicate, columns, before, after).collect()
    assert_frame_equal(given_, expected, check_exact=True)


def test_head_columns_and_the_key_order_reach_the_server(
    edge_table: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="engine.history")
    scan("edge_table", edge_table).select("x", "v").head(3).collect()
    assert caplog.messages[-1].startswith('🚀 SELECT "x", "v" FROM "edge_table" ORDER BY "symbol"')
    assert caplog.messages[-1].endswith("LIMIT 3")


def test_explain_shows_what_is_pushed_down(edge_table: str) -> None:
    query = scan("edge_table", edge_table).filter(pl.col("v") > 1).select("x").sort("x")
    plan = query.explain()
    assert "PYTHON[postgres] SCAN" in plan
    assert 'SELECTION: col("v") > 1' in plan
    assert "PROJECT 2/8 COLUMNS" in plan
    assert "edge_table, by symbol, timestamp" in plan


def test_a_sort_by_the_key_is_left_to_the_server(edge_table: str) -> None:
    assert "SORT" not in scan("edge_table", edge_table).sort("symbol", "timestamp").explain()


def test_descending_order_returns_the_newest_rows_first(edge_table: str) -> None:
    newest = scan("edge_table", edge_table, order_by=["moment", "symbol"], descending=True)
    rows = newest.filter(pl.col("moment").is_not_null()).head(5).collect()
    expected = frame().filter(pl.col("moment").is_not_null())
    order = expected.sort("moment", "symbol", descending=True).select("moment", "symbol")
    assert_frame_equal(rows.select("moment", "symbol"), order.head(5))


def test_a_head_after_a_filter_or_a_sort_reads_one_page_first(
    edge_table: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Polars does not tell the scan about such a head, so the first page has a LIMIT."""
    execute(
        edge_table,
        "CREATE TABLE paged (id bigint PRIMARY KEY, x double precision)",
        "INSERT INTO paged SELECT g, -g FROM generate_series(1, 30000) AS g",
    )
    caplog.set_level(logging.DEBUG, logger="engine.history")
    whole = scan("paged", edge_table).filter(pl.col("x") < -5).sort("id")
    assert whole.head(2).collect()["id"].to_list() == [6, 7]
    assert caplog.messages[0].endswith('ORDER BY "id" LIMIT 10000')
    assert whole.collect()["id"].to_list() == list(range(6, 30001))
    execute(edge_table, "DROP TABLE paged")


def test_the_server_stops_when_polars_stops_reading(edge_table: str) -> None:
    """Without a key there are no pages; still the result is not read to its end."""
    execute(edge_table, "CREATE TABLE long AS SELECT g AS id FROM generate_series(1, 500000) AS g")
    heights = []

    def counted(frame: pl.DataFrame) -> pl.DataFrame:
        heights.append(frame.height)
        return frame

    found = scan("long", edge_table).filter(pl.col("id") > 10).map_batches(counted, streamable=True)
    assert found.head(1).collect().height == 1
    assert 0 < sum(heights) < 500_000 - 10
    assert max(heights) * 8 <= 2 * BATCH_BYTES
    assert any(not scanning(edge_table) for _ in range(100))
    execute(edge_table, "DROP TABLE long")


def test_a_missing_table_or_column_is_refused_at_once(edge_table: str) -> None:
    with pytest.raises(InputError, match="no table 'nosuch'"):
        scan("nosuch", edge_table)
    with pytest.raises(InputError, match="no column close"):
        scan("edge_table", edge_table, order_by=["close"])


def test_a_failure_while_reading_is_a_store_error(edge_table: str) -> None:
    execute(edge_table, "CREATE TABLE gone (a bigint)")
    doomed = scan("gone", edge_table)
    execute(edge_table, "DROP TABLE gone")
    with pytest.raises(StoreError, match="does not exist"):
        doomed.collect()


def test_types_unknown_to_polars_are_read_as_text_and_numeric_as_float(edge_table: str) -> None:
    execute(edge_table, "CREATE VIEW odd AS SELECT 1.5::numeric AS n, '{\"a\": 1}'::jsonb AS j")
    odd = scan("odd", edge_table)
    assert odd.filter(pl.col("n") > 1, pl.col("j") == '{"a": 1}').collect().rows() == [
        (1.5, '{"a": 1}')
    ]
    execute(edge_table, "DROP VIEW odd")
