"""What settles a missing minute: each rule, and KIS as an adversary over many runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
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
    DOUBTED,
    HELD,
    LEFT_OUT,
    NOTHING,
    ONCE,
    PROVEN,
    REFUSED,
    Known,
)
from engine.market.sessions import Market, Session
from engine.store import ledger
from tests.databases import LONG

DAY = date(2025, 9, 1)
OPENS = datetime(2025, 9, 1, 9)
SESSION = Session(
    Market.STOCKS,
    DAY,
    OPENS,
    OPENS + timedelta(minutes=9),
    OPENS + timedelta(minutes=19),
    OPENS + timedelta(minutes=24),
)
GRID = SESSION.stamps().to_list()  # nine minutes, then the auction
EXPECTED = pl.DataFrame(
    {"symbol": "000020", "session": DAY, "stamp": GRID, "index_in_session": range(len(GRID))},
    {**STAMPS, "index_in_session": pl.Int64},
)
CLOSE = SESSION.sealed_at
NOTHING_STORED = STAMPS.to_frame()
HOURS = timedelta(hours=1)


def stamps_at(*indices: int) -> pl.DataFrame:
    return EXPECTED.filter(pl.col("index_in_session").is_in(indices)).select(list(STAMPS))


def page(*bars: int, newest: int = 9, as_of: datetime = CLOSE, **more: object) -> Page:
    """Return a page of bars without turnover."""
    stamps = tuple(GRID[index] for index in bars)
    return replace(Page(GRID[newest], as_of, stamps=stamps), **more)  # type: ignore[arg-type]


def told(*bars: int, turnover: Callable[[int, float], float | None] | None = None) -> Page:
    """Return a page of bars of one share at 100 KRW each, whose turnover is that of all of them.

    `turnover` changes it: from the number of the bar and its right turnover so far.
    """
    rows = {}
    for number, index in enumerate(bars):
        right = 100.0 * (number + 1)
        so_far = turnover(number, right) if turnover else right
        if so_far is not None:
            rows[GRID[index]] = Turnover(so_far, least=100.0, most=100.0, one=100.0)
    return page(*bars, turnovers=rows)


def said(answer: Page, missing: tuple[int, ...], known: Known | None = None) -> dict[int, str]:
    """Return what a page says about missing stamps, by index."""
    found = evidence.judge(answer, SESSION, stamps_at(*missing), known or Known())
    return {GRID.index(stamp): says for stamp, says in found.select("stamp", "says").iter_rows()}


def reasons(answer: Page, missing: int, known: Known | None = None) -> str | None:
    found = evidence.judge(answer, SESSION, stamps_at(missing), known or Known())
    why: str | None = found["why"].item()
    return why


def test_bars_on_both_sides_are_half_of_a_proof_and_their_turnover_is_all_of_it() -> None:
    assert said(page(2, 3, 6), (0, 4, 5, 9)) == {0: ONCE, 4: BETWEEN, 5: BETWEEN, 9: ONCE}
    assert said(told(2, 3, 6), (0, 4, 5, 9)) == {0: ONCE, 4: PROVEN, 5: PROVEN, 9: ONCE}
    assert reasons(page(2, 3, 6), 4) == evidence.UNPROVEN


def test_turnover_that_no_bar_explains_says_that_the_answer_lacks_one() -> None:
    answer = told(2, 3, 6, turnover=lambda number, right: right + 100 * (number == 2))
    assert said(answer, (4, 5)) == {4: LEFT_OUT, 5: LEFT_OUT}
    assert reasons(answer, 4) == evidence.TURNOVER
    little = told(2, 3, 6, turnover=lambda number, right: right + 10 * (number == 2))
    assert said(little, (4,)) == {4: BETWEEN}  # no share costs a tenth of the others


COLUMNS: dict[str, Callable[[int, float], float | None]] = {
    "missing": lambda _, __: None,
    "missing once": lambda number, right: None if number == 1 else right,
    "constant": lambda _, __: 1_000_000.0,
    "of the bar alone": lambda _, __: 100.0,
    "begins anew": lambda number, right: right - 200 * (number > 1),
    "in thousands": lambda _, right: right / 1000,
    "in single coins": lambda _, right: right * 100,
}


@pytest.mark.parametrize("column", COLUMNS)
def test_a_turnover_that_does_not_prove_itself_proves_nothing(column: str) -> None:
    assert said(told(2, 3, 6, 7, turnover=COLUMNS[column]), (4,)) == {4: BETWEEN}


def test_a_turnover_proves_itself_on_bars_side_by_side() -> None:
    assert said(told(2, 4, 6), (3,)) == {3: BETWEEN}
    off = told(1, 2, 3, 5, turnover=lambda number, right: right + 100 * (number > 1))
    assert said(off, (4,)) == {4: BETWEEN}  # 100 too much between two bars side by side


def test_a_bar_with_room_for_another_share_proves_nothing() -> None:
    answer = told(2, 3, 6)
    wide = Turnover(460.0, least=200.0, most=300.0, one=100.0)  # or 200, and a share at 60
    assert said(replace(answer, turnovers={**answer.turnovers, GRID[6]: wide}), (4,)) == {
        4: BETWEEN
    }
    at_least = wide._replace(so_far=430.0)  # no share costs 30
    assert said(replace(answer, turnovers={**answer.turnovers, GRID[6]: at_least}), (4,)) == {
        4: PROVEN
    }


def test_rows_of_the_session_before_are_a_side_of_their_own() -> None:
    assert said(page(2, 3, goes_back=True), (0, 9)) == {0: BETWEEN, 9: ONCE}
    assert said(page(goes_back=True), (0, 9)) == {0: ONCE, 9: ONCE}


def test_a_full_page_says_nothing_of_what_is_older() -> None:
    assert said(page(4, 6, is_full=True), (0, 5)) == {5: BETWEEN}
    assert said(page(is_full=True), (0, 5)) == {}


def test_a_page_says_nothing_of_what_is_newer_than_was_asked() -> None:
    assert said(page(2, 4, newest=6), (3, 5, 8)) == {3: BETWEEN, 5: ONCE}


def test_a_front_month_is_never_without_a_trade_but_between_bars() -> None:
    known = Known(always_trades=True)
    assert said(page(2, 4), (0, 3, 9), known) == {0: NOTHING, 3: BETWEEN, 9: NOTHING}
    assert said(told(1, 2, 4), (0, 3, 9), known) == {0: NOTHING, 3: PROVEN, 9: NOTHING}
    assert reasons(page(), 5, known) == evidence.FRONT_MONTH


def test_an_answer_without_a_bar_proves_nothing_of_what_traded_the_session_before() -> None:
    assert reasons(page(), 5, Known(traded_before=True)) == evidence.TRADED
    assert said(page(2), (5,), Known(traded_before=True)) == {5: ONCE}


def test_t2_a_row_that_cannot_be_a_bar_is_refused_and_proves_nothing_of_others_alone() -> None:
    answer = page(2, 6, refused={GRID[4]: "price not above zero"})
    assert said(answer, (0, 3, 4)) == {0: NOTHING, 3: ONCE, 4: REFUSED}
    assert reasons(answer, 4) == "price not above zero"


def test_t3_rows_that_cannot_be_read_prove_nothing() -> None:
    assert reasons(page(2, 6, readable=False), 4) == evidence.UNREADABLE
    assert reasons(page(2, 6, odd=frozenset({GRID[4]})), 4) == evidence.ODD


def test_t4_neither_an_early_answer_nor_clocks_that_differ_prove_anything() -> None:
    assert reasons(page(2, 6, as_of=CLOSE - timedelta(seconds=1)), 4) == evidence.UNSEALED
    assert reasons(page(2, 6, clocks_agree=False), 4) == evidence.CLOCKS


def test_t12_what_the_answer_holds_or_the_spool_is_not_missing() -> None:
    assert said(page(2, 4, 6), (4,)) == {4: HELD}
    assert said(page(2, 6), (4, 5), Known(waiting=frozenset({GRID[4]}))) == {4: HELD, 5: NOTHING}
    assert reasons(page(2, 6), 4, Known(waiting=None)) == evidence.UNKNOWN_SPOOL


def test_an_answer_that_lacks_a_stored_bar_proves_nothing() -> None:
    stored = frozenset({GRID[3]})
    assert reasons(page(2, 6), 4, Known(stored=stored)) == evidence.LACKING
    assert reasons(page(), 4, Known(stored=stored)) == evidence.LACKING
    assert said(page(4, 6, is_full=True), (5,), Known(stored=stored)) == {5: BETWEEN}


def test_of_several_pages_the_strongest_word_counts() -> None:
    odd = frozenset({GRID[3]})
    pages = [page(1, 6), told(1, 2, 6), page(1, 6, refused={GRID[4]: "odd"}), page(2, 6, odd=odd)]
    found = evidence.weigh([*pages, page()], SESSION, stamps_at(3, 4, 5), Known())
    assert found["says"].to_list() == [DOUBTED, REFUSED, PROVEN]
    lacking = told(1, 2, 6, turnover=lambda number, right: right + 100 * (number == 2))
    found = evidence.weigh([*pages, lacking], SESSION, stamps_at(5), Known())
    assert found["says"].to_list() == [LEFT_OUT]


def marks_after(*answers: tuple[Page, datetime], known: Known | None = None) -> pl.DataFrame:
    """Return the marks of a session of which nothing is stored, after pages of runs."""
    marks = ledger.mark_missing(ledger.MARKS.to_frame(), EXPECTED, NOTHING_STORED, CLOSE)
    for answer, began in answers:
        found = evidence.weigh([answer], SESSION, marks.select(list(STAMPS)), known or Known())
        marks = evidence.apply_answers(marks, found, began)
    return marks


def state_after(*answers: tuple[Page, datetime], known: Known | None = None) -> tuple[str, int]:
    row = marks_after(*answers, known=known).select("state", "attempts").row(0)
    return row[0], row[1]


def test_a_second_answer_counts_hours_later_and_in_another_run() -> None:
    first = page(as_of=CLOSE), CLOSE
    late = CLOSE + 3 * HOURS
    soon = CLOSE + timedelta(minutes=119)
    assert state_after(first) == ("open", 1)
    assert state_after(first, (page(as_of=soon), soon)) == ("open", 1)
    assert state_after(first, (page(as_of=late), CLOSE)) == ("open", 1)  # a run of three hours
    assert state_after(first, (page(as_of=late), late)) == ("no_trade", 2)
    assert state_after(first, (page(as_of=soon), soon), (page(as_of=late), late))[0] == "no_trade"


def test_what_kis_has_dropped_is_unavailable_after_two_answers() -> None:
    late = CLOSE + 3 * HOURS
    known = Known(always_trades=True, gone="dropped")
    marks = marks_after((page(), CLOSE), (page(as_of=late), late), known=known)
    assert set(marks.select("state", "reason").rows()) == {("unavailable", "dropped")}


def test_t2_a_refused_minute_is_overruled_hours_later_by_bars_around_it_alone() -> None:
    late = CLOSE + 3 * HOURS
    refused = page(1, refused={GRID[0]: "odd"}), CLOSE
    around = page(1, goes_back=True, as_of=late)
    assert state_after(refused) == ("refused", 1)
    assert state_after(refused, (replace(around, as_of=CLOSE + HOURS), CLOSE + HOURS))[0] == (
        "refused"
    )
    assert state_after(refused, (page(1, as_of=late), late)) == ("refused", 1)
    assert state_after(refused, (around, late)) == ("no_trade", 2)


def test_a_settled_minute_is_changed_by_no_answer() -> None:
    late = CLOSE + 3 * HOURS
    settled = (page(1, goes_back=True), CLOSE), (page(1, goes_back=True, as_of=late), late)
    odd = page(1, refused={GRID[0]: "odd"}, as_of=late + 3 * HOURS), late + 3 * HOURS
    assert state_after(*settled, odd) == ("no_trade", 2)


def test_a_minute_between_bars_without_turnover_needs_two_answers_hours_apart() -> None:
    late = CLOSE + 3 * HOURS
    known = Known(always_trades=True)
    first = page(1, 3), CLOSE
    twice = marks_after(first, (page(1, 3, as_of=late), late), known=known)
    assert twice.row(2, named=True)["state"] == "no_trade"
    once = marks_after(first, (page(1, 3, as_of=CLOSE + HOURS), CLOSE + HOURS), known=known)
    assert once.row(2, named=True)["state"] == "open"
    at_once = marks_after((told(0, 1, 3), CLOSE), known=known)
    assert at_once.row(2, named=True)["state"] == "no_trade"


def test_a_bar_that_the_answer_lacks_and_its_turnover_has_stays_open() -> None:
    late = CLOSE + 3 * HOURS
    lacking = told(0, 1, 3, turnover=lambda number, right: right + 100 * (number == 2))
    row = marks_after((lacking, CLOSE), (replace(lacking, as_of=late), late)).row(2, named=True)
    assert (row["state"], row["reason"], row["attempts"]) == ("open", evidence.TURNOVER, 0)


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
