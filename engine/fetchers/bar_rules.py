"""Which rows of an answer are bars: finished, expected, possible, each minute once.

A row becomes a bar only if its minute had ended when the question was sent: that leaves out the
running minute, minutes of the future that KIS fills forward, and the row 0 of a minute without a
trade yet, which still has the volume of the minute before (docs/kis.md#stock-minute-bars).

No belief about a price, a limit or a jump keeps out a row that KIS gives twice for its minute. A
row beyond a price limit is a bar at once. A row wholly apart from those around it, like the phantom
bars that KIS has been seen to give, waits until a second answer has it as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import polars as pl

from engine.columns import PRICES
from engine.kis import codec
from engine.market.sessions import Session
from engine.market.venues import regular_session

VALUES = ("label", *PRICES, "volume")  # what a bar consists of

ANOTHER_DATE = "another date"
OUTSIDE = "outside the session"
REPEATED = "another row of the same minute"
APART = "far from the rows around it: a bar once KIS gives it again"
_NEIGHBOURS = 9  # rows whose median a bar is compared with


@dataclass(frozen=True)
class Fields:
    """KIS's names of the fields that a bar is read from."""

    open: str
    high: str
    low: str
    close: str
    day: str = "stck_bsop_date"
    hour: str = "stck_cntg_hour"
    volume: str = "cntg_vol"
    turnover: str = "acml_tr_pbmn"  # of the session so far; a row is a bar without it, too

    def names(self) -> list[str]:
        """Return the fields of a row that are read."""
        prices = [self.open, self.high, self.low, self.close]
        return [self.day, self.hour, *prices, self.volume, self.turnover]


@dataclass(frozen=True)
class Rules:
    """What decides whether a row is a bar. Minutes that ended until `as_of` are finished.

    A bar that is more than `max_price_ratio` times the price around it, or less by that ratio, has
    to be given twice (None: no bar has to); `given` are such rows (VALUES) of earlier answers.
    `day_before`: an answer may have rows of the session before alone, which are then no fault.
    """

    session: Session
    as_of: datetime
    max_price_ratio: float | None = None
    given: pl.DataFrame | None = None
    day_before: bool = False


@dataclass(frozen=True)
class SplitRows:
    """Bars in KIS's order, rows to reject (ROW, REASON), and counts.

    A bar has VALUES and `turnover`: the session's so far in KIS's unit, null if it cannot be read.
    `waiting` are rejected rows far from the others, which become bars if they are given again;
    `confirmed` are bars that were given again. `goes_back`: there are rows of the session before;
    `in_order`: none of the session itself comes after these.
    """

    bars: pl.DataFrame
    rejected: pl.DataFrame
    waiting: pl.DataFrame
    confirmed: pl.DataFrame
    counts: dict[str, int]
    goes_back: bool = False
    in_order: bool = True


def split_rows(texts: pl.DataFrame, fields: Fields, rules: Rules) -> SplitRows:
    """Divide the rows of an answer (columns of text, and ROW) into bars and others."""
    session = rules.session
    # Here and below column by column in this thread: an answer has so few rows that to hand them to
    # Polars' pool costs as much as the work.
    rows = texts.select_seq(*_read(fields, session))
    good = rows.select_seq(_is_bar(session).alias("good"))["good"]
    finished = session.is_finished(rows["label"], rules.as_of)
    bars = rows.filter(good & finished)
    rejected = []
    if not good.all() and (wrong := _is_wrong(rows, good, finished)).any():
        rejected.append(_with_reasons(rows.filter(wrong), session))
    waiting = bars.clear()
    confirmed = bars.clear()
    if (apart := _stand_apart(bars, rules.max_price_ratio)) is not None:
        odd = bars.filter(apart)
        near = bars.filter(~apart)
        confirmed, waiting = _given_again(odd, near, rules.given)
        bars = pl.concat([near, confirmed]).sort(codec.ROW)
        others = odd.join(confirmed, on=codec.ROW, how="anti")
        rejected.append(others.with_columns(_reason(APART)))
    if bars["label"].n_unique() < len(bars):
        bars, others = _each_minute_once(bars)
        rejected.append(others.with_columns(_reason(REPEATED)))
    goes_back = bool(rows["before"].any())
    before = rows["before"].sum() if len(bars) or rules.day_before else 0
    if before:  # KIS goes on into the session before: nothing is wrong with that
        rejected = [part.filter(pl.col("before").not_()) for part in rejected]
    counts = {"rows": len(texts), "bars": len(bars), "of the session before": int(before)}
    return SplitRows(
        bars,
        pl.concat(rejected) if rejected else rows.clear(),
        waiting,
        confirmed,
        counts,
        goes_back,
        not goes_back or rows["before"].is_sorted(),
    )


