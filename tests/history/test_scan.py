"""Scans give what the same query gives over a full read, and let the server do what it can."""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import InputError, StoreError
from engine.history.predicates import push_down
from engine.history.relation import Relation, describe
from engine.history.scan import BATCH_BYTES, scan
from engine.store.connection import Connection

SYMBOLS = ["A01612", "a01612", "101W09", "가나다", "Zz", "it's", "back\\slash", "", "é", "e\u0301"]
FLOATS = [None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, 3.0]
INTEGERS = [None, 0, 1, -1, 3, 2**53 + 1, 2**63 - 1, -(2**63)]
START = datetime(2025, 9, 1, 8, 46)
TIMES = [START + timedelta(minutes=m) for m in (0, 1, 400, 913, 1440, 2000, 44640)]
ROWS = 120


def frame() -> pl.DataFrame:
    """Every awkward value in every column, paired in a fixed but arbitrary way."""
    rows = range(ROWS)
    return pl.DataFrame(
        {
            "symbol": [SYMBOLS[i % len(SYMBOLS)] for i in rows],
            "timestamp": [START + timedelta(minutes=7 * i) for i in rows],
            "moment": [None if i % 9 == 0 else TIMES[i % len(TIMES)] for i in rows],
            "day": [None if i % 8 == 0 else TIMES[i % len(TIMES)].date() for i in rows],
            "name": [None if i % 7 == 0 else SYMBOLS[i * 3 % len(SYMBOLS)] for i in rows],
            "x": [FLOATS[i * 5 % len(FLOATS)] for i in rows],
            "y": [FLOATS[i * 7 % len(FLOATS)] for i in rows],
            "v": [INTEGERS[i * 3 % len(INTEGERS)] for i in rows],
        },
        schema_overrides={"x": pl.Float64, "y": pl.Float64, "v": pl.Int64},
    ).sort("symbol", "timestamp")


def create(maintenance: Connection, statement: str) -> None:
    """Create a database in the first locale that the system knows."""
    if "libc" not in statement:
        return maintenance.alone(f"{statement} BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'")
    for locale in ("ko_KR.UTF-8", "en_US.UTF-8", "C.UTF-8"):
        with suppress(StoreError):
            return maintenance.alone(f"{statement} LOCALE '{locale}'")
    pytest.skip("this system has no UTF-8 locale for a database with another order of texts")


def make_table(url: str) -> None:
    connection = Connection(url, "test")
    with connection.transaction() as cursor:
        cursor.execute(
            "CREATE TABLE awkward (symbol text, timestamp timestamp, moment timestamp, day date,"
            " name text, x double precision, y double precision, v bigint,"
            " PRIMARY KEY (symbol, timestamp))"
        )
        cursor.adbc_ingest("awkward", frame().to_arrow(), mode="append")
    connection.close()


@pytest.fixture(scope="module", params=["LOCALE_PROVIDER builtin", "LOCALE_PROVIDER libc"])
def awkward(request: pytest.FixtureRequest, server_url: str) -> Iterator[str]:
    """A database with the awkward table; once as ours is made, once with the system's order."""
    template = server_url.rpartition("/")[2].partition("?")[0]
    name = f"scan_{uuid.uuid4().hex[:12]}"
    maintenance = Connection(server_url.replace(f"/{template}?", "/krt?"), "test")
    create(maintenance, f"CREATE DATABASE {name} TEMPLATE template0 {request.param}")
    url = server_url.replace(f"/{template}?", f"/{name}?")
    make_table(url)
    yield url
    maintenance.alone(f"DROP DATABASE {name} WITH (FORCE)")
    maintenance.close()


def execute(url: str, *statements: str) -> None:
    connection = Connection(url, "test")
    for statement in statements:
        with connection.transaction() as cursor:
            cursor.execute(statement)
    connection.close()


def scanning(url: str) -> bool:
    """Whether the server still works on a scan. Polars lets go of one when it is next called."""
    connection = Connection(url, "test")
    with connection.transaction(read_only=True) as cursor:
        cursor.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'scan'"
            " AND datname = current_database()"
        )
        found = pl.DataFrame(pl.from_arrow(cursor.fetch_arrow_table()))["n"][0]
    connection.close()
    return bool(found)


