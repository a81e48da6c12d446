"""What one answer showed of a session beside its bars, as evidence about the minutes it lacks.

`engine.history.evidence` says what a page proves; this module only reads it off the answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import polars as pl

from engine.fetchers.bar_rules import ANOTHER_DATE, APART, OUTSIDE, REPEATED, SplitRows
from engine.kis import codec
from engine.kis.answer import Answer
from engine.market.sessions import Session
from engine.market.symbols import Contract, Night, Option, parse


class Turnover(NamedTuple):
    """What a row says about money, in KIS's unit (docs/kis.md#turnover).

    `so_far` is the session's turnover up to the end of the bar; `least` and `most` bound that of
    the bar alone (its volume at its low and at its high); `one` is that of one share or contract at
    its low.
    """

    so_far: float
    least: float
    most: float
    one: float


@dataclass(frozen=True)
class Page:
    """One answer about the minutes up to `newest` (the stamp that was asked for).

    `as_of` is KIS's time, as far as it is known. `stamps` are those of the answer's bars,
    ascending; `turnovers` are what their rows say about money, where that can be read. `refused`
    are stamps of minutes whose row cannot be a bar, with the reason; `odd` those of minutes whose
    row waits for a second answer. `readable` is false if a row might belong to any minute.
    `is_full`: it has as many rows as an answer can have. `goes_back`: it has rows of the session
    before.
    """

    newest: datetime
    as_of: datetime
    clocks_agree: bool = True
    stamps: tuple[datetime, ...] = ()
    turnovers: Mapping[datetime, Turnover] = field(default_factory=dict)
    refused: Mapping[datetime, str] = field(default_factory=dict)
    odd: frozenset[datetime] = frozenset()
    readable: bool = True
    is_full: bool = False
    goes_back: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether each row is a bar, or can be no bar of this session."""
        return self.readable and not self.refused and not self.odd


def turnover_unit(symbol: str) -> float:
    """Return what one share or contract at price 1 adds to KIS's turnover (KRW, thousand KRW)."""
    traded = parse(symbol)
    if isinstance(traded, Contract | Night | Option):
        return traded.product.multiplier / 1_000
    return 1.0


def read_page(
    answer: Answer, split: SplitRows, session: Session, newest: datetime, rows_per_call: int
) -> Page:
    """Return what an answer showed; `split` are its rows, divided into bars and others."""
    rows, lost = _others(split, session) if split.rejected.height else ([], 0)
    return Page(
        newest=newest,
        as_of=answer.as_of,
        clocks_agree=answer.clocks_agree,
        stamps=tuple(_stamps(split.bars, session)),
        turnovers=_turnovers(split.bars, session, turnover_unit(answer.symbol)),
        refused={stamp: why for stamp, why in rows if why != APART},
        odd=frozenset(stamp for stamp, why in rows if why == APART),
        readable=answer.has_rows("output2") and split.in_order and lost == 0,
        is_full=split.counts["rows"] >= rows_per_call,
        goes_back=split.goes_back,
    )


def _stamps(bars: pl.DataFrame, session: Session) -> list[datetime]:
    stamps = bars.select(session.stamp_of_label(pl.col("label")).alias("stamp"))
    found: list[datetime] = stamps.unique("stamp").sort("stamp")["stamp"].to_list()
    return found


def _turnovers(bars: pl.DataFrame, session: Session, unit: float) -> dict[datetime, Turnover]:
    low, high = pl.col("low") * unit, pl.col("high") * unit
    rows = bars.filter(pl.col("turnover").is_not_null()).select(
        session.stamp_of_label(pl.col("label")),
        "turnover",
        least=low * pl.col("volume"),
        most=high * pl.col("volume"),
        one=low,
    )
    return {stamp: Turnover(*values) for stamp, *values in rows.iter_rows()}


def _others(split: SplitRows, session: Session) -> tuple[list[tuple[datetime, str]], int]:
    """Return stamp and reason of rejected rows that tell their minute, and the number of others.

    Minutes of which the answer also has a bar are left out.
    """
    harmful = split.rejected.filter(~_is_harmless())
    stamped = harmful.filter(_is_of_a_minute(session))
    rows = stamped.join(split.bars, on="label", how="anti").select(
        session.stamp_of_label(pl.col("label")), codec.REASON
    )
    return rows.rows(), harmful.height - stamped.height


def _is_of_a_minute(session: Session) -> pl.Expr:
    """Say which rows tell a minute of the session, so that they are about no other."""
    known = pl.col("same_day") & session.is_label(pl.col("label"))
    return known.fill_null(value=False)


def _is_harmless() -> pl.Expr:
    """Say which rejected rows are about no minute of the session, or about one that has a bar."""
    return pl.col(codec.REASON).is_in([OUTSIDE, REPEATED]) | (
        (pl.col(codec.REASON) == ANOTHER_DATE) & pl.col("before")
    )
