"""How complete sessions are: the only place that says which minutes are missing, and why.

Summary, terminal view, `just status`, the page, `just validate` and the coverage map ask it, so
that a word means the same in all of them. An expected minute (a bar, or a snapshot of an option
chain) is in one of these states:

    stored       it is there
    open         it is missing, and KIS may still have it
    unavailable  it is missing: KIS no longer keeps it, or never did (option chains)
    refused      it is missing: KIS gave a row that cannot be a bar
    no_trade     it is proven that KIS has none: nothing was traded, nothing is missing
    halted       the same, and KIS said that trading was halted then: nothing is missing

A session is complete when none of its minutes is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import polars as pl

from engine.columns import SESSION, STAMP, STAMPS
from engine.history.queries import read_stamps
from engine.market.expected import EXPECTED_STAMPS, SESSIONS, expected_stamps
from engine.market.symbols import parse
from engine.market.told_once import STREAMS, ToldOnce
from engine.store import Store, ledger
from engine.store.identifiers import literal

LOST = ("unavailable", "refused")
MISSING = ("open", *LOST)
WITHOUT_TRADE = ("no_trade", "halted")
SETTLED = (*LOST, *WITHOUT_TRADE)  # the ledger has a reason for it, beyond not having asked
COUNTS = ("expected", "stored", "missing", *MISSING, "no_trade")

# A minute is not missing before the polls for it are over.
GRACE = timedelta(minutes=1)
_LONGEST_SESSION = timedelta(days=2)

MINUTES = pl.Schema([*EXPECTED_STAMPS.items(), ("state", pl.String()), ("reason", pl.String())])
FIGURES = pl.Schema([*SESSIONS.items(), *((name, pl.Int64()) for name in COUNTS)])
REASONS = pl.Schema([("state", pl.String()), ("reason", pl.String()), ("minutes", pl.Int64())])
RUNS = pl.Schema(
    [
        *SESSIONS.items(),
        ("first_stamp", pl.Datetime("us")),
        ("last_stamp", pl.Datetime("us")),
        ("stamps", pl.Int64()),
        ("state", pl.String()),
        ("reason", pl.String()),
    ]
)


def minutes_until(
    now: datetime, sessions: pl.DataFrame, stored: pl.DataFrame, rows: pl.DataFrame
) -> pl.DataFrame:
    """Return MINUTES: what became by now of each minute of the sessions (symbol, session).

    `stored` has symbol and stamp of what is there, `rows` are the ledger's (`ledger.ROWS`). A
    minute counts as soon as it is stored, and at the latest GRACE after its end. What is stored of
    minutes after now does not count: a day may be played again.
    """
    so_far = expected_stamps(sessions).filter(pl.col("stamp") <= now)
    there = stored.select("symbol", "stamp").unique().with_columns(is_stored=pl.lit(value=True))
    marks = ledger.marks_from_rows(rows, so_far).select(*STAMP, "state", "reason")
    young = _young_auctions(sessions, now).with_columns(young_auction=pl.lit(value=True))
    known = (
        so_far.join(there, on=["symbol", "stamp"], how="left")
        .join(marks, on=STAMP, how="left")
        .join(young, on=STAMP, how="left")
        .with_columns(pl.col("is_stored", "young_auction").fill_null(value=False))
    )
    is_young = (pl.col("stamp") > now - GRACE) | pl.col("young_auction")
    lost = pl.col("stamp") + _reach(so_far) < now
    settled = pl.col("state").is_in(SETTLED)
    explained = ~pl.col("is_stored") & (settled | (pl.col("state") == "open"))
    return (
        known.filter(pl.col("is_stored") | ~is_young)
        .with_columns(
            state=pl.when("is_stored")
            .then(pl.lit("stored"))
            .when(settled)
            .then("state")
            .when(lost)
            .then(pl.lit("unavailable"))
            .otherwise(pl.lit("open")),
            reason=pl.when(explained & ~lost.fill_null(value=False))
            .then("reason")
            .when(~pl.col("is_stored") & lost)
            .then(why_lost()),
        )
        .select(pl.col(name).cast(kind) for name, kind in MINUTES.items())
        .sort(STAMP)
    )


def _reach(stamps: pl.DataFrame) -> pl.Expr:
    """Return how long a missing minute of what is told once may still come; null for all else."""
    reaches = {
        code: found.reach
        for code in stamps["symbol"].unique()
        if isinstance(found := parse(code), ToldOnce)
    }
    return pl.col("symbol").replace_strict(
        list(reaches), list(reaches.values()), default=None, return_dtype=pl.Duration("us")
    )


def lost_stamps(marks: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return symbol, session, stamp, why of open marks that no answer can bring any more.

    Those are minutes of what KIS tells only once, beyond the reach of its answers.
    """
    return marks.filter(pl.col("state") == "open", pl.col("stamp") + _reach(marks) < now).select(
        *STAMP, why=why_lost()
    )


