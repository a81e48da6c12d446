"""KIS as an adversary over many runs: nothing that it would give is ever settled as missing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import accumulate

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import STAMPS
from engine.fetchers.pages import Page, Turnover
from engine.history import evidence
from engine.history.evidence import (
    BETWEEN,
    HELD,
    LEFT_OUT,
    NOTHING,
    ONCE,
    PROVEN,
    REFUSED,
    Known,
)
from engine.store import ledger
from tests.databases import LONG
from tests.engine.history.answers_of_kis import (
    CLOSE,
    DAY,
    EXPECTED,
    GRID,
    HOURS,
    SESSION,
    page,
    stamps_at,
)

# The adversary. What an honest KIS would give is `bars`; what it says in between is anything.

# Silent: nothing looks wrong.
LIES = ("empty", "no older bars", "no newer bars", "another day", "rows left out")
NOISE = ("unreadable", "refused", "odd", "early", "clock", "spooled")


# What the column of the cumulative turnover holds.
COLUMN = ("right", "missing", "constant", "of the bar", "begins anew", "thousandth", "in part")


@dataclass(frozen=True)
class Say:
    """One answer: what KIS does to it, and a number that decides which bars are concerned."""

    how: str
    number: int
    goes_back: bool
    column: str = "right"


@dataclass(frozen=True)
class Bar:
    """What was traded in a minute: shares at a price, and one of them at a higher price."""

    volume: int
    price: int
    higher: int

    @property
    def turnover(self) -> int:
        return self.volume * self.price + self.higher

    def row(self, so_far: float) -> Turnover:
        most = self.volume * (self.price + self.higher)
        return Turnover(so_far, self.volume * self.price, most, self.price)


@dataclass(frozen=True)
class Run:
    """One run: its answers, and how many hours after the one before it begins."""

    hours: float
    says: list[Say]


@dataclass
class World:
    """A symbol's session, what is stored of it, and the ledger's marks.

    `has_turnover`: an honest KIS gives the cumulative turnover, too.
    """

    bars: dict[int, Bar]
    always_trades: bool
    traded_before: bool
    has_turnover: bool
    now: datetime = CLOSE
    lied_at: datetime | None = None
    stored: set[int] = field(default_factory=set)
    spooled: set[int] = field(default_factory=set)
    marks: pl.DataFrame = field(default_factory=ledger.MARKS.to_frame)

    def run(self, run: Run) -> None:
        """Let a run ask for the whole session, once for each answer."""
        self.now += timedelta(hours=run.hours)
        began = self.now
        for say in run.says:
            self.now += timedelta(seconds=1)
            answer = self._answer(say)
            given = {GRID.index(stamp) for stamp in answer.stamps}
            if say.how == "spooled":
                self.spooled |= given - self.stored
            else:
                self.stored |= given
                self.spooled -= self.stored
            self._prove(answer, began)

    def _prove(self, answer: Page, began: datetime) -> None:
        self.marks = ledger.mark_missing(self.marks, EXPECTED, stamps_at(*self.stored), began)
        known = Known(
            frozenset(GRID[index] for index in self.stored),
            frozenset(GRID[index] for index in self.spooled),
            self.always_trades,
            self.traded_before,
        )
        asked = self.marks.filter(pl.col("state").is_in(["open", "refused"]))
        found = evidence.weigh([answer], SESSION, asked.select(list(STAMPS)), known)
        self.marks = evidence.apply_answers(self.marks, found, began)

    def _answer(self, say: Say) -> Page:
        honest = page(*self.bars, as_of=self.now, goes_back=say.goes_back)
        answer = honest
        if say.how in LIES:
            answer = self._lie(say, honest)
        elif honest.stamps:
            answer = self._noise(say, honest)
        rows = self._column(say)
        return replace(answer, turnovers={at: rows[at] for at in answer.stamps if at in rows})

    def _column(self, say: Say) -> dict[datetime, Turnover]:
        """Return the turnover of all bars, those that the answer will lack as well."""
        right = list(accumulate(bar.turnover for bar in self.bars.values()))
        anew = say.number % max(len(right), 1)
        told: dict[str, list[float]] = {
            "right": [*right] if self.has_turnover else [],
            "constant": [1e6] * len(right),
            "of the bar": [bar.turnover for bar in self.bars.values()],
            "begins anew": [*right[:anew], *(value - right[anew - 1] for value in right[anew:])],
            "thousandth": [value / 1000 for value in right],
            "in part": [*right],
        }
        rows = zip(self.bars.items(), told.get(say.column, []), strict=False)
        return {
            GRID[at]: bar.row(so_far)
            for (at, bar), so_far in rows
            if say.column != "in part" or say.number >> at & 1
        }

    def _noise(self, say: Say, honest: Page) -> Page:
        """Return an answer that lacks bars and says so itself, in one way or another."""
        one = honest.stamps[say.number % len(honest.stamps)]
        others = tuple(stamp for stamp in honest.stamps if stamp != one)
        few = others[:3]
        changed: dict[str, dict[str, object]] = {
            "unreadable": {"stamps": others, "readable": False},
            "refused": {"stamps": others, "refused": {one: "price not above zero"}},
            "odd": {"stamps": others, "odd": frozenset({one})},
            "early": {"stamps": few, "as_of": CLOSE - timedelta(seconds=1)},
            "clock": {"stamps": few, "clocks_agree": False},
        }
        return replace(honest, **changed.get(say.how, {}))  # type: ignore[arg-type]

    def _lie(self, say: Say, honest: Page) -> Page:
        """Return an answer that looks fine and lacks bars.

        What trades is lied about for as long as KIS likes, but for rows left out between others.
        Else KIS tells the same lie for less than two hours: two lies that are further apart cannot
        be told from the truth.
        """
        is_empty = say.how in ("empty", "another day") or len(honest.stamps) < 2
        some = say.how == "rows left out"
        forever = (self.always_trades and not some) or (self.traded_before and is_empty)
        if not forever:
            self.lied_at = self.lied_at or self.now
            if self.now - self.lied_at >= evidence.HOURS_APART:
                return honest
        if say.how == "another day":
            return replace(honest, stamps=(), goes_back=True)
        if is_empty:
            return replace(honest, stamps=(), goes_back=False)
        if some:
            kept = (at for at in honest.stamps if say.number >> GRID.index(at) & 1)
            return replace(honest, stamps=tuple(kept))
        cut = 1 + say.number % (len(honest.stamps) - 1)
        if say.how == "no older bars":
            return replace(honest, stamps=honest.stamps[cut:], goes_back=False)
        return replace(honest, stamps=honest.stamps[:cut])

    def states(self) -> dict[int, str]:
        return dict(self.marks.select("index_in_session", "state").rows())


NUMBER = st.integers(0, 2 ** len(GRID) - 1)


def says(how: st.SearchStrategy[str]) -> st.SearchStrategy[Say]:
    return st.builds(Say, how, NUMBER, st.booleans(), st.sampled_from(COLUMN))


SAYS = says(st.sampled_from([*LIES, *NOISE, "honest"]))
RUNS = st.builds(
    Run,
    st.sampled_from([0.01, 0.5, 1.9, 2.1, 5.0, 17.0]),
    st.lists(says(st.sampled_from(LIES)), min_size=1, max_size=1)
    | st.lists(SAYS, min_size=1, max_size=4),
)
BAR = st.builds(
    Bar, st.sampled_from([1, 2, 50]), st.integers(100, 104), st.sampled_from([0, 1, 30, 300])
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    bars = draw(st.dictionaries(st.integers(0, len(GRID) - 1), BAR))
    always_trades = bool(bars) and draw(st.booleans())
    if always_trades:  # a front month has its opening and its closing auction
        bars |= {0: draw(BAR), len(GRID) - 1: draw(BAR)}
    traded_before = bool(bars) and draw(st.booleans())
    return World(dict(sorted(bars.items())), always_trades, traded_before, draw(st.booleans()))


@settings(max_examples=1_000 if LONG else 60)
@given(worlds(), st.lists(RUNS, max_size=5))
def test_nothing_that_kis_would_give_is_ever_settled_and_all_else_is_in_the_end(
    world: World, runs: list[Run]
) -> None:
    for run in runs:
        world.run(run)
        given_up = {
            index for index, state in world.states().items() if state in ("no_trade", "unavailable")
        }
        assert not given_up & {*world.bars}
    honest = [Say("honest", 0, goes_back=False), Say("honest", 0, goes_back=True)]
    for _ in range(3):
        world.run(Run(3.0, honest))
    states = world.states()
    assert {i for i in range(len(GRID)) if i in world.bars} == world.stored
    assert {states.get(index, "filled") for index in world.bars} <= {"filled"}
    assert {states[index] for index in range(len(GRID)) if index not in world.bars} <= {"no_trade"}


@pytest.mark.parametrize(
    ("says", "hours_after_the_first", "same_run", "gone", "halves"),
    [
        (PROVEN, None, False, 1, 0),
        (BETWEEN, None, False, 0, 1),
        (BETWEEN, 1.9, False, 0, 0),
        (BETWEEN, 2.0, False, 1, 0),
        (BETWEEN, 9.0, True, 0, 0),
        (ONCE, 9.0, False, 0, 0),  # bars on one side prove nothing about a bar that is stored
        (LEFT_OUT, 9.0, False, 0, 0),
        (HELD, 9.0, False, 0, 0),
        (REFUSED, 9.0, False, 0, 0),
        (NOTHING, 9.0, False, 0, 0),
    ],
)
def test_an_odd_bar_is_removed_by_what_settles_a_minute_and_no_less(
    says: str, hours_after_the_first: float | None, same_run: bool, gone: int, halves: int
) -> None:
    at = CLOSE + 12 * HOURS
    row = ("000020", DAY, GRID[3], says, at, None, None)
    answers = pl.DataFrame([row], evidence.ANSWERS, orient="row")
    first = [] if hours_after_the_first is None else [at - hours_after_the_first * HOURS]
    earlier = pl.DataFrame(
        [("000020", DAY, GRID[3], moment) for moment in first], evidence.HALVES, orient="row"
    )
    began = first[0] - HOURS if same_run else at - timedelta(minutes=5)
    absent, half = evidence.judge_odd_bars(answers, earlier, began)
    assert (absent.height, half.height) == (gone, halves)
