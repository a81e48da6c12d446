"""A crash through two price limits with a trading halt: what KIS gives of it is what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl
import pytest

from engine.market.symbols import parse
from engine.simulator import SyntheticMarket, load_scenario
from engine.simulator.market.moved import Move, MovedMarket
from strategies.registry import STRATEGIES
from tests.e2e.conftest import Desk, new_desk, started_at
from tests.e2e.recorded import BARS

DAY = date(2026, 11, 20)
FUTURE = "A01612"
SHARES = ("005930", "122630")  # one stands at -30 % for a while, one is a fund of double leverage


@dataclass(frozen=True)
class Crash:
    """The day, played; `market` is what KIS had of it."""

    desk: Desk
    summary: dict[str, Any]
    market: MovedMarket

    def truth(self, code: str) -> pl.DataFrame:
        """Return the bars that KIS had of the day, as we store them."""
        session = parse(code).session(DAY)
        assert session is not None
        label = pl.col("label")
        return (
            self.market.bars(code, session)
            .filter(session.is_label(label))
            .select(
                session.stamp_of_label(label).alias("timestamp"),
                pl.lit(code).alias("symbol"),
                *BARS[2:],
            )
        )

    def stored(self, code: str) -> pl.DataFrame:
        """Return the day's bars in the database."""
        table = parse(code).table  # type: ignore[attr-defined]
        return self.desk.ask(
            f"SELECT {', '.join(BARS)} FROM {table}"
            f" WHERE timestamp::date = '{DAY}' AND symbol = '{code}' ORDER BY timestamp"
        )


@pytest.fixture(scope="module")
def crash() -> Iterator[Crash]:
    moves = [Move(move.at, move.by) for move in load_scenario("limit_down").move]
    shares = [word for code in SHARES for word in ("--stock", code)]
    with new_desk() as desk:
        summary = desk.live(
            *("--date", f"{DAY}", "--faults", "limit_down", "--future", "A01", *shares),
            *("--seed", "1", *started_at("14:50")),
        )
        with desk.serving():
            yield Crash(desk, summary, MovedMarket(SyntheticMarket(1), moves, DAY))


@pytest.mark.parametrize("code", [FUTURE, *SHARES])
def test_t1_every_bar_of_a_crash_is_stored_as_kis_gives_it(crash: Crash, code: str) -> None:
    """T1. Locked at 8, 15 and 30 %, beyond the limits in output1, after a halt."""
    stored = crash.stored(code)
    assert stored.equals(crash.truth(code))
    assert stored.height > 330


def test_t1_nothing_of_a_crash_is_discarded(crash: Crash) -> None:
    assert crash.summary["rejected"] == {}
    halted = sum(20 for _ in crash.market.halts())
    assert crash.summary["gaps"] + crash.summary["no_trade"] >= halted


def test_t1_live_signals_of_a_crash_equal_the_strategy_run_over_the_stored_bars(
    crash: Crash,
) -> None:
    bars = crash.desk.ask(f"SELECT {', '.join(BARS)} FROM futures_1m WHERE symbol = '{FUTURE}'")
    for strategy in STRATEGIES.values():
        stored = crash.desk.ask(f"SELECT * FROM {strategy.table}").sort("timestamp")
        rows = strategy.evaluate(bars.lazy(), strategy.params()).collect()
        computed = rows.filter(pl.col("timestamp").dt.date() == DAY).sort("timestamp")
        assert stored.height > 380
        assert stored.select(computed.columns).equals(computed)


def test_t1_a_crash_is_reported_as_odd_and_not_as_wrong(crash: Crash) -> None:
    day = ("--from", f"{DAY}", "--to", f"{DAY}")
    checked = crash.desk.krt("validate", *day, "--format", "json", "--symbol", FUTURE)
    findings = json.loads(checked.stdout)["findings"]
    assert {row["check"] for row in findings if row["severity"] == "error"} <= {"missing"}
