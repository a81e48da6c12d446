"""A crash through two price limits with a trading halt: what KIS gives of it is what is stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import polars as pl
import pytest

from engine.market.symbols import parse
from engine.simulator import SyntheticMarket, load_scenario
from engine.simulator.faults.moving import moved_market
from engine.simulator.market.data import MarketData
from strategies.registry import STRATEGIES
from tests.databases import LONG
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
    market: MarketData

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
    shares = [word for code in SHARES for word in ("--stock", code)]
    with new_desk() as desk:
        asked = ("--date", f"{DAY}", "--faults", "limit_down", "--future", "A01", *shares)
        asked = (*asked, "--seed", "1")
        summary = desk.live(*asked, *started_at("15:20"), KRT_STREAM="true" if LONG else "false")
        if LONG:  # where no turnover proves that nothing was traded, it takes a second answer
            desk.live(*asked, "--start", "18:10")
        with desk.serving():
            market = moved_market(SyntheticMarket(1), load_scenario("limit_down"), DAY)
            yield Crash(desk, summary, market)


@pytest.mark.parametrize("code", [FUTURE, *SHARES])
def test_every_bar_of_a_crash_is_stored_as_kis_gives_it(crash: Crash, code: str) -> None:
    """Locked at 8, 15 and 30 %, beyond the limits in output1, after a halt."""
    stored = crash.stored(code)
    assert stored.equals(crash.truth(code))
    assert stored.height > 330


def test_nothing_of_a_crash_is_discarded(crash: Crash) -> None:
    assert crash.summary["rejected"] == {}
    if not LONG:  # else the feed tells that they are minutes of a halt
        halted = 20 * sum(stop.kind == "circuit_breaker" for stop in crash.market.stops(DAY))
        assert crash.summary["gaps"] + crash.summary["no_trade"] >= halted > 0


@pytest.mark.long
def test_the_minutes_of_the_circuit_breaker_are_halted(crash: Crash) -> None:
    """Told by the feed with a KOSPI stock; a minute of the VI of a stock is named after that."""
    stops = [stop for stop in crash.market.stops(DAY) if stop.kind == "circuit_breaker"]
    stamps = [stop.begin + timedelta(minutes=minute) for stop in stops for minute in range(1, 21)]
    assert stamps
    for code in (FUTURE, *SHARES):
        rows = crash.desk.ask(
            "SELECT first_stamp, stamps, state FROM gaps WHERE state <> 'filled'"
            f" AND session = '{DAY}' AND symbol = '{code}' AND reason LIKE 'a circuit breaker%'"
        )
        assert set(rows["state"]) == {"halted"}, code
        named = [
            first + timedelta(minutes=minute)
            for first, count in rows.select("first_stamp", "stamps").iter_rows()
            for minute in range(count)
        ]
        assert sorted(named) == stamps, code
    others = crash.desk.ask(f"SELECT * FROM gaps WHERE session = '{DAY}' AND state = 'no_trade'")
    assert others.is_empty()


def test_live_signals_of_a_crash_equal_the_strategy_run_over_the_stored_bars(
    crash: Crash,
) -> None:
    bars = crash.desk.ask(f"SELECT {', '.join(BARS)} FROM futures_1m WHERE symbol = '{FUTURE}'")
    for strategy in STRATEGIES.values():
        stored = crash.desk.ask(f"SELECT * FROM {strategy.table}").sort("timestamp")
        rows = strategy.evaluate(bars.lazy(), strategy.params()).collect()
        computed = rows.filter(pl.col("timestamp").dt.date() == DAY).sort("timestamp")
        assert stored.height > 380
        assert stored.select(computed.columns).equals(computed)


def test_a_crash_is_reported_as_odd_and_not_as_wrong(crash: Crash) -> None:
    day = ("--from", f"{DAY}", "--to", f"{DAY}")
    checked = crash.desk.krt("validate", *day, "--format", "json", "--symbol", FUTURE)
    findings = json.loads(checked.stdout)["findings"]
    assert {row["check"] for row in findings if row["severity"] == "error"} <= {"missing"}
