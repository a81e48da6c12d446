"""A file of bars as rows to be stored: what can be a bar, and what cannot with the reason.

`engine.history.bar_file` refuses a file as a whole, so that nothing is evaluated on half of it.
Here each row stands for itself, by the same checks and those of KIS's answers
(`engine.fetchers.bar_rules`): a minute that its session expects, that is over, once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import polars.selectors as cs
import pyarrow as pa

from engine import schemas
from engine.columns import TIME
from engine.errors import InputError
from engine.history.bar_file import COLUMNS
from engine.history.bar_file_checks import (
    RowCheck,
    double_check,
    is_without_trade,
    price_checks,
    without_far_times,
)
from engine.history.bar_file_forms import ROW, BarTable, read_table
from engine.history.bar_file_times import BarTimes, by_session, minute_check, with_labels
from engine.history.bar_file_values import typed_rows, value_checks
from engine.market.symbols import FrontMonth, parse
from engine.market.venues import VenueStock
from engine.schemas import FILE
from engine.store.tables import TABLES
from engine.text import visible_json

REASON = "reason"
REFUSED = pl.Schema([(ROW, pl.UInt32()), (REASON, pl.String())])
OUTSIDE, UNFINISHED = "outside the session", "the minute is not over"
_BATCH = 250_000  # bars that are merged together: a collector's merge waits no longer than a second
_KEY = ("symbol", "timestamp")


@dataclass(frozen=True)
class BarsOfFile:
    """What a file holds.

    `bars`: COLUMNS with stamps, by symbol and time, each once. `refused`: symbol, reason, raw (the
    row as the file has it, JSON). `repeated` rows said what another one says, `empty` ones are
    KIS's form of a minute before the first trade: neither is a fault.
    """

    bars: pl.DataFrame
    refused: pl.DataFrame
    rows: int
    repeated: int
    empty: int


def read_bars_of_file(path: Path, now: datetime, times: BarTimes | None = None) -> BarsOfFile:
    """Read a file of bars and part what can be stored from what cannot.

    `times` says what the times in the file are; else the file is to show it. Raises InputError for
    a file that cannot be read, and where nothing shows what its times are.
    """
    table = read_table(path, COLUMNS)
    typed = typed_rows(table)
    checks = [*value_checks(table, typed), _front_month_check(typed), minute_check()]
    checked = typed.select(ROW, *COLUMNS, _first_reason([*checks, *price_checks()]))
    refused = [_refused(checked)]
    readable = _accepted(checked)
    if readable.is_empty():
        return BarsOfFile(readable, _as_in_file(table, refused), table.rows.height, 0, 0)
    stamped = _with_stamps(table, readable, now, times)
    refused.append(_refused(stamped))
    inside = _accepted(stamped)
    traded = inside.filter(~is_without_trade())
    bars = traded.unique(COLUMNS, keep="first", maintain_order=True)
    once = bars.with_columns(_first_reason([double_check(_KEY)]))
    refused.append(_refused(once))
    kept = _accepted(once).drop(ROW).sort(_KEY).with_columns(pl.col("volume").cast(pl.Int64))
    return BarsOfFile(
        kept,
        _as_in_file(table, refused),
        table.rows.height,
        repeated=traded.height - bars.height,
        empty=inside.height - traded.height,
    )


def batches_to_store(bars: pl.DataFrame, now: datetime) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield the bars (COLUMNS with stamps) as batches of their tables, by time."""
    symbols = pl.DataFrame(
        [(code, *_of_symbol(code)) for code in bars["symbol"].unique()],
        {"symbol": pl.String, "table": pl.String, "venue": pl.String},
        orient="row",
    )
    complete = bars.join(symbols, on="symbol").with_columns(
        timeframe=pl.lit("1m"), fetched_at=pl.lit(now, TIME), source=pl.lit(FILE)
    )
    for table in sorted(set(symbols["table"])):
        of_table = complete.filter(table=table).sort("timestamp", "symbol")
        for part in of_table.iter_slices(_BATCH):
            yield table, schemas.conform(part, TABLES[table].schema)


def rejected_batch(refused: pl.DataFrame, path: Path, now: datetime) -> pa.RecordBatch:
    """Return the refused rows of a file in REJECTED_ROWS."""
    rows = refused.with_columns(received_at=pl.lit(now, TIME), tr_id=pl.lit(f"file {path.name}"))
    return schemas.conform(rows, schemas.REJECTED_ROWS)


def _of_symbol(code: str) -> tuple[str, str | None]:
    symbol = parse(code)
    venue = symbol.venue.code if isinstance(symbol, VenueStock) else None
    return symbol.table, venue


def _front_month_check(typed: pl.DataFrame) -> RowCheck:
    """Return the check for products: whose roll the file follows is not known, and not guessed."""
    products = []
    for text in typed["symbol"].drop_nulls().unique():
        with suppress(InputError):  # unknown: another check says so
            if isinstance(parse(text), FrontMonth):
                products.append(text)
    why = "a product's front month is not a contract: name the contract"
    return RowCheck(why, pl.col("symbol").is_in(products), ["symbol"])


def _with_stamps(
    table: BarTable, readable: pl.DataFrame, now: datetime, times: BarTimes | None
) -> pl.DataFrame:
    """Return the bars with stamps for times, and for each that cannot be one the reason."""
    outside = RowCheck(OUTSIDE, ~pl.col("expected"), ())
    unfinished = RowCheck(UNFINISHED, pl.col("timestamp") > now, ())
    labelled = with_labels(table, readable, times)
    return pl.concat(
        part.bars.with_columns(
            timestamp=pl.when("expected").then(part.session.stamp_of_label(pl.col("timestamp")))
            if part.session
            else pl.col("timestamp")
        ).with_columns(_first_reason([outside, unfinished]))
        for part in by_session(labelled)
    )


def _first_reason(checks: Sequence[RowCheck]) -> pl.Expr:
    """Return the reason of the first check that speaks against a row, null where none does."""
    found = (pl.when(check.wrong).then(pl.lit(check.reason)) for check in checks)
    return pl.coalesce(*found).alias(REASON)


def _refused(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col(REASON).is_not_null()).select(list(REFUSED))


def _accepted(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.filter(pl.col(REASON).is_null()).select(ROW, *COLUMNS)


def _as_in_file(table: BarTable, refused: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return symbol, reason and raw of refused rows, in the order of the file."""
    found = pl.concat([REFUSED.to_frame(), *refused]).join(table.rows, on=ROW).sort(ROW)
    texts = found.with_columns(cs.datetime().pipe(without_far_times)).select(
        pl.col("symbol").cast(pl.String).fill_null(""),
        REASON,
        raw=pl.struct(pl.col(*COLUMNS).cast(pl.String)).struct.json_encode(),
    )
    raw = pl.Series("raw", [visible_json(text) for text in texts["raw"]], pl.String)
    return texts.with_columns(raw)
