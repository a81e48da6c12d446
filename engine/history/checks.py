"""The checks of the history: DuckDB queries in `sql/checks`, one file each.

A file begins with a comment that describes it (`-- severity:` error or warning, `-- says:` one
sentence, `-- fix:` what repairs it: fetch, remove, recompute or nothing), then one query over the
relations below. It returns symbol, session, first_stamp, last_stamp, bars, detail. A new check is a
new file.

All relations exist for every check, some of them empty; `expected_stamps` (symbol, session, stamp,
index_in_session) is made from targets and grids. Rows of `bars` with `context` belong to the
session before or after the checked ones: checks compare with them and report nothing about them.
"""

from __future__ import annotations

import importlib.resources
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import duckdb
import polars as pl
import pyarrow as pa

from engine.columns import PRICES, STAMPS, TIME
from engine.errors import InputError
from engine.features.missing_trades import MISSING_TRADES
from engine.market.expected import EXPECTED_STAMPS, GRIDS, SESSIONS
from engine.schemas import (
    BOOK_MINUTES,
    EXPECTED_PRICES,
    FUTURES_STATE,
    INDEX_BARS,
    INVESTOR_FLOWS,
    OPTION_SUMMARY,
    PROGRAMME_TRADES,
    level_columns,
)

Severity = Literal["error", "warning"]
Fix = Literal["fetch", "remove", "recompute", "nothing"]

# A frame, anything that DuckDB reads as Arrow, or a query that gives it.
Relation: TypeAlias = "pl.DataFrame | pa.Table | pa.RecordBatchReader | str"

_MATRIX = {
    **SESSIONS,
    "timestamp": TIME,
    "metric_type": pl.String(),
    **dict.fromkeys(level_columns(), pl.Float64()),
}
_SUMMARY = {
    **SESSIONS,
    "timestamp": TIME,
    **{
        name: pl.Float64() if kind.is_numeric() else kind
        for name, kind in pl.Schema(OPTION_SUMMARY).items()
        if name not in ("timestamp", "underlying_symbol", "fetched_at")
    },
}
_SIGNAL = {
    "source": pl.String(),
    **SESSIONS,
    "timestamp": TIME,
    "content": pl.String(),
}

_TOLD_ONCE = {
    "futures_state": FUTURES_STATE,
    "investor_flows": INVESTOR_FLOWS,
    "programme_trades": PROGRAMME_TRADES,
    "index_1m": INDEX_BARS,
    "expected_prices": EXPECTED_PRICES,
    "book_minutes": BOOK_MINUTES,
}


def _told_once(stored: pa.Schema) -> dict[str, pl.DataType]:
    kept = {name: kind for name, kind in pl.Schema(stored).items() if name != "fetched_at"}
    return {**SESSIONS, **kept}


RELATIONS: dict[str, pl.Schema] = {
    name: pl.Schema(columns)
    for name, columns in {
        # the sessions to check, and their hours: minutes from midnight, in order
        "targets": {**SESSIONS, "grid": pl.Int64()},
        "grids": GRIDS,
        "bars": {
            **SESSIONS,
            "timestamp": TIME,
            **dict.fromkeys(PRICES, pl.Float64()),
            "volume": pl.Int64(),
            "context": pl.Boolean(),
            "confirmed": pl.Boolean(),
        },
        # stamps whose absence the ledger explains
        "excused": STAMPS,
        # stamps that KIS no longer keeps, or never did, and why
        "unavailable": {**EXPECTED_STAMPS, "reason": pl.String()},
        # stamps for which KIS gives a row that cannot be a bar, and why it cannot
        "refused": {**EXPECTED_STAMPS, "reason": pl.String()},
        # one row a code: stocks or derivatives, smallest price step, last trading day
        "instruments": {
            "symbol": pl.String(),
            "kind": pl.String(),
            "tick": pl.Float64(),
            "last_day": pl.Date(),
        },
        # number of each trading day, so that neighbours differ by 1
        "trading_days": {"session": pl.Date(), "number": pl.Int64()},
        # option chains; symbol is the underlying_symbol
        "expected_snapshots": EXPECTED_STAMPS,
        "chain": {**SESSIONS, "timestamp": TIME, "option": pl.String()},
        "matrices": _MATRIX,
        "expected_matrices": _MATRIX,
        "summaries": _SUMMARY,
        "expected_summaries": _SUMMARY,
        # what KIS tells only once; symbol is that of the ledger, FLOWS_KOSPI …
        **{name: _told_once(schema) for name, schema in _TOLD_ONCE.items()},
        # minutes that have a smile, or the word that none can be fitted
        "surfaces": {
            **SESSIONS,
            "timestamp": TIME,
            "atm_volatility": pl.Float64(),
            "swap_volatility": pl.Float64(),
        },
        # stretches without their trades, `after` and `before` the trades around them, and the hours
        # of the session; whether its bars have as much as its trades
        "missing_trades": {
            **MISSING_TRADES,
            "opens": TIME,
            "ends": TIME,
            "bars_agree": pl.Boolean(),
        },
        # signals as stored and as computed again; content is JSON
        "signals": _SIGNAL,
        "expected_signals": _SIGNAL,
    }.items()
}

