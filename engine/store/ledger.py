"""The gap ledger: what is missing, and why. Transitions are pure functions of frames.

A stamp that was once found missing has a mark: its state, how often KIS answered about it, the
reason, and since when. The table keeps runs of equal marks, one row a run; `marks_from_rows`
spreads rows out to stamps and `rows_from_marks` puts them together again.

    open ──── the bar came ────▶ filled ──── the bar is gone again ────▶ open
      ├────── KIS was asked after the session was sealed and has none ─▶ no_trade
      └────── KIS no longer keeps it ──────────────────────────────────▶ unavailable

A stamp is asked for at most twice: an answer that shows bars around it settles it at once, one that
shows nothing at all only when it comes a second time.
"""

from __future__ import annotations

from datetime import date, datetime

import polars as pl

from engine import schemas
from engine.store.identifiers import literal, literals
from engine.store.store import Store

ENOUGH_ATTEMPTS = 2
NOT_COLLECTED = "not collected"
NO_TRADE = "KIS has no bar there"
_DOUBTFUL = "KIS's answer showed nothing around it; to be asked once more"

STAMP = ["symbol", "session", "stamp"]
MARKS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("session", pl.Date()),
        ("stamp", pl.Datetime("us")),
        ("index_in_session", pl.Int64()),
        ("state", pl.String()),
        ("attempts", pl.Int64()),
        ("reason", pl.String()),
        ("opened_at", pl.Datetime("us")),
    ]
)
ROWS = pl.DataFrame(schemas.GAPS.empty_table()).schema
_KEY = ["symbol", "session", "first_stamp"]
_SAME = ["symbol", "session", "state", "attempts", "reason"]


def marks_from_rows(rows: pl.DataFrame, owed: pl.DataFrame) -> pl.DataFrame:
    """Spread ledger rows over the stamps that they stand for; `owed` are all expected ones.

    Where rows overlap (a writer died between two statements) the one written last counts.
    """
    spread = (
        owed.lazy()
        .join(rows.lazy(), on=["symbol", "session"])
        .filter(pl.col("stamp").is_between("first_stamp", "last_stamp"))
        .sort("updated_at", maintain_order=True)
        .unique(STAMP, keep="last", maintain_order=True)
    )
    return spread.select(list(MARKS)).sort(STAMP).collect()


def rows_from_marks(marks: pl.DataFrame, now: datetime, markets: pl.DataFrame) -> pl.DataFrame:
    """Put marks together to rows of the table `gaps`: neighbouring stamps with equal marks.

    `markets` says the market of each symbol. A run has been open since its oldest mark.
    """
    follows = (pl.col("index_in_session").diff() == 1) & pl.all_horizontal(
        pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _SAME
    )
    runs = (
        marks.sort("symbol", "session", "index_in_session")
        .with_columns((~follows.fill_null(value=False)).cum_sum().alias("run"))
        .group_by("run", *_SAME, maintain_order=True)
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
    marks: pl.DataFrame, owed: pl.DataFrame, stored: pl.DataFrame, now: datetime
) -> pl.DataFrame:
    """Return the marks after a look at what is stored (symbol, session, stamp).

    A missing stamp that has no mark, or was filled and is gone again, is open; a marked one that is
    stored is filled. What KIS does not have stays as it is.
    """
    missing = owed.join(stored, on=STAMP, how="anti")
    known = marks.join(stored.with_columns(is_stored=True), on=STAMP, how="left")
    gone = pl.col("is_stored").is_null() & (pl.col("state") == "filled")
    come = pl.col("is_stored").is_not_null() & (pl.col("state") != "filled")
    updated = known.with_columns(
        state=pl.when(gone)
        .then(pl.lit("open"))
        .when(come)
        .then(pl.lit("filled"))
        .otherwise("state"),
        attempts=pl.when(gone).then(0).otherwise("attempts"),
        reason=pl.when(gone).then(pl.lit(NOT_COLLECTED)).when(come).then(None).otherwise("reason"),
        opened_at=pl.when(gone).then(pl.lit(now)).otherwise("opened_at"),
    ).select(list(MARKS))
    return pl.concat([updated, _opened(missing.join(marks, on=STAMP, how="anti"), now)]).sort(STAMP)


def _opened(stamps: pl.DataFrame, now: datetime) -> pl.DataFrame:
    return stamps.with_columns(
        state=pl.lit("open"), attempts=0, reason=pl.lit(NOT_COLLECTED), opened_at=pl.lit(now)
    ).select(pl.col(name).cast(kind) for name, kind in MARKS.items())


def apply_answers(marks: pl.DataFrame, answers: pl.DataFrame) -> pl.DataFrame:
    """Return the marks after KIS answered about stamps that are still missing.

    `answers`: symbol, session, stamp, settled (the answer shows that there is no bar), gone (why
    KIS could not have it any more, else null). A second answer settles in any case.
    """
    known = marks.join(answers, on=STAMP, how="left")
    asked = pl.col("settled").is_not_null() & (pl.col("state") == "open")
    attempts = pl.col("attempts") + asked.cast(pl.Int64)
    final = asked & (pl.col("settled") | (attempts >= ENOUGH_ATTEMPTS))
    lost = final & pl.col("gone").is_not_null()
    return known.with_columns(
        state=pl.when(lost)
        .then(pl.lit("unavailable"))
        .when(final)
        .then(pl.lit("no_trade"))
        .otherwise("state"),
        reason=pl.when(lost)
        .then("gone")
        .when(final)
        .then(pl.lit(NO_TRADE))
        .when(asked)
        .then(pl.lit(_DOUBTFUL))
        .otherwise("reason"),
        attempts=attempts,
    ).select(list(MARKS))


def apply_reasons(marks: pl.DataFrame, reasons: pl.DataFrame, state: str = "open") -> pl.DataFrame:
    """Return the marks with a new reason (and state) for open stamps: symbol, session, stamp, why.

    `state` unavailable gives stamps up that nobody needs to ask for.
    """
    known = marks.join(reasons.select(*STAMP, "why"), on=STAMP, how="left")
    meant = pl.col("why").is_not_null() & (pl.col("state") == "open")
    return known.with_columns(
        state=pl.when(meant).then(pl.lit(state)).otherwise("state"),
        reason=pl.when(meant).then("why").otherwise("reason"),
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
    """Turn the rows read `before` into those of `after`; `updated_at` makes no row differ.

    Killed in between, rows overlap and no mark is lost. A row is never dated before the one it
    replaces, which the merge would take for old news (a simulated day may be run twice).
    """
    settled = [name for name in ROWS if name != "updated_at"]
    changed = (
        after.join(before, on=settled, how="anti", nulls_equal=True)
        .join(before.select(*_KEY, was="updated_at"), on=_KEY, how="left")
        .with_columns(updated_at=pl.max_horizontal("updated_at", "was"))
    )
    gone = before.join(after, on=_KEY, how="anti")
    if changed.height:
        await store.merge("gaps", schemas.conform(changed, schemas.GAPS))
    if gone.height:
        await store.query(f"SELECT forget_gaps({_arrays(gone)})::text", read_only=False)


def _arrays(keys: pl.DataFrame) -> str:
    kinds = {"symbol": "text", "session": "date", "first_stamp": "timestamp"}
    return ", ".join(f"ARRAY[{literals(keys[name])}]::{kind}[]" for name, kind in kinds.items())
