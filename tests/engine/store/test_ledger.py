"""The gap ledger: its transitions, its runs, and the table after each write."""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.store import Store, ledger

DAY, NOW = date(2025, 9, 1), datetime(2025, 9, 1, 16)
OPEN = datetime(2025, 9, 1, 8, 46)
STAMPS = 12
Mark = tuple[str, int, str | None]
ANSWERED = [None, NOW, NOW + timedelta(hours=3)]  # by the number of attempts
MARKETS = pl.DataFrame({"symbol": ["101W09"], "market": ["derivatives"]})


def stamps(*indices: int) -> pl.DataFrame:
    """Stamps of the day by index; the last one is the auction, ten minutes after the one before."""
    rows = [
        ("101W09", DAY, OPEN + timedelta(minutes=i + 9 * (i == STAMPS - 1)), i) for i in indices
    ]
    schema = {
        "symbol": pl.String,
        "session": pl.Date,
        "stamp": pl.Datetime("us"),
        "index_in_session": pl.Int64,
    }
    return pl.DataFrame(rows, schema, orient="row")


EXPECTED = stamps(*range(STAMPS))
NOTHING = ledger.MARKS.to_frame()


def at(*indices: int) -> pl.DataFrame:
    return stamps(*indices).drop("index_in_session")


def states(marks: pl.DataFrame) -> dict[int, tuple[str, int]]:
    return {
        p: (s, n) for p, s, n in marks.select("index_in_session", "state", "attempts").iter_rows()
    }


def missing(*indices: int) -> pl.DataFrame:
    stored = at(*(p for p in range(STAMPS) if p not in indices))
    return ledger.mark_missing(NOTHING, EXPECTED, stored, NOW)


def rows(marks: pl.DataFrame) -> list[tuple[str, str, str, int]]:
    made = ledger.rows_from_marks(marks, NOW, MARKETS)
    clock = pl.col("first_stamp", "last_stamp").dt.strftime("%H:%M")
    return made.select(clock, "state", "stamps").rows()


def test_a_run_of_missing_stamps_is_one_row() -> None:
    assert rows(missing(2, 3, 4, 8)) == [
        ("08:48", "08:50", "open", 3),
        ("08:54", "08:54", "open", 1),
    ]


def test_the_auction_follows_the_last_continuous_bar() -> None:
    assert rows(missing(10, 11)) == [("08:56", "09:06", "open", 2)]


def test_a_stored_bar_fills_its_stamp_and_a_lost_one_opens_it_again() -> None:
    filled = ledger.mark_missing(missing(2, 3), EXPECTED, EXPECTED.drop("index_in_session"), NOW)
    assert states(filled) == {2: ("filled", 0), 3: ("filled", 0)}
    reopened = ledger.mark_missing(filled, EXPECTED, at(*(p for p in range(STAMPS) if p != 3)), NOW)
    assert states(reopened) == {2: ("filled", 0), 3: ("open", 0)}


def settled(*indices: int) -> pl.DataFrame:
    """Marks of stamps that KIS's answers have settled (tests/engine/history/test_evidence.py)."""
    return missing(*indices).with_columns(
        state=pl.lit("no_trade"),
        attempts=pl.lit(1, pl.Int64),
        reason=pl.lit("KIS has no bar there"),
        answered_at=pl.lit(NOW, pl.Datetime("us")),
    )


def test_a_settled_stamp_stays_settled_while_its_bar_is_missing() -> None:
    again = ledger.mark_missing(
        settled(2), EXPECTED, at(*(p for p in range(STAMPS) if p != 2)), NOW
    )
    assert_frame_equal(again, settled(2))


def test_no_trade_becomes_filled_if_kis_gives_the_bar_after_all() -> None:
    filled = ledger.mark_missing(settled(2), EXPECTED, EXPECTED.drop("index_in_session"), NOW)
    assert states(filled) == {2: ("filled", 1)}


def test_whatever_is_settled_is_opened_again_and_what_is_filled_is_not() -> None:
    settled_states = ["no_trade", "halted", "refused", "unavailable"]
    marks = made({p: (s, 2, "a") for p, s in enumerate([*settled_states, "filled"])})
    again = ledger.reopen(marks)
    assert states(again) == dict.fromkeys(range(4), ("open", 0)) | {4: ("filled", 2)}
    assert again["answered_at"].null_count() == 4


def test_a_reason_alone_keeps_a_gap_open() -> None:
    marks = ledger.apply_reasons(missing(2, 3), at(2).with_columns(why=pl.lit("no answer")))
    assert marks.select("state", "reason").rows() == [
        ("open", "no answer"),
        ("open", ledger.NOT_COLLECTED),
    ]


