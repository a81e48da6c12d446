"""The gap ledger: which bars are missing, and why. Its transitions are pure functions of frames.

Each stamp that was ever found missing has a mark: its state, how often KIS answered about it, the
reason, and since when it is open. The table `gaps` keeps runs of equal marks, one row a run:
`marks_from_rows` spreads rows over stamps, `rows_from_marks` puts them together again.

    from            event                                            to            function
    no mark         the bar is missing                               open          mark_missing
    filled          the bar is missing again                         open          mark_missing
    any but filled  the bar is stored                                filled        mark_missing
    open, refused   KIS's answers prove something                    no_trade, refused or
                                                                     unavailable   evidence.py
    no_trade        KIS has said that trading was halted then          halted        halts.py
    open            it need not be asked for, the reason is known    unavailable   apply_reasons
    any but filled  the user wants KIS to be asked again             open          reopen
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine import schemas
from engine.columns import SESSION, STAMP, TIME
from engine.market.expected import EXPECTED_STAMPS
from engine.store.identifiers import literal, literals
from engine.store.store import Store

NOT_COLLECTED = "not collected"
ASKED_AGAIN = "to be asked again"
TOLD_ONCE = "nobody asked in time, and KIS tells it only once"
NOT_FED = "the feed did not bring it, and KIS tells it only once"

MARKS = pl.Schema(
    [
        *EXPECTED_STAMPS.items(),
        ("state", pl.String()),
        ("attempts", pl.Int64()),
        ("reason", pl.String()),
        ("opened_at", TIME),
        ("answered_at", TIME),  # by KIS's clock, the last answer that counted; null: none did
    ]
)
ROWS = pl.DataFrame(schemas.GAPS.empty_table()).schema
_KEY = [*SESSION, "first_stamp"]
_EQUAL_IN_RUN = [*SESSION, "state", "attempts", "reason", "answered_at"]


def marks_from_rows(rows: pl.DataFrame, expected: pl.DataFrame) -> pl.DataFrame:
    """Spread ledger rows over the stamps that they stand for; `expected` are all of the sessions.

    Where rows overlap (a writer died between two statements) the one written last counts.
    """
    spread = (
        expected.lazy()
        .join(rows.lazy(), on=SESSION)
        .filter(pl.col("stamp").is_between("first_stamp", "last_stamp"))
        .sort("updated_at", maintain_order=True)
        .unique(STAMP, keep="last", maintain_order=True)
    )
    return spread.select(list(MARKS)).sort(STAMP).collect()


def rows_from_marks(marks: pl.DataFrame, now: datetime, markets: pl.DataFrame) -> pl.DataFrame:
    """Put marks together to rows of the table `gaps`: runs of neighbouring stamps with equal marks.

    `markets`: symbol, market. A run has been open since its oldest mark.
    """
    continues = (pl.col("index_in_session").diff() == 1) & pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _EQUAL_IN_RUN
    )
    runs = (
        marks.sort("symbol", "session", "index_in_session")
        .with_columns((~continues.fill_null(value=False)).cum_sum().alias("run"))
        .group_by("run", *_EQUAL_IN_RUN, maintain_order=True)
        .agg(
            pl.col("stamp").first().alias("first_stamp"),
            pl.col("stamp").last().alias("last_stamp"),
            pl.len().alias("stamps"),
            pl.col("opened_at").min(),
        )
    )
    return (
        runs.join(markets, on="symbol")
        .with_columns(pl.lit(now).alias("updated_at"))
        .select(pl.col(name).cast(kind) for name, kind in ROWS.items())
    )


def mark_missing(
    marks: pl.DataFrame, expected: pl.DataFrame, stored: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Return the marks after a comparison with what is stored (symbol, session, stamp).

    A missing stamp becomes open if it has no mark or was filled; a marked one that is stored
    becomes filled. A missing one in any other state stays so.
    """
    missing = expected.join(stored, on=STAMP, how="anti")
    known = marks.join(stored.with_columns(is_stored=True), on=STAMP, how="left")
    reopened = pl.col("is_stored").is_null() & (pl.col("state") == "filled")
    filled = pl.col("is_stored").is_not_null() & (pl.col("state") != "filled")
    updated = known.with_columns(
        state=pl.when(reopened)
        .then(pl.lit("open"))
        .when(filled)
        .then(pl.lit("filled"))
        .otherwise("state"),
        attempts=pl.when(reopened).then(0).otherwise("attempts"),
        reason=pl.when(reopened)
        .then(pl.lit(NOT_COLLECTED))
        .when(filled)
        .then(None)
        .otherwise("reason"),
        opened_at=pl.when(reopened).then(pl.lit(now)).otherwise("opened_at"),
        answered_at=pl.when(reopened | filled).then(None).otherwise("answered_at"),
    ).select(list(MARKS))
    return pl.concat([updated, _open_marks(missing.join(marks, on=STAMP, how="anti"), now)]).sort(
        STAMP
    )