def compared(column: str, values: st.SearchStrategy[object]) -> st.SearchStrategy[pl.Expr]:
    """Return comparisons of a column with a value of its type, and tests for null."""
    side = pl.col(column)
    return st.one_of(
        st.builds(
            lambda op, value: getattr(side, op)(value),
            st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge", "eq_missing", "ne_missing"]),
            values,
        ),
        st.builds(
            lambda a, b, closed: side.is_between(pl.lit(a), pl.lit(b), closed=closed),
            values, values, st.sampled_from(["both", "left", "right", "none"]),
        ),
        st.builds(
            lambda among, nulls_equal: side.is_in(among, nulls_equal=nulls_equal),
            st.lists(values, max_size=4), st.booleans(),
        ),
        st.sampled_from([side.is_null(), side.is_not_null()]),
    )  # fmt: skip


def known(values: list[object]) -> st.SearchStrategy[object]:
    return st.sampled_from([value for value in values if value is not None])


TERMS = st.one_of(
    compared("symbol", known([*SYMBOLS, "A", "가", "zero\0byte"])),
    compared("name", known([*SYMBOLS, "A", "가"])),
    compared("moment", known([*TIMES, START + timedelta(seconds=1)])),
    compared("timestamp", known(TIMES)),
    compared("day", known([date(2025, 9, 1), date(2025, 9, 2), date(9999, 12, 31)])),
    compared("x", known([*FLOATS, 2.0])),
    compared("v", known([*INTEGERS])),
    st.builds(lambda value: pl.col("v") > value, known([0.5, -1.5, 9007199254740993.0])),
    st.builds(
        lambda op, day: getattr(pl.col("moment").dt.date(), op)(day),
        st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]),
        known([date(2025, 9, 1), date(2025, 9, 2), date(2025, 10, 2)]),
    ),
    st.sampled_from(
        [
            pl.col("x").is_nan(), pl.col("x").is_not_nan(), pl.col("x").is_finite(),
            pl.col("y").is_infinite(), pl.col("x") > pl.col("y"), pl.col("x") == pl.col("y"),
            pl.col("v") < pl.col("x"), pl.col("name") < pl.col("symbol"),
            pl.col("x") / pl.col("y") > 1, pl.col("v") % 3 == 0, pl.col("x") * 1e300 > 0,
            pl.col("symbol").str.starts_with("A0"), pl.col("name").str.starts_with(""),
            pl.col("symbol").str.ends_with("12"), pl.col("name").str.ends_with("다"),
            pl.col("symbol").str.contains("0"), pl.lit(value=True), pl.lit(value=False),
            pl.col("moment").dt.hour() == 9, pl.col("moment") > pl.col("timestamp"),
            pl.col("x") > pl.col("x").mean(), pl.col("symbol") == pl.lit(None, pl.String),
        ]
    ),
)  # fmt: skip
PREDICATES = st.recursive(
    TERMS,
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a, b: a ^ b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=6,
)
COLUMNS = st.lists(st.sampled_from(frame().columns), min_size=1, unique=True)
ROWS_WANTED = st.one_of(st.none(), st.integers(0, ROWS + 1))


def query(
    source: pl.LazyFrame,
    predicate: pl.Expr,
    columns: list[str],
    before: int | None,
    after: int | None,
) -> pl.LazyFrame:
    """A head, a filter, a sort by the key, a head, some columns."""
    limited = source if before is None else source.head(before)
    kept = limited.filter(predicate).sort("symbol", "timestamp")
    return (kept if after is None else kept.head(after)).select(columns)


@pytest.fixture(scope="module")
def scanned(awkward: str) -> pl.LazyFrame:
    return scan("awkward", awkward)


