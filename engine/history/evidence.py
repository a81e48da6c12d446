"""What settles a missing minute, and what never does: the only place that says so.

In words: docs/reliability.md#what-settles-a-minute. One answer of KIS is a `Page`; what a page says
about a missing stamp that lies within it is one of these:

    HELD      its bar is in the answer, or waits in the spool: it is not missing
    REFUSED   its row is there and cannot be a bar; the row's reason
    DOUBTED   its row is there and stands far from the others: a bar once KIS gives it again
    LEFT_OUT  the page shows bars before and after it, and its turnover says that there is one more
    PROVEN    the page shows bars before and after it, nothing that was refused, and its turnover
              says that nothing was traded between the two (`engine.history.turnover`); or it shows
              no bar of a stock of which KIS's quotation says that it was not traded on the day
    BETWEEN   the page shows bars before and after it: one of the two answers that are needed
    ONCE      the page shows nothing at it: the same, and weaker about what was refused
    NOTHING   the page proves nothing; why

`weigh` makes the sentence of a request out of its pages, `apply_answers` the new marks.
`apply_day_volumes` settles a stock by what was traded on its day.
`judge_odd_bars` says by the same rule which stored bars KIS does not have.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from engine.columns import STAMP, TIME
from engine.fetchers.pages import Page
from engine.history.turnover import judge_holes
from engine.kis.skew import AGREE
from engine.market.sessions import Session
from engine.store import ledger

HOURS_APART = timedelta(hours=2)  # between two answers that are to count as two, by KIS's clock
HELD, REFUSED, DOUBTED, LEFT_OUT = "held", "refused", "doubted", "left out"
PROVEN, BETWEEN, ONCE, NOTHING = "proven", "between", "once", "nothing"
_LESS = [DOUBTED, ONCE, NOTHING]  # beside a turnover that says that there is a bar
# The first that a page says counts.
_ORDER = [HELD, REFUSED, DOUBTED, LEFT_OUT, PROVEN, BETWEEN, ONCE, NOTHING]

NO_TRADE = "KIS has no bar there"
WHOLE_VOLUME = "the stored bars have all that was traded on the day by KIS"
DOUBTFUL = "KIS's answer showed nothing around it; to be asked again two hours later or more"
UNPROVEN = (
    "KIS's answer has bars around it, and no turnover proves that nothing traded between them;"
    " to be asked again two hours later or more"
)
TURNOVER = "KIS's turnover says that it traded, but KIS's answer lacks the bar"
WAITING = "the bar waits in the spool for the database"
UNKNOWN_SPOOL = "the spool cannot be read, and the bar may wait in it"
UNSEALED = "KIS's answer about the session was not final"
CLOCKS = "the clocks of KIS and of this machine differ too much to prove anything"
UNREADABLE = "KIS's answer had rows that cannot be read"
ODD = "KIS's answer had a row that stands far from the others, and did not have it again"
LACKING = "KIS's answer lacks bars that it gave before"
BESIDE_REFUSED = "KIS's answer had rows that cannot be bars; to be asked again two hours later"
FRONT_MONTH = "a front month trades: without bars on both sides an answer proves nothing"
TRADED = "it traded the session before: an answer without a single bar proves nothing"

ANSWERS = pl.Schema(
    [
        ("symbol", pl.String()),
        ("session", pl.Date()),
        ("stamp", TIME),
        ("says", pl.String()),  # one of the words above
        ("answered_at", TIME),  # by KIS's clock
        ("why", pl.String()),  # the reason, for the ledger; null where KIS has no bar
        ("gone", pl.String()),  # why KIS cannot have the bar any more, else null
    ]
)

HALVES = pl.Schema({name: ANSWERS[name] for name in (*STAMP, "answered_at")})


@dataclass(frozen=True)
class Known:
    """What is known of a session beside the answers.

    `stored` and `waiting` are stamps: of bars in the table, and of bars that wait in a spool (None:
    it cannot be read). `always_trades`: a front month, no minute of which is empty but between
    bars. `traded_before`: it has bars of the session before. `untraded`: KIS's quotation after the
    close says that no price was made on the day, while KIS's bars of that day were there of others.
    `halted`: the day's master file says so. `gone`: why KIS may have dropped it.
    """

    stored: frozenset[datetime] = frozenset()
    waiting: frozenset[datetime] | None = frozenset()
    always_trades: bool = False
    traded_before: bool = False
    untraded: bool = False
    halted: bool = False
    gone: str | None = None


def weigh(
    pages: Iterable[Page], session: Session, missing: pl.DataFrame, known: Known
) -> pl.DataFrame:
    """Return ANSWERS: what the pages say about missing stamps (STAMPS) of one session.

    Of several pages the strongest word counts: no page makes a bar absent that another one has.
    """
    said = [pl.DataFrame(schema=ANSWERS)]
    said += [judge(page, session, missing, known) for page in pages]
    rank = pl.col("says").replace_strict(_ORDER, list(range(len(_ORDER))), return_dtype=pl.Int64)
    return (
        pl.concat(said)
        .sort(rank, maintain_order=True)
        .unique(STAMP, keep="first", maintain_order=True)
        .with_columns(pl.col("answered_at").max())  # a session's marks stay few rows
        .sort(STAMP)
    )


def judge(page: Page, session: Session, missing: pl.DataFrame, known: Known) -> pl.DataFrame:
    """Return ANSWERS: what one page says about the missing stamps (STAMPS) that it covers."""
    oldest = _reaches_to(page, session)
    if oldest is None:
        return pl.DataFrame(schema=ANSWERS)
    doubt = _doubt(page, session, oldest, known)
    between = _is_between_bars(page)
    says, why = _lesser(page, known)
    if doubt is not None:
        between, says, why = pl.lit(value=False), NOTHING, doubt
    clean = between & page.is_clean
    held = pl.col("stamp").is_in(_series([*page.stamps, *(known.waiting or ())]).implode())
    is_final = page.clocks_agree and page.as_of >= session.sealed_at
    refused = pl.col("reason").is_not_null() & is_final
    odd = pl.col("stamp").is_in(_series([*page.odd]).implode())
    words = [
        (held, HELD, WAITING),
        (odd, DOUBTED, ODD),
        (clean & pl.col("traded"), LEFT_OUT, TURNOVER),
        (clean & ~pl.col("traded"), PROVEN, None),
        (clean, BETWEEN, UNPROVEN),
        (between, ONCE, BESIDE_REFUSED),
        (pl.lit(value=True), says, why),
    ]
    chain: Any = pl.when(refused & ~held).then(pl.struct(says=pl.lit(REFUSED), why="reason"))
    for when, word, reason in words:
        chain = chain.when(when).then(pl.struct(says=pl.lit(word), why=pl.lit(reason, pl.String)))
    return (
        missing.filter(pl.col("stamp").is_between(oldest, page.newest))
        .sort("stamp")
        .join_asof(
            judge_holes(page, session), left_on="stamp", right_on="after", strategy="forward"
        )
        .join(_refused_rows(page), on="stamp", how="left", maintain_order="left")
        .select(
            *STAMP,
            chain.alias("verdict"),
            answered_at=pl.lit(page.as_of, TIME),
            gone=pl.lit(None if page.stamps else known.gone, pl.String),
        )
        .unnest("verdict")
        .select(pl.col(name).cast(kind) for name, kind in ANSWERS.items())
    )


def _refused_rows(page: Page) -> pl.DataFrame:
    return pl.DataFrame(
        list(page.refused.items()), {"stamp": TIME, "reason": pl.String()}, orient="row"
    )


def _series(stamps: list[datetime]) -> pl.Series:
    return pl.Series(stamps, dtype=TIME)


def _reaches_to(page: Page, session: Session) -> datetime | None:
    """Return the oldest stamp that the page is about; None if it is about none."""
    if not page.is_full or page.goes_back or not page.readable:
        return session.first_stamp
    known = [*page.stamps, *page.refused, *page.odd]
    return min(known) if known else None


def _doubt(page: Page, session: Session, oldest: datetime, known: Known) -> str | None:
    """Return why the page proves nothing about any minute that it lacks; None if it may."""
    if not page.clocks_agree:
        return CLOCKS
    if page.as_of < session.sealed_at:
        return UNSEALED
    if known.waiting is None:
        return UNKNOWN_SPOOL
    if not page.readable:
        return UNREADABLE
    if page.odd:
        return ODD
    # Without a single bar it may still be right, if the stored ones are all newer: the next plan
    # then asks from the first stored bar on, which a right answer shows.
    upto = page.newest if page.stamps else session.last_stamp
    given = known.stored | known.waiting
    expected = {stamp for stamp in given if oldest <= stamp <= upto}
    return LACKING if expected - {*page.stamps, *page.refused} else None


def _is_between_bars(page: Page) -> pl.Expr:
    """Say which stamps have bars on both sides; rows of the session before are one side."""
    if not page.stamps:
        return pl.lit(value=False)
    before_newest = pl.col("stamp") < page.stamps[-1]
    return before_newest if page.goes_back else before_newest & (pl.col("stamp") > page.stamps[0])


def _lesser(page: Page, known: Known) -> tuple[str, str | None]:
    """Return what the page says about minutes that have no bars on both sides, and why."""
    if page.refused:
        return NOTHING, BESIDE_REFUSED
    none = not (known.stored or page.stamps or known.waiting)
    # KIS also answers with no row at all where it has nothing to say: that agrees with nothing.
    if none and known.untraded and (page.goes_back or known.halted):
        return PROVEN, None
    if known.gone and not page.stamps:  # nobody trades a contract that has expired
        return ONCE, DOUBTFUL
    if known.always_trades:
        return NOTHING, FRONT_MONTH
    if none and known.traded_before:
        return NOTHING, TRADED
    return ONCE, DOUBTFUL


def apply_answers(marks: pl.DataFrame, answers: pl.DataFrame, began: datetime) -> pl.DataFrame:
    """Return the marks (ledger.MARKS) after ANSWERS about stamps that are still missing.

    `began`: when this run began. What an answer showed nothing of is settled by a second one, of
    another run and HOURS_APART from the first by KIS's clock; a refused row is overruled by such an
    answer that shows bars around its minute. Of what traded by the turnover no answer of before
    counts any more, nor one that shows less, as that of a call that ends at the hole.
    """
    known = marks.join(
        answers.rename({"answered_at": "said_at", "why": "said"}), on=STAMP, how="left"
    )
    is_open, is_refused = pl.col("state") == "open", pl.col("state") == "refused"
    says = pl.when(is_open | is_refused).then("says")  # what is settled stays so
    traded = is_open & pl.col("reason").eq_missing(pl.lit(TURNOVER))
    says = pl.when(~(traded & says.is_in(_LESS))).then(says)
    first = pl.col("answered_at").is_null()
    second = (pl.col("said_at") - pl.col("answered_at") >= HOURS_APART) & (
        pl.col("answered_at") < began - AGREE
    )
    second = second.fill_null(value=False)
    half = says.is_in([BETWEEN, ONCE])
    final = (is_open & (says == PROVEN)) | (is_open & half & second)
    final = final | (is_refused & says.is_in([PROVEN, BETWEEN]) & second)
    lost = final & pl.col("gone").is_not_null()
    refused = says == REFUSED
    counted = final | refused | (is_open & half & first)
    told = is_open & says.is_not_null()
    left_out = (is_open & (says == LEFT_OUT)).fill_null(value=False)
    return known.with_columns(
        state=pl.when(lost)
        .then(pl.lit("unavailable"))
        .when(final)
        .then(pl.lit("no_trade"))
        .when(refused)
        .then(pl.lit("refused"))
        .otherwise("state"),
        reason=pl.when(lost)
        .then("gone")
        .when(final)
        .then(pl.lit(NO_TRADE))
        .when(refused | told)
        .then(pl.coalesce("said", "reason"))
        .otherwise("reason"),
        attempts=pl.col("attempts") + counted.fill_null(value=False).cast(pl.Int64),
        answered_at=pl.when(counted).then("said_at").when(~left_out).then("answered_at"),
    ).select(list(ledger.MARKS))


def apply_day_volumes(marks: pl.DataFrame, complete: Sequence[str]) -> pl.DataFrame:
    """Return the marks (ledger.MARKS) with the open minutes of stocks settled that are complete.

    Of a complete stock the stored bars have together the volume that KIS gave, after the close, for
    the whole day, and it is not 0. Then nothing was traded in any other minute.
    """
    proven = (pl.col("state") == "open") & pl.col("symbol").is_in(complete)
    return marks.with_columns(
        state=pl.when(proven).then(pl.lit("no_trade")).otherwise("state"),
        reason=pl.when(proven).then(pl.lit(WHOLE_VOLUME)).otherwise("reason"),
        attempts=pl.col("attempts") + proven.cast(pl.Int64),
    )


def judge_odd_bars(
    answers: pl.DataFrame, earlier: pl.DataFrame, began: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return which stored odd bars KIS does not have (STAMPS), and halves of such a proof (HALVES).

    `answers` (ANSWERS) are about their stamps, `earlier` are the halves of runs before. It takes
    what makes a minute `no_trade`, but always bars on both sides.
    """
    absent = pl.col("says") == PROVEN
    half = pl.col("says") == BETWEEN
    known = answers.join(earlier.rename({"answered_at": "first"}), on=STAMP, how="left")
    second = (pl.col("answered_at") - pl.col("first") >= HOURS_APART) & (
        pl.col("first") < began - AGREE
    )
    second = second.fill_null(value=False)
    new = known.filter(half, pl.col("first").is_null())
    return known.filter(absent | (half & second)).select(STAMP), new.select(list(HALVES))


def asked_in_run(marks: pl.DataFrame, began: datetime) -> pl.DataFrame:
    """Return the marks about which an answer of the run that began then has counted already."""
    return marks.filter(pl.col("answered_at") >= began - AGREE)
