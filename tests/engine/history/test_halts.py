"""Minutes without a trade are named after a halt, and nothing is settled by one."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from engine.history.halts import EVENTS, REASONS, name_halts
from engine.store import ledger

DAY = date(2026, 11, 20)
OPENS = datetime(2026, 11, 20, 9)
STATES = ["open", "no_trade", "no_trade", "no_trade", "filled", "refused", "no_trade", "no_trade"]


def at(minute: float) -> datetime:
    return OPENS + timedelta(minutes=minute)


def marks() -> pl.DataFrame:
    rows = [
        ("005930", DAY, at(n), n, state, 1, "why", OPENS, OPENS) for n, state in enumerate(STATES)
    ]
    return pl.DataFrame(rows, ledger.MARKS, orient="row")


def named(*events: tuple[str, float, float | None]) -> dict[int, str]:
    """Return the reasons of the halted minutes, by the minute of their stamp."""
    rows = [(kind, at(begin), end and at(end)) for kind, begin, end in events]
    found = name_halts(marks(), pl.DataFrame(rows, EVENTS, orient="row"))
    assert found.drop("state", "reason").equals(marks().drop("state", "reason"))
    halted = found.filter(pl.col("state") == "halted")
    others = found.join(halted, on="stamp", how="anti")
    assert others.equals(marks().join(halted, on="stamp", how="anti"))
    return dict(halted.select("index_in_session", "reason").rows())


def test_only_minutes_settled_without_a_trade_are_named() -> None:
    every = {n for n, state in enumerate(STATES) if state == "no_trade"}
    assert set(named(("circuit_breaker", -5, 20))) == every


@pytest.mark.parametrize(
    ("begin", "end", "stamps"),
    [
        (1, 2, {2}),
        (1.5, 2.5, {2, 3}),  # the halt begins and ends within a minute
        (3, 6, {6}),
        (6.5, None, {7}),  # it lasts
        (8, 9, set()),
    ],
)
def test_a_minute_is_halted_if_some_of_it_was(
    begin: float, end: float | None, stamps: set[int]
) -> None:
    assert set(named(("vi", begin, end))) == stamps


def test_a_sidecar_halts_nothing_and_the_strongest_reason_counts() -> None:
    assert named(("sidecar", 0, 9)) == {}
    assert named(("vi", 0, 2), ("circuit_breaker", 1, 3)) == {
        1: REASONS["vi"],
        2: REASONS["circuit_breaker"],
        3: REASONS["circuit_breaker"],
    }
    assert named() == {}


def test_an_end_that_was_not_told_is_the_next_bar() -> None:
    lasts = pl.DataFrame([("halt", at(0.5), None)], EVENTS, orient="row")
    found = name_halts(marks(), lasts, [at(0), at(4)])  # the second bar is of minute 3 to 4
    assert found.filter(pl.col("state") == "halted")["stamp"].to_list() == [at(1), at(2), at(3)]
    begun_late = pl.DataFrame([("halt", at(2.5), None)], EVENTS, orient="row")
    found = name_halts(marks(), begun_late, [at(0), at(4)])
    assert found.filter(pl.col("state") == "halted")["stamp"].to_list() == [at(3)]


def test_the_auction_after_a_circuit_breaker_belongs_to_it_until_the_next_bar() -> None:
    def halted(kind: str, *bars: float) -> list[int]:
        event = pl.DataFrame([(kind, at(0), at(1))], EVENTS, orient="row")
        found = name_halts(marks(), event, list(map(at, bars)))
        return found.filter(pl.col("state") == "halted")["index_in_session"].to_list()

    assert halted("circuit_breaker", 4) == [1, 2, 3]
    assert halted("circuit_breaker", 30) == [1]  # no auction takes so long
    assert halted("circuit_breaker") == [1]
    assert halted("vi", 4) == [1]
