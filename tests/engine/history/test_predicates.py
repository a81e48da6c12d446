"""Which SQL a filter becomes, and whether its result is already exact."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from polars.testing import assert_frame_equal

from engine.history.pg_table import TableInfo, read_table_info
from engine.history.predicates import push_down
from engine.store.connection import Connection
from tests.engine.history.edge_values import PREDICATES, START, TIMES, frame


@pytest.fixture(scope="module")
def table(edge_table: str) -> Iterator[tuple[Connection, TableInfo]]:
    connection = Connection(edge_table, "test")
    with connection.transaction(read_only=True) as cursor:
        info = read_table_info(cursor, "edge_table")
    yield connection, info
    connection.close()


@given(PREDICATES)
@example(pl.col("day").is_null() & (pl.col("symbol") == pl.lit(None)))
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_an_exact_condition_selects_the_same_rows_as_the_predicate(
    table: tuple[Connection, TableInfo], predicate: pl.Expr
) -> None:
    connection, info = table
    optimised = captured(info, predicate)
    if optimised is None:
        return
    pushed = push_down(optimised, info)
    # What Polars does not hand on (a comparison with NULL), it applies to what it gets.
    expected = frame().filter(optimised)
    assert (
        frame().filter(predicate).join(expected, on=["symbol", "timestamp"], how="anti").is_empty()
    )
    if pushed.condition is not None:
        with connection.transaction(read_only=True) as cursor:
            cursor.execute(
                f"SELECT symbol, timestamp FROM edge_table WHERE {pushed.condition}"
                f' ORDER BY symbol COLLATE "C", timestamp'
            )
            rows = pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table()))
        wanted = expected.select("symbol", "timestamp")
        if pushed.exact:
            assert_frame_equal(rows, wanted)
        else:
            assert wanted.join(rows, on=["symbol", "timestamp"], how="anti").is_empty()


def captured(info: TableInfo, predicate: pl.Expr) -> pl.Expr | None:
    """Return the predicate as Polars' optimiser hands it to a source."""
    seen: list[pl.Expr] = []

    def source(
        columns: list[str] | None, given_: pl.Expr | None, rows: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        if given_ is not None:
            seen.append(given_)
        yield pl.DataFrame(schema=info.schema)

    pl.io.plugins.register_io_source(source, schema=info.schema).filter(predicate).collect()
    return seen[0] if seen else None  # Polars does not push down what needs other rows


PUSHED = [
    (pl.col("symbol") == "A01612", "(\"symbol\" = 'A01612')"),
    (pl.col("symbol").is_in(["it's", "b"]), "(\"symbol\" IN ('it''s', 'b'))"),
    (pl.col("v") > 3, '("v" > 3)'),
    (pl.col("v") > 3.5, "(\"v\"::double precision > '3.5'::double precision)"),
    (pl.col("x").is_null() | ~(pl.col("v") < 3), '(("x" IS NULL) OR ("v" >= 3))'),
    (
        pl.col("moment").is_between(START, TIMES[2], closed="left"),
        "((\"moment\" >= '2025-09-01 08:46:00'::timestamp)"
        " AND (\"moment\" < '2025-09-01 15:26:00'::timestamp))",
    ),
    (
        pl.col("moment").dt.date() == date(2025, 9, 1),
        "(\"moment\" >= '2025-09-01 00:00:00'::timestamp"
        " AND \"moment\" < '2025-09-02 00:00:00'::timestamp)",
    ),
    (pl.col("symbol").str.starts_with("A0"), "(\"symbol\" ^@ 'A0')"),
    (pl.col("symbol").str.ends_with("12"), "(right(\"symbol\", 2) = '12')"),
    (pl.col("name") < pl.col("symbol"), '("name" < "symbol")'),
]
INFO = TableInfo("edge_table", frame().schema, frozenset(frame().columns), (), by_code_point=True)


@pytest.mark.parametrize(("predicate", "sql"), PUSHED)
def test_common_filters_become_sql(predicate: pl.Expr, sql: str) -> None:
    optimised = captured(INFO, predicate)
    assert optimised is not None
    pushed = push_down(optimised, INFO)
    assert pushed.condition == sql
    assert pushed.exact


def test_terms_that_sql_cannot_express_do_not_stop_the_others() -> None:
    predicate = (pl.col("x") / pl.col("y") > 1) & (pl.col("v") == 1)
    optimised = captured(INFO, predicate)
    assert optimised is not None
    pushed = push_down(optimised, INFO)
    assert pushed.condition == '("v" = 1)'
    assert not pushed.exact


def test_texts_are_ordered_as_polars_orders_them_on_any_server() -> None:
    other = TableInfo("t", frame().schema, INFO.native, ("symbol",), by_code_point=False)
    optimised = captured(other, pl.col("symbol") > "A")
    assert optimised is not None
    pushed = push_down(optimised, other)
    assert pushed.condition == '("symbol" COLLATE "C" > \'A\')'
    assert other.order_list(("symbol", "x")) == '"symbol" COLLATE "C", "x" NULLS FIRST'
