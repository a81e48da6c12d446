"""What a filter becomes in SQL, and whether the server's answer needs a second look."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from polars.testing import assert_frame_equal

from engine.history.pg_table import TableInfo, read_table_info
from engine.history.predicates import push_down
from engine.store.connection import Connection
from tests.engine.history.edge_values import PREDICATES, START, TIMES, frame


@pytest.fixture(scope="module")
def described(awkward: str) -> Iterator[tuple[Connection, TableInfo]]:
    connection = Connection(awkward, "test")
    with connection.transaction(read_only=True) as cursor:
        relation = read_table_info(cursor, "awkward")
    yield connection, relation
    connection.close()


@given(PREDICATES)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_called_exact_needs_no_second_look(
    described: tuple[Connection, TableInfo], predicate: pl.Expr
) -> None:
    connection, relation = described
    optimised = captured(relation, predicate)
    if optimised is None:
        return
    pushed = push_down(optimised, relation)
    expected = frame().filter(predicate)
    if pushed.condition is not None:
        with connection.transaction(read_only=True) as cursor:
            cursor.execute(
                f"SELECT symbol, timestamp FROM awkward WHERE {pushed.condition}"
                f' ORDER BY symbol COLLATE "C", timestamp'
            )
            rows = pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table()))
        wanted = expected.select("symbol", "timestamp")
        if pushed.exact:
            assert_frame_equal(rows, wanted)
        else:
            assert wanted.join(rows, on=["symbol", "timestamp"], how="anti").is_empty()


def captured(relation: TableInfo, predicate: pl.Expr) -> pl.Expr | None:
    """Return the predicate as Polars' optimiser hands it to a source."""
    seen: list[pl.Expr] = []

    def source(
        columns: list[str] | None, given_: pl.Expr | None, rows: int | None, size: int | None
    ) -> Iterator[pl.DataFrame]:
        if given_ is not None:
            seen.append(given_)
        yield pl.DataFrame(schema=relation.schema)

    pl.io.plugins.register_io_source(source, schema=relation.schema).filter(predicate).collect()
    return seen[0] if seen else None  # Polars keeps what needs other rows to itself


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
RELATION = TableInfo("awkward", frame().schema, frozenset(frame().columns), (), by_code_point=True)


@pytest.mark.parametrize(("predicate", "sql"), PUSHED)
def test_common_filters_become_sql(predicate: pl.Expr, sql: str) -> None:
    optimised = captured(RELATION, predicate)
    assert optimised is not None
    pushed = push_down(optimised, RELATION)
    assert pushed.condition == sql
    assert pushed.exact


def test_what_sql_cannot_say_leaves_the_other_terms_pushed() -> None:
    predicate = (pl.col("x") / pl.col("y") > 1) & (pl.col("v") == 1)
    optimised = captured(RELATION, predicate)
    assert optimised is not None
    pushed = push_down(optimised, RELATION)
    assert pushed.condition == '("v" = 1)'
    assert not pushed.exact


def test_order_of_texts_is_polars_own_on_any_server() -> None:
    other = TableInfo("t", frame().schema, RELATION.native, ("symbol",), by_code_point=False)
    optimised = captured(other, pl.col("symbol") > "A")
    assert optimised is not None
    pushed = push_down(optimised, other)
    assert pushed.condition == '("symbol" COLLATE "C" > \'A\')'
    assert other.ordered(("symbol", "x")) == '"symbol" COLLATE "C", "x" NULLS FIRST'