ANY_MARKS = st.dictionaries(
    st.integers(0, STAMPS - 1),
    st.tuples(
        st.sampled_from(["open", "filled", "no_trade", "halted", "refused", "unavailable"]),
        st.integers(0, 2),
        st.sampled_from([None, "a", "b"]),
    ),
)


def made(marks: dict[int, Mark]) -> pl.DataFrame:
    indices = sorted(marks)
    values = [marks[p] for p in indices]
    frame = stamps(*indices).with_columns(
        state=pl.Series([v[0] for v in values], dtype=pl.String),
        attempts=pl.Series([v[1] for v in values], dtype=pl.Int64),
        reason=pl.Series([v[2] for v in values], dtype=pl.String),
        opened_at=pl.lit(NOW, pl.Datetime("us")),
        answered_at=pl.Series([ANSWERED[v[1]] for v in values], dtype=pl.Datetime("us")),
    )
    return frame.select(list(ledger.MARKS))


@given(ANY_MARKS)
def test_rows_and_marks_turn_into_each_other_without_loss(marks: dict[int, Mark]) -> None:
    table = ledger.rows_from_marks(made(marks), NOW, MARKETS)
    assert_frame_equal(ledger.marks_from_rows(table, EXPECTED), made(marks))
    assert table["stamps"].sum() == len(marks)
    joined = ledger.rows_from_marks(ledger.marks_from_rows(table, EXPECTED), NOW, MARKETS)
    assert_frame_equal(joined, table)  # runs are as long as they can be


async def test_the_table_equals_the_marks_after_each_write(store: Store) -> None:
    """Runs grow, split and merge; a row that another run covers is deleted."""
    chance = random.Random(7)  # noqa: S311
    for day in range(1, 13):
        known: dict[int, Mark] = {}
        session = date(2025, 9, day)
        for minute in range(5):
            known |= some_marks(chance)
            marks = made(known).with_columns(session=pl.lit(session))
            after = ledger.rows_from_marks(marks, NOW + timedelta(minutes=minute), MARKETS)
            await ledger.write(store, await ledger.read(store, ["101W09"], session, session), after)
            stored = await ledger.read(store, ["101W09"], session, session)
            assert_frame_equal(
                stored.drop("updated_at"), after.drop("updated_at"), check_row_order=False
            )


def some_marks(chance: random.Random) -> dict[int, Mark]:
    indices = chance.sample(range(STAMPS), chance.randint(1, 5))
    states = ["open", "filled", "no_trade"]
    return {
        p: (chance.choice(states), chance.randint(0, 1), chance.choice([None, "a"]))
        for p in indices
    }


async def test_a_row_that_no_other_covers_cannot_be_deleted(store: Store) -> None:
    table = ledger.rows_from_marks(missing(2, 3), NOW, MARKETS)
    await ledger.write(store, ledger.ROWS.to_frame(), table)
    await ledger.write(store, table, table.clear())
    assert (await ledger.read(store, ["101W09"], DAY, DAY)).height == 1


async def test_a_writer_that_died_between_two_statements_loses_no_mark(store: Store) -> None:
    """The merge was committed, the deletion of the covered row was not."""
    first = ledger.rows_from_marks(missing(3), NOW, MARKETS)
    await ledger.write(store, ledger.ROWS.to_frame(), first)
    later = ledger.rows_from_marks(
        settled(2, 3),
        NOW + timedelta(minutes=1),
        MARKETS,
    )
    await ledger.write(store, ledger.ROWS.to_frame(), later)
    both = await ledger.read(store, ["101W09"], DAY, DAY)
    assert both.height == 2
    assert states(ledger.marks_from_rows(both, EXPECTED)) == {
        2: ("no_trade", 1),
        3: ("no_trade", 1),
    }


async def test_a_clock_that_is_behind_loses_no_change(store: Store) -> None:
    """A simulated day may be run twice: the second run's clock is behind the first run's rows."""
    first = ledger.rows_from_marks(missing(2), NOW, MARKETS)
    await ledger.write(store, ledger.ROWS.to_frame(), first)
    earlier = ledger.rows_from_marks(
        ledger.mark_missing(missing(2), EXPECTED, EXPECTED.drop("index_in_session"), NOW),
        NOW - timedelta(hours=7),
        MARKETS,
    )
    await ledger.write(store, first, earlier)
    assert (await ledger.read(store, ["101W09"], DAY, DAY))["state"].to_list() == ["filled"]
