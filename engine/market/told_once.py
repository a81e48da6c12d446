"""What KIS tells only once: streams of data that cannot be fetched again, and their subjects.

A stream has subjects, each collected on its own: one of `flows` is the KOSPI200 futures, one of
`state` a contract. Stream and subject together are a symbol of the ledger, FLOWS_KOSPI200_FUTURES
or STATE_A01612, so that whatever counts minutes (summary, status, coverage, validation) counts
these as well. A row is stamped with the end of the minute that it is about, like a bar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import ClassVar, Literal

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.market import expiries, names
from engine.market.codes import is_stock_code, maturity_and_strike, product_of
from engine.market.hours import MINUTE, Market, Session, session
from engine.market.products import SERIES, Ticks
from engine.market.trading_days import previous_trading_days

SIDES = ("CALLS", "PUTS")
_KIS_CODE = re.compile("[0-9]{4}", re.ASCII)
_FUTURES = tuple(f"{name}_FUTURES" for name in ("KOSPI200", "MINI_KOSPI200", "KOSDAQ150"))
_OPTION_SIDES = tuple(f"{name}_{side}" for name in SERIES for side in SIDES)


# How long before the open KRX takes orders and KIS shows the price that they would give.
BEFORE_OPEN = {Market.STOCKS: timedelta(minutes=30), Market.DERIVATIVES: timedelta(minutes=15)}
Minutes = Literal["bars", "all", "auctions", "continuous"]
Origin = Literal["calls", "bars", "feed"]


@dataclass(frozen=True)
class Stream:
    """A kind of data that is told once. `subjects` is empty if it is about the contracts collected.

    `reach` is how far back an answer goes: an older minute that is not stored is lost. `minutes`
    says which minutes have a row: `bars`, those that have a bar; `all`, also those of the wait for
    the closing auction; `auctions`, those in which orders for an auction are taken; `continuous`,
    those of continuous trading. `origin` says where rows come from: `calls`, a call each minute for
    each subject; `bars`, the answers about bars; `feed`, KIS's WebSocket.
    """

    name: str  # as in the settings
    table: str
    says: str  # what it tells, for people
    subjects: tuple[str, ...] = ()
    usual: tuple[str, ...] = ()  # the subjects meant where none is named
    reach: timedelta = timedelta(0)
    minutes: Minutes = "all"
    stocks: bool = False  # whether a subject may be a stock as well
    codes: bool = False  # whether a subject may be named by KIS's code of four digits as well
    origin: Origin = "calls"

    @property
    def calls(self) -> int:
        """How many calls a minute it costs for each subject."""
        return int(self.origin == "calls")

    @property
    def prefix(self) -> str:
        """What its symbols begin with."""
        return f"{self.name.upper()}_"


STREAMS: dict[str, Stream] = {
    stream.name: stream
    for stream in (
        Stream(
            "state",
            "futures_state",
            "open interest, basis, theoretical price, best bid and ask of a future",
            minutes="bars",
            origin="bars",
        ),
        Stream(
            "flows",
            "investor_flows",
            "what each kind of investor has bought and sold, by market",
            subjects=("KOSPI", "KOSDAQ", *_FUTURES, *_OPTION_SIDES),
            usual=(
                "KOSPI",
                "KOSDAQ",
                "KOSPI200_FUTURES",
                *(
                    f"{series}_{side}"
                    for series in ("KOSPI200", "KOSPI200_WEEKLY_MON", "KOSPI200_WEEKLY_THU")
                    for side in SIDES
                ),
            ),
        ),
        Stream(
            "programme",
            "programme_trades",
            "programme trading of stocks, arbitrage and other",
            subjects=("KOSPI", "KOSDAQ"),
            usual=("KOSPI", "KOSDAQ"),
            reach=timedelta(minutes=29),
        ),
        Stream(
            "index",
            "index_1m",
            "minute bars of the share indices",
            subjects=("KOSPI", "KOSDAQ", "KOSPI200", "KOSDAQ150"),
            usual=("KOSPI", "KOSDAQ", "KOSPI200"),
            reach=timedelta(minutes=100),
            minutes="bars",
            codes=True,
        ),
        Stream(
            "auctions",
            "expected_prices",
            "price and size that the opening and the closing auction are expected to have",
            minutes="auctions",
            stocks=True,
        ),
        Stream(
            "book",
            "book_minutes",
            "the book of a future, five levels, each change that KIS sends",
            minutes="continuous",
            origin="feed",
        ),
    )
}

# A pattern, for Polars and SQL, of the symbols of what is told once.
NAMES = f"^({'|'.join(stream.prefix for stream in STREAMS.values())})"


@dataclass(frozen=True)
class ToldOnce:
    """A stream with one subject; `code` is its symbol in the ledger."""

    code: str
    stream: Stream
    subject: str

    product: ClassVar[None] = None
    ticks: ClassVar[Ticks] = ()

    def __str__(self) -> str:
        return self.code

    @property
    def market(self) -> Market:
        """The market whose hours it keeps."""
        of_stocks = self.stream.name == "index" or self.subject in _OF_STOCKS or self.is_of_stock
        return Market.STOCKS if of_stocks else Market.DERIVATIVES

    @property
    def is_of_stock(self) -> bool:
        """Whether it is about one stock."""
        return self.stream.stocks and is_stock_code(self.subject)

    @property
    def table(self) -> str:
        """The table that its rows belong to."""
        return self.stream.table

    @property
    def ledger_market(self) -> str:
        """What the ledger of gaps calls the market: the stream's name."""
        return self.stream.name

    @property
    def name_en(self) -> str:
        """Its name for people in English: flows KOSPI200 futures."""
        return f"{self.stream.name} {names.english_subject(self.subject)}"

    @property
    def name_ko(self) -> str:
        """Its name for people in Korean: 투자자별 매매 코스피200 선물."""
        return f"{_KOREAN[self.stream.name]} {names.korean_subject(self.subject)}"

    def session(self, day: date, *, night: bool = False) -> Session | None:
        """Return its session on the day, None without one; nights are not collected.

        Raises CalendarRangeError.
        """
        if night:
            return None
        if self.stream.subjects or self.is_of_stock:
            return session(self.market, day)
        last = _last_day(self.subject)
        return None if day > last else session(Market.DERIVATIVES, day, expiring=day == last)

    def session_before(self, day: date) -> Session | None:
        """Return its last session before the day, None where the calendar knows none."""
        try:
            (earlier,) = previous_trading_days(day, 1)
        except CalendarRangeError:
            return None
        return self.session(earlier)

    def expected_stamps(self, day: date) -> pl.Series:
        """Return every stamp (KST) that must have a row, ascending."""
        found = self.session(day)
        if found is None:
            return pl.Series("stamp", [], pl.Datetime("us"))
        if self.stream.minutes == "auctions":
            return auction_stamps(found)
        if self.stream.minutes == "continuous":
            grid = found.minute_grid()
            return grid.filter(grid <= found.continuous_end)
        return found.stamps() if self.stream.minutes == "bars" else found.minute_grid()

    def begins(self, found: Session) -> datetime:
        """Return when its first minute begins in one of its sessions."""
        return found.opens - BEFORE_OPEN[found.market] if self.stream.stocks else found.opens

    def minute_ends(self, found: Session, stamp: datetime) -> datetime:
        """Return when the minute of a stamp is over, from which on its row can be complete."""
        return stamp if self.stream.minutes == "auctions" else found.finished_at(stamp)

    @property
    def of_the_moment(self) -> bool:
        """Whether an answer tells the moment alone: a minute must be asked about while it runs."""
        return self.is_of_stock

    @property
    def reach(self) -> timedelta:
        """How long a missing row may still come: as far back as answers go, or a minute."""
        return max(self.stream.reach, MINUTE)


