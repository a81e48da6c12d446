"""What a session's requests prove: gathers what `engine.history.evidence` decides by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import polars as pl

from engine.clock import today
from engine.columns import STAMP, STAMPS
from engine.errors import CalendarRangeError
from engine.history import evidence
from engine.history.queries import read_stamps
from engine.market.sessions import Market, Session, previous_sessions
from engine.market.symbols import Contract, Stock, front_month, parse
from engine.market.trading_days import is_doubtful_night
from engine.store import Store, ledger
from engine.store.listings import is_halted
from pipelines.history.closing_volumes import bars_were_served, told_volumes
from pipelines.history.halts import with_halts
from pipelines.history.request import BackfillContext, RequestResult, why_gone
from pipelines.history.survey import Survey

SpooledBars = pl.DataFrame | None  # symbol, stamp of the bars in the spool; None: cannot be read


async def prove(
    context: BackfillContext,
    results: Sequence[RequestResult],
    found: Survey,
    waiting: SpooledBars,
) -> pl.DataFrame:
    """Return the marks of one session after the results of its requests.

    `waiting` must have been read before `found`: a bar only ever moves from the spool to the table.
    """
    window = results[0].window
    session = parse(window.symbol).session(window.session)
    if session is None or found.missing.is_empty():
        return found.marks
    known = await known_of(context, window.symbol, session, found.stored, waiting)
    pages = [page for result in results if not result.failure for page in result.pages]
    answers = evidence.weigh(pages, session, found.missing, known)
    marks = evidence.apply_answers(found.marks, answers, context.began)
    bars = known.stored.union(*(page.stamps for page in pages))
    marks = await with_halts(context, window.symbol, session, found.marks, marks, bars)
    traded = marks.filter(pl.col("reason") == evidence.TURNOVER)  # a finding stays one
    failures = _failures(results, found.missing).join(traded, on=STAMP, how="anti")
    return ledger.apply_reasons(marks, failures)


async def known_of(
    context: BackfillContext,
    symbol: str,
    session: Session,
    stored: pl.DataFrame,
    waiting: SpooledBars,
) -> evidence.Known:
    """Return what is known of a session of which `stored` (symbol, session, stamp) are stored."""
    stamps = frozenset(_stamps_of(stored, symbol, session.date))
    spooled = None if waiting is None else waiting.filter(pl.col("symbol") == symbol)["stamp"]
    untraded = not stamps and await _is_untraded(context.store, symbol, session)
    return evidence.Known(
        stored=stamps,
        waiting=None if spooled is None else frozenset(spooled.to_list()),
        always_trades=is_front_month(symbol, session.date),
        traded_before=(
            not (stamps or _is_doubtful(session))
            and await _traded_before(context.store, symbol, session)
        ),
        untraded=untraded,
        halted=untraded and await is_halted(context.store, symbol, session.date),
        gone=why_gone(symbol, session.date, today(context.clock)),
    )


async def _is_untraded(store: Store, symbol: str, session: Session) -> bool:
    """Say whether a stock was not traded by KIS's quotation after the close, which is stored.

    And whether that counts: not where KIS had no bars of the day at all.
    """
    if not isinstance(parse(symbol), Stock):
        return False
    told = await told_volumes(store, [symbol], session.date)
    return bool(told["untraded"].any()) and await bars_were_served(store, session.date)


def is_front_month(symbol: str, day: date) -> bool:
    """Say whether a code is its product's front month on the day."""
    parsed = parse(symbol)
    return isinstance(parsed, Contract) and front_month(parsed.product).on(day).code == symbol


def _is_doubtful(session: Session) -> bool:
    """Say whether the symbol may have no trade at all in the session, as in the one before.

    Some nights before holidays are not held. Nextrade takes stocks out for days, and a thin stock
    may not trade in an after-market.
    """
    if session.market in (Market.AFTER, Market.NXT):
        return True
    return session.market is Market.NIGHT and is_doubtful_night(session.date)


async def _traded_before(store: Store, symbol: str, session: Session) -> bool:
    """Say whether a bar of the session before is stored."""
    try:
        (before,) = previous_sessions(session.market, session.date, 1)
    except CalendarRangeError:
        return False
    return (await read_stamps(store, [symbol], before, before)).height > 0


def _stamps_of(stored: pl.DataFrame, symbol: str, day: date) -> list[datetime]:
    of_session = (pl.col("symbol") == symbol) & (pl.col("session") == day)
    stamps: list[datetime] = stored.filter(of_session)["stamp"].to_list()
    return stamps


def _failures(results: Sequence[RequestResult], missing: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session, stamp, why: what is open because KIS did not answer."""
    failures = [STAMPS.to_frame().with_columns(why=pl.lit("", pl.String))]
    failures += [
        missing.filter(
            pl.col("stamp").is_between(result.window.since, result.window.until)
        ).with_columns(why=pl.lit(result.failure))
        for result in results
        if result.failure
    ]
    return pl.concat(failures).unique(STAMP, keep="last", maintain_order=True)