VIEWS = {  # made from the relations: every stamp that must exist in the targets
    "expected_stamps": "SELECT symbol, session, session + to_minutes(minute) AS stamp,"
    " index_in_session FROM targets JOIN grids USING (grid)",
}

FINDINGS = pl.Schema(
    [
        ("check", pl.String()),
        ("severity", pl.String()),
        ("symbol", pl.String()),
        ("session", pl.Date()),
        ("first_stamp", TIME),
        ("last_stamp", TIME),
        ("bars", pl.Int64()),
        ("detail", pl.String()),
        ("fix", pl.String()),
    ]
)
ORDER = ["session", "symbol", "check", "first_stamp", "last_stamp", "detail"]
_QUERIED = ["symbol", "session", "first_stamp", "last_stamp", "bars", "detail"]
_MEMORY = "400MB"  # beyond this DuckDB spills to disk


@dataclass(frozen=True)
class Check:
    """One check: its name (the file's), what a finding means, and the query that finds them."""

    name: str
    severity: Severity
    says: str
    fix: Fix
    query: str


def all_checks() -> list[Check]:
    """Return the checks of `sql/checks`, sorted by name. Raises InputError for a bad header."""
    folder = importlib.resources.files("sql").joinpath("checks")
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")]
    return [
        read_check(file.name.removesuffix(".sql"), file.read_text(encoding="utf-8"))
        for file in sorted(files, key=lambda file: file.name)
    ]


def read_check(name: str, text: str) -> Check:
    """Read one file. Raises InputError if its header lacks a part."""
    comments = [
        line.removeprefix("-- ").partition(": ") for line in text.splitlines() if line[:2] == "--"
    ]
    header = {key: value.strip() for key, _, value in comments}
    if (
        header.get("severity") not in get_args(Severity)
        or header.get("fix") not in get_args(Fix)
        or not header.get("says")
    ):
        raise InputError(
            f"sql/checks/{name}.sql must begin with `-- severity: error|warning`, `-- says: …`,"
            f" and `-- fix: {'|'.join(get_args(Fix))}`"
        )
    severity, says, fix = header["severity"], header["says"], header["fix"]
    return Check(name, severity, says, fix, text)  # type: ignore[arg-type]


def run_checks(checks: Sequence[Check], relations: Mapping[str, Relation]) -> pl.DataFrame:
    """Run the checks over relations (RELATIONS; missing ones are empty); return FINDINGS.

    A relation may be a query, and `relations` may hold more tables for such queries to read.
    """
    limits: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": _MEMORY,
        "threads": 2,
        "temp_directory": tempfile.gettempdir(),
    }
    with duckdb.connect(config=limits) as database:
        sources = [name for name in relations if name not in RELATIONS]
        for name in [*sources, *RELATIONS]:
            schema = RELATIONS.get(name, pl.Schema())
            _add_relation(database, name, schema, relations.get(name, schema.to_frame()))
        for name, query in VIEWS.items():
            database.execute(f"CREATE VIEW {name} AS {query}")
        parts = [_findings(database, check) for check in checks]
    return pl.concat([FINDINGS.to_frame(), *parts]).sort(ORDER)


def _add_relation(
    database: duckdb.DuckDBPyConnection, name: str, schema: pl.Schema, relation: Relation
) -> None:
    if isinstance(relation, str):
        database.execute(f"CREATE VIEW {name} AS {relation}")
    elif isinstance(relation, pl.DataFrame):
        database.register(name, relation.select(list(schema)).cast(schema).to_arrow())
    else:
        database.register(name, relation)


def _findings(database: duckdb.DuckDBPyConnection, check: Check) -> pl.DataFrame:
    found = pl.DataFrame(database.sql(check.query).to_arrow_table())
    return (
        found.select(_QUERIED)
        .with_columns(
            check=pl.lit(check.name), severity=pl.lit(check.severity), fix=pl.lit(check.fix)
        )
        .select(pl.col(name).cast(kind) for name, kind in FINDINGS.items())
    )