def auction_stamps(found: Session) -> pl.Series:
    """Return the ends of the minutes in which orders for the auctions of a session are taken."""
    spans = [(found.opens - BEFORE_OPEN[found.market], found.opens)]
    if found.auction is not None:
        spans.append((found.continuous_end, found.auction))
    return pl.concat(
        pl.datetime_range(begin + MINUTE, end, "1m", time_unit="us", eager=True)
        for begin, end in spans
    ).alias("stamp")


_OF_STOCKS = {"KOSPI", "KOSDAQ"}
_KOREAN = {
    "state": "선물 상태",
    "flows": "투자자별 매매",
    "programme": "프로그램 매매",
    "index": "지수",
    "auctions": "동시호가 예상",
    "book": "호가",
}


def _last_day(contract: str) -> date:
    product = product_of(contract)
    return expiries.last_day(product.months, maturity_and_strike(contract, product)[0])


def told_once(stream: Stream, subject: str) -> ToldOnce:
    """Return a stream's symbol for a subject. Raises InputError for one that the stream lacks."""
    by_code = stream.codes and _KIS_CODE.fullmatch(subject)
    if stream.subjects and subject not in stream.subjects and not by_code:
        choice = ", ".join(stream.subjects)
        raise InputError(f"{stream.name} has no {subject!r}: choose one of {choice}")
    found = ToldOnce(f"{stream.prefix}{subject}", stream, subject)
    if not stream.subjects and not found.is_of_stock:
        if product_of(subject).kind != "future":
            raise InputError(f"{stream.name} is kept of futures; {subject!r} is not one")
        _last_day(subject)
    return found


def parse_told_once(text: str) -> ToldOnce | None:
    """Return the symbol that a text means; None if it names no stream. Raises InputError."""
    for stream in STREAMS.values():
        if text.startswith(stream.prefix):
            return told_once(stream, text.removeprefix(stream.prefix))
    return None


def parse_collect(
    text: str, contracts: Iterable[str], stocks: Iterable[str] = ()
) -> list[ToldOnce]:
    """Return what an entry of the settings' `collect` means: `flows`, or `flows:KOSPI`.

    Without a subject a stream's usual ones are meant; for a stream about contracts, those given,
    and the stocks given where it may be about stocks. Raises InputError.
    """
    name, _, subject = text.partition(":")
    if name not in STREAMS:
        raise InputError(f"{text!r} cannot be collected: choose from {', '.join(STREAMS)}")
    stream = STREAMS[name]
    held = [*contracts, *(stocks if stream.stocks else ())]
    subjects = [subject] if subject else [*stream.usual] if stream.subjects else held
    return [told_once(stream, wanted) for wanted in subjects]
