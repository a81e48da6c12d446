"""Which rows of an answer are bars: finished, owed by the session, possible, each minute once.

A row becomes a bar only if its minute had ended when the question was sent: that leaves out the
running minute, minutes of the future that KIS fills forward, and the row 0 of a minute without a
trade yet, which still has the volume of the minute before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache

import polars as pl

from engine.kis import codec
from engine.market.sessions import Session

PRICES = ["open", "high", "low", "close"]
Limits = tuple[float, float] | None  # lowest and highest price of the day, where known

_REPEATED = "another row of the same minute"
_PHANTOM = "far from the rows around it"
_AROUND = 9  # rows whose median a bar is held against


@dataclass(frozen=True)
class Fields:
    """KIS's names of what a bar needs."""

    open: str
    high: str
    low: str
    close: str
    day: str = "stck_bsop_date"
    hour: str = "stck_cntg_hour"
    volume: str = "cntg_vol"

    def names(self) -> list[str]:
        """Return the fields that a row must have."""
        return [self.day, self.hour, self.open, self.high, self.low, self.close, self.volume]


@dataclass(frozen=True)
class Rules:
    """What a row is judged by. `asked_at`: minutes that ended until then are finished.

    `apart` is how many times the price around it a bar may be (None: any), for prices that a
    market's own limits make impossible.
    """

    session: Session
    as_of: datetime
    limits: Limits = None
    apart: float | None = None


@dataclass(frozen=True)
class Judged:
    """Bars in KIS's order (label, prices, volume), rows to reject (place, reason), and counts."""

    bars: pl.DataFrame
    rejected: pl.DataFrame
    counts: dict[str, int]


def judge(text: pl.DataFrame, fields: Fields, rules: Rules) -> Judged:
    """Divide the rows of an answer (columns of text) into bars and others."""
    session = rules.session
    marked = text.select(*_numbers(fields, session.date)).with_columns(
        session.is_finished(pl.col("label"), rules.as_of).alias("finished"),
        _is_bar(session, rules.limits).alias("good"),
    )
    bars, odd = marked.filter("good", "finished"), _is_odd(marked)
    # Reasons are found among all rows: one check looks at what the others have in common.
    rejected = [_with_reasons(marked, rules).filter(odd)] if odd.any() else []
    if rules.apart and (far := _far(bars, rules.apart)) is not None:
        rejected.append(_because(bars.filter(far), _PHANTOM))
        bars = bars.filter(~far)
    if bars["label"].is_duplicated().any():
        bars, others = _each_once(bars)
        rejected.append(_because(others, _REPEATED))
    before = marked["before"].sum() if len(bars) else 0
    if before:  # KIS goes on into the session before: nothing is wrong with that
        rejected = [part.filter(pl.col("before").not_()) for part in rejected]
    counts = {"rows": len(text), "bars": len(bars), "of the session before": int(before)}
    return Judged(bars, pl.concat(rejected) if rejected else marked.clear(), counts)


# Expressions are the same all day, and cost more to build than to run.


@lru_cache(maxsize=16)
def _numbers(fields: Fields, began: date) -> tuple[pl.Expr, ...]:
    """Return what reads place, date, label (a moment) and numbers of rows, null if unreadable.

    `same_day` is null for an unreadable date, `before` is of a date before the session's.
    """
    # Text compares like the date it is: eight digits, the year first.
    day = pl.col(fields.day).str.extract(r"^\s*([0-9]{8})\s*$")
    return (
        pl.col(codec.ROW),
        (day == f"{began:%Y%m%d}").alias("same_day"),
        (day < f"{began:%Y%m%d}").fill_null(value=False).alias("before"),
        codec.label(fields.hour, began).alias("label"),
        *(codec.number(getattr(fields, price)).alias(price) for price in PRICES),
        codec.whole(fields.volume).alias("volume"),
    )


@lru_cache(maxsize=1024)  # of 13 KB; a day has one for each stock
def _is_bar(session: Session, limits: Limits) -> pl.Expr:
    """Say whether a row is a bar of the session, whatever may still be missing of its minute."""
    bad = pl.any_horizontal(check for check, _ in _checks(session, limits))
    return ~bad.fill_null(value=True)


def _checks(session: Session, limits: Limits) -> Iterator[tuple[pl.Expr, str]]:
    """Yield what makes a row no bar, in the order in which the reason is looked for."""
    highest, lowest = pl.max_horizontal(PRICES), pl.min_horizontal(PRICES)
    label = pl.col("label")
    yield pl.col("same_day").is_null(), "date cannot be read"
    yield ~pl.col("same_day"), "another date"
    yield label.is_null(), "time cannot be read"
    yield label.dt.second() != 0, "not a full minute"
    yield ~session.is_label(label), "outside the session"
    for name in [*PRICES, "volume"]:
        yield pl.col(name).is_null(), f"{name} cannot be read"
    yield lowest <= 0, "price not above zero"
    yield (pl.col("high") != highest) | (pl.col("low") != lowest), "open, high, low, close differ"
    yield pl.col("volume") < 0, "volume below zero"
    if limits:
        # The limits hold only if the market itself is within them: not on the first day of a
        # new stock, nor for the funds whose limit is twice as wide.
        typical = pl.col("close").median().is_between(*limits)
        yield typical & ((lowest < limits[0]) | (highest > limits[1])), "beyond the price limit"


def _is_odd(marked: pl.DataFrame) -> pl.Series:
    """Say which rows are no bar, those of unfinished minutes aside: they will be one day."""
    unfinished = (~marked["finished"] & marked["same_day"]).fill_null(value=False)
    return ~marked["good"] & ~unfinished


def _with_reasons(marked: pl.DataFrame, rules: Rules) -> pl.DataFrame:
    return marked.with_columns(codec.first_reason(*_checks(rules.session, rules.limits)))


def _because(rows: pl.DataFrame, reason: str) -> pl.DataFrame:
    return rows.with_columns(pl.lit(reason).alias(codec.REASON))


def _far(bars: pl.DataFrame, apart: float) -> pl.Series | None:
    """Say which bars are wholly away from what the rows around them share; None: none is.

    A market that moves takes the median with it; a row that KIS made up stands alone.
    """
    lowest, highest = bars["low"].min(), bars["high"].max()
    if not isinstance(lowest, float) or not isinstance(highest, float) or highest <= lowest * apart:
        return None
    around = pl.col("close").rolling_median(_AROUND, min_samples=1, center=True)
    alone = (pl.col("low") > around * apart) | (pl.col("high") < around / apart)
    return bars.select(alone.alias("far"))["far"]


def _each_once(bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return each minute once, and the rows that say something else about a minute.

    KIS lists the newest first, so the first of two rows that differ is the one it made last.
    """
    first = bars.unique("label", keep="first", maintain_order=True)
    others = bars.join(first, on=["label", *PRICES, "volume"], how="anti")
    return first, others