# These expressions are the same all day, and cost more to build than to run.


@lru_cache(maxsize=16)
def _read(fields: Fields, session: Session) -> tuple[pl.Expr, ...]:
    """Return ROW, date checks, label (a datetime), prices, volume and turnover; null if unreadable.

    `same_day` is null for an unreadable date; `before` says that a row is of a session before: of
    an earlier date, or of KRX's regular session where its after-market is asked for.
    """
    began, earlier = session.date, regular_session(session)
    # Text compares like the date it is: eight digits, the year first.
    day = pl.col(fields.day).str.extract(r"^\s*([0-9]{8})\s*$")
    label = codec.label(fields.hour, began)
    before = day < f"{began:%Y%m%d}"
    if earlier is not None:
        before = before | ((day == f"{began:%Y%m%d}") & earlier.is_label(label))
    return (
        pl.col(codec.ROW),
        (day == f"{began:%Y%m%d}").alias("same_day"),
        before.fill_null(value=False).alias("before"),
        label.alias("label"),
        *(codec.number(getattr(fields, price)).alias(price) for price in PRICES),
        codec.whole(fields.volume).alias("volume"),
        codec.number(fields.turnover).alias("turnover"),
    )


@lru_cache(maxsize=16)
def _is_bar(session: Session) -> pl.Expr:
    """Say whether a row is a bar of the session, even if its minute has not ended."""
    bad = pl.any_horizontal(check for check, _ in _checks(session))
    return ~bad.fill_null(value=True)


def _checks(session: Session) -> Iterator[tuple[pl.Expr, str]]:
    """Yield checks with the reason that each gives against a row; the first that is true counts."""
    highest = pl.max_horizontal(PRICES)
    lowest = pl.min_horizontal(PRICES)
    label = pl.col("label")
    yield pl.col("same_day").is_null(), "date cannot be read"
    yield ~pl.col("same_day"), ANOTHER_DATE
    yield label.is_null(), "time cannot be read"
    yield label.dt.second() != 0, "not a full minute"
    yield ~session.is_label(label), OUTSIDE
    for name in [*PRICES, "volume"]:
        yield pl.col(name).is_null(), f"{name} cannot be read"
    yield lowest <= 0, "price not above zero"
    yield (pl.col("high") != highest) | (pl.col("low") != lowest), "open, high, low, close differ"
    yield pl.col("volume") < 0, "volume below zero"


def _is_wrong(rows: pl.DataFrame, good: pl.Series, finished: pl.Series) -> pl.Series:
    """Say which rows are not bars, except those of unfinished minutes: they may become bars.

    Nor those of KRX's regular session in an answer about its after-market: they are stored
    elsewhere.
    """
    unfinished = (~finished & rows["same_day"]).fill_null(value=False)
    return ~good & ~unfinished & ~(rows["before"] & rows["same_day"])


def _with_reasons(rows: pl.DataFrame, session: Session) -> pl.DataFrame:
    return rows.with_columns(codec.first_reason(*_checks(session)))


def _reason(text: str) -> pl.Expr:
    return pl.lit(text).alias(codec.REASON)


def _stand_apart(bars: pl.DataFrame, max_price_ratio: float | None) -> pl.Series | None:
    """Say which bars lie wholly apart from the median of the rows around; None if no bar does.

    A market that moves takes the median with it; a row that KIS made up stands alone.
    """
    if max_price_ratio is None:
        return None
    lowest, highest = bars["low"].min(), bars["high"].max()
    if not isinstance(lowest, float) or not isinstance(highest, float):  # there are no bars
        return None
    if highest <= lowest * max_price_ratio:
        return None
    around = pl.col("close").rolling_median(_NEIGHBOURS, min_samples=1, center=True)
    above = pl.col("low") > around * max_price_ratio
    below = pl.col("high") < around / max_price_ratio
    return bars.select((above | below).alias("apart"))["apart"]


def _given_again(
    odd: pl.DataFrame, near: pl.DataFrame, given: pl.DataFrame | None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the odd rows that an earlier answer had, too, and those that wait for another answer.

    A row is in neither if the same answer has another row of its minute that is not odd: that one
    is the bar.
    """
    alone = odd.join(near, on="label", how="anti", maintain_order="left")
    if given is None:
        return alone.clear(), alone
    confirmed = alone.join(given, on=list(VALUES), how="semi", maintain_order="left")
    return confirmed, alone.join(confirmed, on="label", how="anti", maintain_order="left")


def _each_minute_once(bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return each minute once, and the rows that differ from the one kept for their minute.

    KIS lists the newest first, so the first of two rows that differ is the one it made last.
    """
    first = bars.unique("label", keep="first", maintain_order=True)
    others = bars.join(first, on=["label", *PRICES, "volume"], how="anti")
    return first, others
