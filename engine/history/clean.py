"""The quick look at many stocks: in which of their sessions can no check find anything?

Of most sessions nothing is to be said. One pass over the bars in order shows it, for a tenth of
what the checks cost; only the others need them. A session is clean here if each of its bars stands
at an expected time and has possible values, none is far from its neighbours or repeats them, and
the ledger explains exactly the minutes that have no bar. Each condition is stricter than the check
that it stands for (`sql/checks`), never laxer: the session of any finding is not clean, which the
tests see on damaged histories.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import polars as pl

from engine.columns import PRICES, SESSION
from engine.history.completeness import WITHOUT_TRADE
from engine.market.expected import SESSIONS, expected_stamps
from engine.market.sessions import Market, session_dates
from engine.market.trading_days import rules

COUNTS = pl.Schema(
    [*SESSIONS.items(), *((name, pl.Int64()) for name in ("owed", "stored", "no_trade"))]
)
# Between neighbours the checks allow 10 % and more, from one session to the next 30 %.
_STEP, _RISE, _FALL = 1.09, 1.29, 0.71
_AROUND = 5  # bars on each side that a bar is compared with
_DAY = ["number", "session"]  # of a stock
_ENDS = ("first_stamp", "last_stamp")
_TO_MINUTE = 60_000_000  # from microseconds
_NUMBERS = 2**32  # more than minutes since 1970


@dataclass(frozen=True)
class QuickLook:
    """COUNTS of the targets that are clean, and the bars that the checks need for all others."""

    clean: pl.DataFrame
    bars: pl.DataFrame  # of sessions that are not clean, and of those around them


def look_quickly(
    targets: pl.DataFrame, bars: pl.DataFrame, rows: pl.DataFrame, newest: date
) -> QuickLook:
    """Look at the sessions of stocks (symbol, session).

    `bars` (BARS, in any order) are theirs, with the sessions before and after; `rows` are the
    ledger's (`ledger.ROWS`). Sessions until `newest` that are not targets are neighbours alone.
    """
    names = targets["symbol"].unique().sort()
    codes = pl.Enum(names)
    number = pl.col("symbol").cast(codes).to_physical().cast(pl.Int64).alias("number")
    wanted = targets.select(*SESSION, number, is_target=True)
    day = pl.col("timestamp").dt.date().alias("session")
    ordered = bars.with_columns(number, day).drop("symbol").sort("number", "timestamp")
    stamps = _stock_stamps(pl.concat([wanted["session"], ordered["session"].unique()]))
    ours = rows.with_columns(number).join(wanted, on=_DAY, how="semi")
    told = (
        _days_with_bars(ordered, stamps, wanted, newest)
        .join(wanted.select(*_DAY, "is_target"), on=_DAY, how="full", coalesce=True)
        .join(stamps.group_by("session").agg(owed=pl.len()), on="session", how="left")
        .join(_explained(ours, ordered, stamps), on=_DAY, how="left")
        .with_columns(pl.col("stored", "no_trade").fill_null(0))
        .with_columns(pl.col("is_odd", "is_near_odd", "is_odd_row").fill_null(value=False))
        .sort(_DAY)
    )
    unexplained = pl.col("stored") + pl.col("no_trade") != pl.col("owed")
    told = told.with_columns(
        is_clean=~(
            pl.col("is_near_odd") | pl.col("is_odd_row") | (pl.col("is_target") & unexplained)
        ),
        symbol=names.gather(told["number"]),
    )
    needed = bars.with_columns(day).join(_with_neighbours(told), on=SESSION, how="semi")
    clean = told.filter("is_target", "is_clean")
    return QuickLook(
        clean.select(pl.col(n).cast(k) for n, k in COUNTS.items()), needed.drop("session")
    )


def _with_neighbours(told: pl.DataFrame) -> pl.DataFrame:
    """Return symbol, session of those that are not clean, and around each of enough bars.

    A check compares a bar with five before it and five after it.
    """
    is_full = (~pl.col("is_odd") & (pl.col("stored") > _AROUND)).cast(pl.Int64)
    until = is_full.cum_sum()
    before = until - is_full
    following = pl.when(~pl.col("is_clean")).then(before).backward_fill().over("number")
    preceding = pl.when(~pl.col("is_clean")).then(until).forward_fill().over("number")
    needed = (following - until <= 0) | (before - preceding <= 0)
    return told.filter(needed.fill_null(value=False)).select(SESSION)


def _stock_stamps(dates: pl.Series) -> pl.DataFrame:
    """Return session, stamp, index_in_session of all sessions of stocks between the dates."""
    known = dates.filter(dates.is_between(rules()["first_day"], rules()["last_day"]))
    first, last = known.sort().gather([0, -1])
    held = {"session": session_dates(Market.STOCKS, first, last)}
    one = pl.DataFrame({"symbol": "005930", "session": held["session"]}, SESSIONS)
    return expected_stamps(one).drop("symbol")


def _days_with_bars(
    ordered: pl.DataFrame, stamps: pl.DataFrame, wanted: pl.DataFrame, newest: date
) -> pl.DataFrame:
    """Return number, session, stored (bars), is_odd, is_near_odd: a check might find something.

    The sessions beside an odd one are near: bars that cannot be right are nobody's neighbours.
    """
    same = pl.col("number") == pl.col("number").shift(1)
    far = same & (_is_far("high") | _is_far("low"))
    expected = stamps.select(timestamp="stamp", is_expected=True)
    one_moved = pl.col("is_target").is_null() & (
        (pl.col("stored") == 1) | (pl.col("session") > newest)
    )
    days = (
        ordered.lazy()
        .join(expected.lazy(), on="timestamp", how="left", maintain_order="left")
        .with_columns(repeats=_repeats(), far=far.fill_null(value=False))
        .with_columns(
            is_odd=pl.col("is_expected").is_null()
            | ~_has_possible_values()
            | (same & (pl.col("timestamp") == pl.col("timestamp").shift(1)))
            | pl.col("far")
            | pl.col("far").shift(-1)
            | _is_frozen()
        )
        .group_by(_DAY)
        .agg(
            pl.col("is_odd").any(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            stored=pl.len(),
        )
        .sort(_DAY)
        .join(wanted.lazy(), on=_DAY, how="left", maintain_order="left")
        .with_columns(base=pl.when(same).then(pl.col("close").shift(1)))
        .with_columns(
            pl.col("is_odd")
            | one_moved
            | (pl.col("high") > _RISE * pl.col("base")).fill_null(value=False)
            | (pl.col("low") < _FALL * pl.col("base")).fill_null(value=False)
        )
    )
    odd = pl.col("is_odd")
    beside = (odd.shift(n).over("number").fill_null(value=False) for n in (1, -1))
    near = days.with_columns(is_near_odd=pl.any_horizontal(odd, *beside))
    return near.select(*_DAY, "stored", "is_odd", "is_near_odd").collect()


def _has_possible_values() -> pl.Expr:
    """Say whether prices are whole KRW above zero that fit each other, and no volume below it."""
    opened, high, low, close = (pl.col(name) for name in PRICES)
    whole = [((price - price.round()).abs() < 1e-6) for price in (opened, high, low, close)]
    ordered = (low > 0) & (low <= pl.min_horizontal(opened, close))
    return pl.all_horizontal(
        *whole,
        ordered,
        high >= pl.max_horizontal(opened, close),
        high.is_finite(),
        pl.col("volume") >= 0,
        *(pl.col(name).is_not_null() for name in (*PRICES, "volume")),
    )


def _is_far(price: str) -> pl.Expr:
    """Say whether a price is far from that of the bar before."""
    here, before = pl.col(price), pl.col(price).shift(1)
    return (here > _STEP * before) | (before > _STEP * here)


def _repeats() -> pl.Expr:
    """Say whether a bar is like the one before, in the same session."""
    alike = (
        pl.col(name) == pl.col(name).shift(1) for name in ("number", "session", *PRICES, "volume")
    )
    return pl.all_horizontal(*alike).fill_null(value=False)


def _is_frozen() -> pl.Expr:
    """Say whether a bar ends as many repeats as the check counts: two, five of a flat price."""
    ends = pl.col("repeats") & pl.col("repeats").shift(1)
    flat = pl.all_horizontal(ends, *(pl.col("repeats").shift(n) for n in (2, 3, 4)))
    frozen = pl.when(pl.col("high") > pl.col("low")).then(ends).otherwise(flat)
    return frozen.fill_null(value=False)


def _explained(rows: pl.DataFrame, ordered: pl.DataFrame, stamps: pl.DataFrame) -> pl.DataFrame:
    """Return number, session, no_trade (minutes), is_odd_row: the ledger may have to change."""
    index = stamps.select("stamp", index="index_in_session")
    placed = (
        rows.join(index, left_on="first_stamp", right_on="stamp", how="left")
        .join(index, left_on="last_stamp", right_on="stamp", how="left", suffix="_last")
        .sort("number", "first_stamp", "last_stamp")
    )
    keys = ordered.select(_key("timestamp")).to_series()
    begin, end = (placed.select(_key(name)).to_series() for name in ("first_stamp", "last_stamp"))
    bars = keys.search_sorted(end, "right").cast(pl.Int64) - keys.search_sorted(begin, "left")
    is_empty = pl.col("state").is_in(WITHOUT_TRADE)
    overlaps = (pl.col("number") == pl.col("number").shift(1)) & (
        pl.col("first_stamp") <= pl.col("last_stamp").shift(1)
    )
    of_session = [pl.col(name).dt.date() == pl.col("session") for name in _ENDS]
    usual = pl.all_horizontal(
        *of_session,
        pl.col("index_last") >= pl.col("index"),
        ~overlaps.fill_null(value=False),
        (is_empty & (bars == 0)) | (pl.col("state") == "filled"),
    )
    minutes = pl.when(is_empty).then(pl.col("index_last") - pl.col("index") + 1)
    return (
        placed.with_columns(minutes=minutes, is_odd_row=~usual.fill_null(value=False))
        .group_by(_DAY)
        .agg(no_trade=pl.col("minutes").sum(), is_odd_row=pl.col("is_odd_row").any())
    )


def _key(stamp: str) -> pl.Expr:
    """Return one number for a stock and a minute, in the order of both."""
    return pl.col("number") * _NUMBERS + pl.col(stamp).cast(pl.Int64) // _TO_MINUTE