@given(PREDICATES, COLUMNS, ROWS_WANTED, ROWS_WANTED)
@example(~pl.col("x").is_in([math.nan]), ["x"], None, None)
@example(pl.col("v") > 1, ["v"], 30, None)
@example(~(pl.col("name") > "A"), ["name"], None, None)
@settings(
    max_examples=70, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_query_equals_the_same_over_a_full_read(
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


@pytest.fixture(scope="module")
def described(awkward: str) -> Iterator[tuple[Connection, Relation]]:
    connection = Connection(awkward, "test")
    with connection.transaction(read_only=True) as cursor:
        relation = describe(cursor, "awkward")
    yield connection, relation
    connection.close()


@given(PREDICATES)
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_what_is_called_exact_needs_no_second_look(
    described: tuple[Connection, Relation], predicate: pl.Expr
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


def captured(relation: Relation, predicate: pl.Expr) -> pl.Expr | None:
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
RELATION = Relation("awkward", frame().schema, frozenset(frame().columns), (), by_code_point=True)


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
    other = Relation("t", frame().schema, RELATION.native, ("symbol",), by_code_point=False)
    optimised = captured(other, pl.col("symbol") > "A")
    assert optimised is not None
    pushed = push_down(optimised, other)
    assert pushed.condition == '("symbol" COLLATE "C" > \'A\')'
    assert other.ordered(("symbol", "x")) == '"symbol" COLLATE "C", "x" NULLS FIRST'


def test_head_columns_and_the_key_order_reach_the_server(
    awkward: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="engine.history.scan")
    scan("awkward", awkward).select("x", "v").head(3).collect()
    assert caplog.messages[-1].startswith('🚀 SELECT "x", "v" FROM "awkward" ORDER BY "symbol"')
    assert caplog.messages[-1].endswith("LIMIT 3")


def test_explain_shows_what_is_pushed(awkward: str) -> None:
    query = scan("awkward", awkward).filter(pl.col("v") > 1).select("x").sort("x")
    plan = query.explain()
    assert "PYTHON[postgres] SCAN" in plan
    assert 'SELECTION: col("v") > 1' in plan
    assert "PROJECT 2/8 COLUMNS" in plan
    assert "awkward, by symbol, timestamp" in plan


def test_a_sort_by_the_key_is_not_made_twice(awkward: str) -> None:
    assert "SORT" not in scan("awkward", awkward).sort("symbol", "timestamp").explain()


def test_the_newest_rows_come_first_when_asked(awkward: str) -> None:
    newest = scan("awkward", awkward, order_by=["moment", "symbol"], descending=True)
    rows = newest.filter(pl.col("moment").is_not_null()).head(5).collect()
    expected = frame().filter(pl.col("moment").is_not_null())
    order = expected.sort("moment", "symbol", descending=True).select("moment", "symbol")
    assert_frame_equal(rows.select("moment", "symbol"), order.head(5))


def test_a_head_behind_a_filter_or_a_sort_begins_with_a_page(
    awkward: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Polars does not tell a scan of it, so the first page is asked for with a LIMIT."""
    execute(
        awkward,
        "CREATE TABLE paged (id bigint PRIMARY KEY, x double precision)",
        "INSERT INTO paged SELECT g, -g FROM generate_series(1, 30000) AS g",
    )
    caplog.set_level(logging.DEBUG, logger="engine.history.scan")
    whole = scan("paged", awkward).filter(pl.col("x") < -5).sort("id")
    assert whole.head(2).collect()["id"].to_list() == [6, 7]
    assert caplog.messages[0].endswith('ORDER BY "id" LIMIT 10000')
    assert whole.collect()["id"].to_list() == list(range(6, 30001))
    execute(awkward, "DROP TABLE paged")


def test_who_stops_listening_stops_the_server(awkward: str) -> None:
    """Without a key there are no pages; the answer is not read to its end all the same."""
    execute(awkward, "CREATE TABLE long AS SELECT g AS id FROM generate_series(1, 500000) AS g")
    heights = []

    def counted(frame: pl.DataFrame) -> pl.DataFrame:
        heights.append(frame.height)
        return frame

    found = scan("long", awkward).filter(pl.col("id") > 10).map_batches(counted, streamable=True)
    assert found.head(1).collect().height == 1
    assert 0 < sum(heights) < 500_000 - 10
    assert max(heights) * 8 <= 2 * BATCH_BYTES
    assert any(not scanning(awkward) for _ in range(100))
    execute(awkward, "DROP TABLE long")


def test_a_table_that_is_not_there_is_said_at_once(awkward: str) -> None:
    with pytest.raises(InputError, match="no table 'nosuch'"):
        scan("nosuch", awkward)
    with pytest.raises(InputError, match="no column close"):
        scan("awkward", awkward, order_by=["close"])


def test_a_failure_while_reading_is_ours_not_polars(awkward: str) -> None:
    execute(awkward, "CREATE TABLE gone (a bigint)")
    doomed = scan("gone", awkward)
    execute(awkward, "DROP TABLE gone")
    with pytest.raises(StoreError, match="does not exist"):
        doomed.collect()


def test_types_that_polars_lacks_come_as_text_and_numeric_as_float(awkward: str) -> None:
    execute(awkward, "CREATE VIEW odd AS SELECT 1.5::numeric AS n, '{\"a\": 1}'::jsonb AS j")
    odd = scan("odd", awkward)
    assert odd.filter(pl.col("n") > 1, pl.col("j") == '{"a": 1}').collect().rows() == [
        (1.5, '{"a": 1}')
    ]
    execute(awkward, "DROP VIEW odd")
