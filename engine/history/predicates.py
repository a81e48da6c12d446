"""Polars predicates as SQL conditions.

A condition is exact, or it is not made. Polars and Postgres treat NULL and NaN alike: comparisons
with NULL are neither true nor false, AND, OR and NOT follow Kleene, NaN equals itself and is above
every number. Texts are equal byte by byte; where their order matters, COLLATE "C" is added if
needed.

Arithmetic is left to Polars: Postgres refuses 1/0 and overflows, where Polars gives infinity.

A predicate is read from Polars' own serialisation, after the optimiser: types are resolved,
constants folded. The format belongs to the pinned version of Polars; what is unknown in it is not
pushed down, so that a new format costs speed and never rows.
"""

from __future__ import annotations

import io
import json
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any, TypeAlias

import polars as pl

from engine.errors import InputError
from engine.history.pg_table import TableInfo
from engine.store.identifiers import Value, identifier, literal, literals

Node: TypeAlias = Any  # a part of the serialised expression: object, text or number

_LONGEST_LIST = 10_000  # with more values the text of the query costs more than it saves
_COMPARED = {
    "Eq": "=",
    "NotEq": "<>",
    "Lt": "<",
    "LtEq": "<=",
    "Gt": ">",
    "GtEq": ">=",
    "EqValidity": "IS NOT DISTINCT FROM",
    "NotEqValidity": "IS DISTINCT FROM",
}
_ORDERING = ("Lt", "LtEq", "Gt", "GtEq")
_JOINED = {"And": "AND", "LogicalAnd": "AND", "Or": "OR", "LogicalOr": "OR", "Xor": "<>"}
_BOUNDS = {
    "Both": ("GtEq", "LtEq"),
    "Left": ("GtEq", "Lt"),
    "Right": ("Gt", "LtEq"),
    "None": ("Gt", "Lt"),
}
_WIDENED = (pl.Int16, pl.Int32, pl.Int64)  # to floats, when they are compared with one
_NOT_FINITE = (
    "('NaN'::double precision, 'Infinity'::double precision, '-Infinity'::double precision)"
)


class _NotSql(Exception):
    """This part of the predicate is left to Polars."""


@dataclass(frozen=True)
class Pushed:
    """The part of a predicate that SQL can express; it is true wherever the predicate is."""

    condition: str | None
    exact: bool


def push_down(predicate: pl.Expr, info: TableInfo) -> Pushed:
    """Return what SQL can express of the predicate: all of it, or some terms of an AND."""
    try:
        node = json.loads(predicate.meta.serialize(format="json"))
    except (pl.exceptions.PolarsError, ValueError):
        return Pushed(None, exact=False)
    return _push_node(node, info)


def _push_node(node: Node, info: TableInfo) -> Pushed:
    match node:
        case {"BinaryExpr": {"left": left, "op": "And" | "LogicalAnd", "right": right}}:
            parts = [_push_node(side, info) for side in (left, right)]
            conditions = [part.condition for part in parts if part.condition is not None]
            exact = all(part.exact for part in parts)
            return Pushed(" AND ".join(conditions) or None, exact)
    try:
        return Pushed(_condition(node, info), exact=True)
    except (_NotSql, InputError):  # InputError: a name or text that the database cannot hold
        return Pushed(None, exact=False)


def _condition(node: Node, info: TableInfo) -> str:
    match node:
        case {"BinaryExpr": {"left": left, "op": op, "right": right}} if op in _JOINED:
            return f"({_condition(left, info)} {_JOINED[op]} {_condition(right, info)})"
        case {"BinaryExpr": {"left": left, "op": op, "right": right}} if op in _COMPARED:
            return _comparison(left, op, right, info)
        case {"Function": {"input": inputs, "function": {"Boolean": test}}}:
            return _test(test, inputs, info)
        case {"Function": {"input": [text, prefix], "function": {"StringExpr": "StartsWith"}}}:
            return f"({_text(text, info)} ^@ {literal(_constant(prefix))})"
        case {"Function": {"input": [text, suffix], "function": {"StringExpr": "EndsWith"}}}:
            end = _constant(suffix)
            return f"(right({_text(text, info)}, {len(str(end))}) = {literal(end)})"
        case {"Literal": {"Scalar": {"Boolean": bool(known)}}}:
            return literal(known)
    raise _NotSql


def _comparison(left: Node, op: str, right: Node, info: TableInfo) -> str:
    match left:
        case {"Function": {"input": [{"Column": column}], "function": {"TemporalExpr": "Date"}}}:
            if op in _DAYS and info.schema.get(column) == pl.Datetime("us"):
                return _day_comparison(_value(left["Function"]["input"][0], info), op, right)
    collation = info.collation if op in _ORDERING and _is_text(left, info) else ""
    return f"({_value(left, info)}{collation} {_COMPARED[op]} {_value(right, info)})"