def why_lost() -> pl.Expr:
    """Return why a minute that is told once is lost: what was noted at its time, if anything."""
    reason = pl.col("reason")
    unknown = reason.is_null() | reason.is_in([ledger.NOT_COLLECTED, ledger.ASKED_AGAIN])
    fed = pl.any_horizontal(
        pl.col("symbol").str.starts_with(stream.prefix)
        for stream in STREAMS.values()
        if stream.origin == "feed"
    )
    generic = pl.when(fed).then(pl.lit(ledger.NOT_FED)).otherwise(pl.lit(ledger.TOLD_ONCE))
    return pl.when(unknown).then(generic).otherwise(reason)


def _young_auctions(sessions: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return symbol, session, stamp of the auctions that are not due; their minute comes after."""
    recent = sessions.filter(pl.col("session") >= (now - _LONGEST_SESSION).date())
    young = [
        (symbol, day, found.auction)
        for symbol, day in recent.select(SESSION).iter_rows()
        if (found := parse(symbol).session(day))
        and found.auction is not None
        and found.finished_at(found.auction) > now - GRACE
    ]
    return pl.DataFrame(young, STAMPS, orient="row")


def figures(minutes: pl.DataFrame) -> pl.DataFrame:
    """Return FIGURES: how many of the MINUTES of each session are in each state.

    expected = stored + missing + no_trade, and missing = open + unavailable + refused.
    """
    state = pl.col("state")
    return (
        minutes.group_by(SESSION)
        .agg(
            expected=pl.len(),
            stored=(state == "stored").sum(),
            missing=state.is_in(MISSING).sum(),
            no_trade=state.is_in(WITHOUT_TRADE).sum(),
            **{name: (state == name).sum() for name in MISSING},
        )
        .select(pl.col(name).cast(kind) for name, kind in FIGURES.items())
        .sort(SESSION)
    )


def reasons(minutes: pl.DataFrame) -> pl.DataFrame:
    """Return REASONS: why minutes are missing, and how many for each reason, most first."""
    return (
        minutes.filter(pl.col("state").is_in(MISSING))
        .with_columns(pl.col("reason").fill_null(ledger.NOT_COLLECTED))
        .group_by("state", "reason")
        .agg(minutes=pl.len())
        .select(pl.col(name).cast(kind) for name, kind in REASONS.items())
        .sort("minutes", "state", "reason", descending=[True, False, False])
    )


def gap_runs(minutes: pl.DataFrame) -> pl.DataFrame:
    """Return RUNS: neighbouring minutes that are not stored, of one state and reason each.

    The newest session comes first.
    """
    alike = [*SESSION, "state", "reason"]
    run = pl.col("index_in_session") - pl.int_range(pl.len()).over(alike)
    return (
        minutes.filter(pl.col("state") != "stored")
        .with_columns(pl.col("reason").fill_null(ledger.NOT_COLLECTED))
        .sort(STAMP)
        .with_columns(run=run)
        .group_by(*alike, "run")
        .agg(first_stamp=pl.col("stamp").min(), last_stamp=pl.col("stamp").max(), stamps=pl.len())
        .select(pl.col(name).cast(kind) for name, kind in RUNS.items())
        .sort("session", "symbol", "first_stamp", descending=[True, False, False])
    )


def ledger_query(first: date, last: date) -> str:
    """Return the query for the ledger's rows of all symbols in sessions from first to last."""
    columns = ", ".join(ledger.ROWS)
    span = f"{literal(first)} AND {literal(last)}"
    return f"SELECT {columns} FROM gaps WHERE session BETWEEN {span}"  # noqa: S608 - quoted


async def read_minutes(
    store: Store, symbols: Sequence[str], day: date, now: datetime
) -> pl.DataFrame:
    """Return MINUTES of the symbols' sessions on a day, as the database has them."""
    pairs = [(symbol, day) for symbol in symbols]
    stored = await read_stamps(store, symbols, day, day)
    rows = await ledger.read(store, list(symbols), day, day)
    return minutes_until(now, pl.DataFrame(pairs, SESSIONS, orient="row"), stored, rows)
