"""Corporate actions: found where KIS gives a session's bars multiplied by a factor, and confirmed.

Bars that are fetched again after an action come back adjusted; the merge keeps what they replaced.
If one factor explains a whole session, KIS's daily prices, original and adjusted, may confirm it.
What they do not confirm, and what is not one factor, is kept as a doubt and never applied.
"""

from __future__ import annotations

import importlib.resources
import logging
from datetime import date, datetime, timedelta

import polars as pl

from engine import schemas
from engine.errors import KisError, KisKeyRefused
from engine.features.adjustment import explain, steps
from engine.kis import codec
from engine.kis.endpoints.stocks import StockDays
from engine.market.trading_days import rules
from pipelines.history.request import BackfillContext

log = logging.getLogger(__name__)

_SPAN = timedelta(days=130)  # an answer has 100 sessions at most
_BEFORE = timedelta(days=14)  # so that a session before the first one is in it


async def settle_adjustments(context: BackfillContext) -> int:
    """Judge the factors found since the last time; return how many actions are confirmed now.

    Where KIS does not answer, they stay found and are judged the next time. Raises KisKeyRefused,
    StoreError.
    """
    query = importlib.resources.files("sql").joinpath("history/replaced_sessions.sql")
    found = pl.DataFrame(await context.store.query(query.read_text("utf-8")))
    confirmed = 0
    for part in found.partition_by("symbol", maintain_order=True):
        rows = await _judge(context, part)
        confirmed += rows.filter(pl.col("state") == "confirmed").height
        await context.store.merge("adjustments", schemas.conform(rows, schemas.ADJUSTMENTS))
    return confirmed


async def _judge(context: BackfillContext, found: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `adjustments` that the finds of one symbol make."""
    symbol = str(found["symbol"][0])
    now = context.clock.now()
    try:
        known = steps(await _closes(context, symbol, found["session"].min(), now.date()))  # type: ignore[arg-type]
    except KisKeyRefused:
        raise
    except KisError as error:
        log.info("%s: KIS does not confirm an adjustment yet: %s", symbol, error)
        known = None
    rows: dict[date, tuple[float, str, str, date, datetime]] = {}
    for session, factor, kind, replaced, fetched, close in found.select(
        "session", "factor", "kind", "replaced_at", "fetched", "close"
    ).iter_rows():
        since = max(session, fetched)
        told = None if known is None else explain(factor, close, known, since, replaced.date())
        if kind == "adjustment" and told is not None and told.height:
            for effective, exact in told.iter_rows():
                reason = "KIS's daily prices leave the original ones by this factor there"
                rows[effective] = (exact, "confirmed", reason, session, replaced)
            continue
        if kind != "adjustment":
            state, reason = "doubted", "not one factor over the session"
        elif known is None:
            state, reason = "found", "KIS's daily prices are still to be asked"
        else:
            state, reason = "doubted", "KIS's daily prices do not show this factor"
        rows.setdefault(replaced.date(), (factor, state, reason, session, replaced))
    for effective, (factor, state, reason, *_) in rows.items():
        if state == "doubted":
            log.warning(
                "⚠️ %s: prices before %s came back × %.6g, which is not applied: %s",
                symbol,
                effective,
                factor,
                reason,
            )
    names = ["effective", "factor", "state", "reason", "first_seen", "found_at"]
    frame = pl.DataFrame(
        [(effective, *row) for effective, row in rows.items()], schema=names, orient="row"
    )
    return frame.with_columns(symbol=pl.lit(symbol), checked_at=pl.lit(now, pl.Datetime("us")))


async def _closes(context: BackfillContext, symbol: str, first: date, last: date) -> pl.DataFrame:
    """Return session, original, adjusted: KIS's daily closes from before `first` to `last`."""
    begin = max(first - _BEFORE, rules()["first_day"])
    frames = {}
    for original in (False, True):
        parts, until = [], last
        while until >= begin:
            since = max(begin, until - _SPAN)
            question = StockDays(symbol, since, until, original=original)
            answer = await context.client.call(question, priority=context.priority)
            given = codec.columns(answer.rows("output2"), ["stck_bsop_date", "stck_clpr"])
            parts.append(
                given.select(session=codec.day("stck_bsop_date"), close=codec.number("stck_clpr"))
            )
            until = since - timedelta(days=1)
        frames[original] = pl.concat(parts).drop_nulls().unique("session")
    return (
        frames[True]
        .rename({"close": "original"})
        .join(frames[False].rename({"close": "adjusted"}), on="session")
    )