# A day is compared as a span of time, so that an index on the time can be used.
_DAYS = {
    "Eq": "({0} >= {1} AND {0} < {2})",
    "NotEq": "(NOT ({0} >= {1} AND {0} < {2}))",
    "Lt": "({0} < {1})",
    "LtEq": "({0} < {2})",
    "Gt": "({0} >= {2})",
    "GtEq": "({0} >= {1})",
}


def _day_comparison(moment: str, op: str, right: Node) -> str:
    day = _constant(right)
    if not isinstance(day, date) or isinstance(day, datetime) or day == date.max:
        raise _NotSql
    midnight = datetime.combine(day, time())
    return _DAYS[op].format(moment, literal(midnight), literal(midnight + timedelta(days=1)))


def _test(test: Node, inputs: list[Node], info: TableInfo) -> str:
    match test, inputs:
        case "Not", [inner]:
            return f"(NOT {_condition(inner, info)})"
        case "IsNull" | "IsNotNull", [inner]:
            return f"({_value(inner, info)} {'IS NULL' if test == 'IsNull' else 'IS NOT NULL'})"
        case "IsNan" | "IsNotNan", [inner]:
            return f"({_float(inner, info)} {'=' if test == 'IsNan' else '<>'} {literal(math.nan)})"
        case "IsFinite" | "IsInfinite", [inner]:
            return _finite(_float(inner, info), finite=test == "IsFinite")
        case {"IsIn": {"nulls_equal": False}}, [inner, among]:
            return f"({_value(inner, info)} IN ({literals(_list(among))}))"
        case {"IsBetween": {"closed": closed}}, [inner, low, high]:
            above, below = _BOUNDS[closed]
            low_side = _comparison(inner, above, low, info)
            return f"({low_side} AND {_comparison(inner, below, high, info)})"
    raise _NotSql


def _finite(value: str, *, finite: bool) -> str:
    if finite:
        return f"({value} NOT IN {_NOT_FINITE})"
    return f"({value} IN ({literal(math.inf)}, {literal(-math.inf)}))"


def _value(node: Node, info: TableInfo) -> str:
    match node:
        case {"Column": str(name)} if name in info.native:
            return identifier(name)
        case {"Cast": {"expr": {"Column": str(name)}, "dtype": {"Literal": "Float64"}}}:
            if name in info.native and isinstance(info.schema[name], _WIDENED):
                return f"{identifier(name)}::double precision"
        case {"Function": {"input": [{"Column": str(name)}], "function": {"TemporalExpr": "Date"}}}:
            if name in info.native and info.schema[name] == pl.Datetime("us"):
                return f"{identifier(name)}::date"
        case {"Literal": _}:
            return literal(_constant(node))
    raise _NotSql


def _float(node: Node, info: TableInfo) -> str:
    """Return a column of floats; for other types only Polars knows what finite means."""
    match node:
        case {"Column": str(name)} if info.schema.get(name) == pl.Float64:
            return _value(node, info)
    raise _NotSql


def _text(node: Node, info: TableInfo) -> str:
    if not _is_text(node, info):
        raise _NotSql
    return _value(node, info)


def _is_text(node: Node, info: TableInfo) -> bool:
    match node:
        case {"Column": str(name)}:
            return info.schema.get(name) == pl.String
        case {"Literal": {"Scalar": {"String": _}}}:
            return True
    return False


def _constant(node: Node) -> Value:
    """Return a literal's value; not NULL, nor NaN or infinity, which JSON does not have."""
    value = _evaluate(node)
    if value is None or not isinstance(value, str | int | float | bool | date):
        raise _NotSql
    return _without_zone(value)


def _list(node: Node) -> list[Value]:
    values = _evaluate(node)
    if not isinstance(values, pl.Series) or not 0 < len(values) <= _LONGEST_LIST:
        raise _NotSql
    if values.null_count() or not isinstance(values.dtype, _LISTABLE):
        raise _NotSql
    return [_without_zone(value) for value in values.to_list()]


_LISTABLE = (pl.String, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.Float64, pl.Date, pl.Datetime)


def _evaluate(node: Node) -> Any:
    """Let Polars itself evaluate a literal: it knows its own encodings of lists and times."""
    match node:
        case {"Alias": [inner, _]}:
            return _evaluate(inner)
        case {"Literal": _}:
            with suppress(pl.exceptions.PolarsError, ValueError, OverflowError):
                expression = pl.Expr.deserialize(io.StringIO(json.dumps(node)), format="json")
                return pl.select(expression).item()
    raise _NotSql


def _without_zone(value: Value) -> Value:
    if isinstance(value, datetime) and value.tzinfo is not None:
        raise _NotSql  # our times have no zone: Polars decides how to compare them
    return value