def _open_marks(stamps: pl.DataFrame, now: datetime) -> pl.DataFrame:
    return stamps.with_columns(
        state=pl.lit("open"),
        attempts=0,
        reason=pl.lit(NOT_COLLECTED),
        opened_at=pl.lit(now),
        answered_at=None,
    ).select(pl.col(name).cast(kind) for name, kind in MARKS.items())


def reopen(marks: pl.DataFrame) -> pl.DataFrame:
    """Return the marks with all that are missing open, as if KIS had never answered about them."""
    again = pl.col("state").is_in(["no_trade", "halted", "refused", "unavailable"])
    return marks.with_columns(
        state=pl.when(again).then(pl.lit("open")).otherwise("state"),
        attempts=pl.when(again).then(0).otherwise("attempts"),
        reason=pl.when(again).then(pl.lit(ASKED_AGAIN)).otherwise("reason"),
        answered_at=pl.when(again).then(None).otherwise("answered_at"),
    ).select(pl.col(name).cast(kind) for name, kind in MARKS.items())


def apply_reasons(marks: pl.DataFrame, reasons: pl.DataFrame, state: str = "open") -> pl.DataFrame:
    """Return the marks with a new reason (and state) for open stamps: symbol, session, stamp, why.

    With the state unavailable, the stamps are settled without asking KIS.
    """
    known = marks.join(reasons.select(*STAMP, "why"), on=STAMP, how="left")
    concerned = pl.col("why").is_not_null() & (pl.col("state") == "open")
    return known.with_columns(
        state=pl.when(concerned).then(pl.lit(state)).otherwise("state"),
        reason=pl.when(concerned).then("why").otherwise("reason"),
    ).select(list(MARKS))


async def read(store: Store, symbols: list[str], start: date, end: date) -> pl.DataFrame:
    """Return the ledger's rows of the symbols in sessions from start to end."""
    if not symbols:
        return pl.DataFrame(schema=ROWS)
    columns = ", ".join(ROWS)
    table = await store.query(
        f"SELECT {columns} FROM gaps WHERE symbol IN ({literals(symbols)})"
        f" AND session BETWEEN {literal(start)} AND {literal(end)}"
    )
    return pl.DataFrame(table).cast(ROWS)


async def write(store: Store, before: pl.DataFrame, after: pl.DataFrame) -> None:
    """Replace the rows `before` by those of `after`; a new `updated_at` alone changes no row.

    If the process is killed in between, rows overlap and no mark is lost. A row is never dated
    before the one it replaces, or the merge would drop it as outdated (a simulated day may be run
    twice).
    """
    values = [name for name in ROWS if name != "updated_at"]
    changed = (
        after.join(before, on=values, how="anti", nulls_equal=True)
        .join(before.select(*_KEY, replaced_at="updated_at"), on=_KEY, how="left")
        .with_columns(updated_at=pl.max_horizontal("updated_at", "replaced_at"))
    )
    gone = before.join(after, on=_KEY, how="anti")
    if changed.height:
        await store.merge("gaps", schemas.conform(changed, schemas.GAPS))
    if gone.height:
        await store.query(f"SELECT forget_gaps({_key_arrays(gone)})::text", read_only=False)


def _key_arrays(keys: pl.DataFrame) -> str:
    kinds = {"symbol": "text", "session": "date", "first_stamp": "timestamp"}
    return ", ".join(f"ARRAY[{literals(keys[name])}]::{kind}[]" for name, kind in kinds.items())
