"""What settles a missing minute: each rule, and KIS as an adversary over many runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

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
from engine.store import ledger
from tests.engine.history.answers_of_kis import (
    CLOSE,
    COLUMNS,
    EXPECTED,
    GRID,
    HOURS,
    NOTHING_STORED,
    SESSION,
    page,
    reasons,
    said,
    stamps_at,
    told,
)


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


def test_a_row_that_cannot_be_a_bar_is_refused_and_proves_nothing_of_others_alone() -> None:
    answer = page(2, 6, refused={GRID[4]: "price not above zero"})
    assert said(answer, (0, 3, 4)) == {0: NOTHING, 3: ONCE, 4: REFUSED}
    assert reasons(answer, 4) == "price not above zero"


def test_rows_that_cannot_be_read_prove_nothing() -> None:
    assert reasons(page(2, 6, readable=False), 4) == evidence.UNREADABLE
    assert reasons(page(2, 6, odd=frozenset({GRID[4]})), 4) == evidence.ODD


def test_neither_an_early_answer_nor_clocks_that_differ_prove_anything() -> None:
    assert reasons(page(2, 6, as_of=CLOSE - timedelta(seconds=1)), 4) == evidence.UNSEALED
    assert reasons(page(2, 6, clocks_agree=False), 4) == evidence.CLOCKS


def test_what_the_answer_holds_or_the_spool_is_not_missing() -> None:
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


def test_a_refused_minute_is_overruled_hours_later_by_bars_around_it_alone() -> None:
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


def test_what_traded_by_the_turnover_is_not_settled_by_answers_that_show_less() -> None:
    """Two answers that end at the hole settled a bar that KIS had left out."""
    lacking = told(0, 1, 3, turnover=lambda number, right: right + 100 * (number == 2))
    less = [page(0, 1), lacking, page(0, 1), page(0, 1, readable=False), page(0, 1)]
    runs = [CLOSE + 3 * number * HOURS for number in range(9)]
    answers = [(replace(answer, as_of=at), at) for answer, at in zip(less, runs, strict=False)]
    row = marks_after(*answers).row(2, named=True)
    assert (row["state"], row["reason"]) == ("open", evidence.TURNOVER)
    # A bar that came since may have been all that traded in the hole.
    around = [(page(1, 3, as_of=at), at) for at in runs[5:7]]
    assert marks_after(*answers, around[0]).row(2, named=True)["state"] == "open"
    assert marks_after(*answers, *around).row(2, named=True)["state"] == "no_trade"
    proven = replace(told(0, 1, 3), as_of=runs[5]), runs[5]
    assert marks_after(*answers, proven).row(2, named=True)["state"] == "no_trade"
