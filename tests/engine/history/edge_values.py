"""A table with every edge value in every column, and random predicates over it."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import strategies as st

from engine.store.connection import Connection

SYMBOLS = ["A01612", "a01612", "101W09", "가나다", "Zz", "it's", "back\\slash", "", "é", "e\u0301"]
FLOATS = [None, math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, 3.0]
INTEGERS = [None, 0, 1, -1, 3, 2**53 + 1, 2**63 - 1, -(2**63)]
START = datetime(2025, 9, 1, 8, 46)
TIMES = [START + timedelta(minutes=m) for m in (0, 1, 400, 913, 1440, 2000, 44640)]
ROWS = 120


def frame() -> pl.DataFrame:
    """Return every edge value in every column, combined in a fixed but arbitrary way."""
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


def make_table(url: str) -> None:
    connection = Connection(url, "test")
    with connection.transaction() as cursor:
        cursor.execute(
            "CREATE TABLE edge_table (symbol text, timestamp timestamp, moment timestamp, day date,"
            " name text, x double precision, y double precision, v bigint,"
            " PRIMARY KEY (symbol, timestamp))"
        )
        cursor.adbc_ingest("edge_table", frame().to_arrow(), mode="append")
    connection.close()


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
            values,
            values,
            st.sampled_from(["both", "left", "right", "none"]),
        ),
        st.builds(
            lambda among, nulls_equal: side.is_in(among, nulls_equal=nulls_equal),
            st.lists(values, max_size=4),
            st.booleans(),
        ),
        st.sampled_from([side.is_null(), side.is_not_null()]),
    )


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
            pl.col("x").is_nan(),
            pl.col("x").is_not_nan(),
            pl.col("x").is_finite(),
            pl.col("y").is_infinite(),
            pl.col("x") > pl.col("y"),
            pl.col("x") == pl.col("y"),
            pl.col("v") < pl.col("x"),
            pl.col("name") < pl.col("symbol"),
            pl.col("x") / pl.col("y") > 1,
            pl.col("v") % 3 == 0,
            pl.col("x") * 1e300 > 0,
            pl.col("symbol").str.starts_with("A0"),
            pl.col("name").str.starts_with(""),
            pl.col("symbol").str.ends_with("12"),
            pl.col("name").str.ends_with("다"),
            pl.col("symbol").str.contains("0"),
            pl.lit(value=True),
            pl.lit(value=False),
            pl.col("moment").dt.hour() == 9,
            pl.col("moment") > pl.col("timestamp"),
            pl.col("x") > pl.col("x").mean(),
            pl.col("symbol") == pl.lit(None, pl.String),
        ]
    ),
)
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
