"""The connection against the simulator's WebSocket: what comes of a market, and of its faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.features.ticks import bars_from_trades
from engine.kis.stream.approval import ApprovalKeeper
from engine.kis.stream.connection import StreamConnection
from engine.kis.stream.frames import Frame, read_frames
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.transport import Transport
from engine.market.sessions import Market, Session
from engine.settings import AppKey
from engine.simulator import Scenario, Simulator
from engine.simulator.market.data import open_session
from tests.engine.simulator.stream.client import APP_KEY, APP_SECRET, MARKET, serving

NINE = datetime(2026, 11, 18, 9, 0)
SESSION = open_session(Market.DERIVATIVES, date(2026, 11, 18))
FUTURE = StreamRegistration("H0IFCNT0", "A01612")
BOOK = StreamRegistration("H0IFASP0", "A01612")
STOCK = StreamRegistration("H0STCNT0", "005930")
VALUES = ["timestamp", "open", "high", "low", "close", "volume"]


@asynccontextmanager
async def feed(
    folder: Path, *rules: dict[str, Any]
) -> AsyncIterator[tuple[StreamConnection, Simulator, VirtualClock]]:
    faults = Scenario.model_validate({"seed": 1, "rule": rules})
    async with serving(NINE, faults=faults) as (simulator, clock):
        transport = Transport(simulator.base_url, clock, timeout=5)
        key = AppKey(app_key=APP_KEY, app_secret=APP_SECRET)
        approvals = ApprovalKeeper(transport, key, folder / "key", clock)
        connection = StreamConnection(
            simulator.stream_url, approvals, folder / "key", clock, trading=lambda *_: True
        )
        connection.want([FUTURE, BOOK, STOCK])
        connection.start()
        try:
            yield connection, simulator, clock
        finally:
            await connection.close()
            await transport.close()


async def collect(connection: StreamConnection, clock: VirtualClock, minutes: float) -> list[Frame]:
    """Return the frames of so many minutes, taken as they come."""
    frames: list[Frame] = []
    try:
        async with clock.timeout(minutes * 60):
            while True:
                frames += await connection.take()
    except TimeoutError:
        return frames


def bars(frames: list[Frame], symbol: str, session: Session) -> pl.DataFrame:
    trades = pl.DataFrame(pl.from_arrow(read_frames(frames).trades))
    stamp = session.stamp_of_trade(pl.col("traded_at"))
    return bars_from_trades(trades.lazy().filter(symbol=symbol), stamp).collect()


def market_bars(session: Session, found: pl.DataFrame) -> pl.DataFrame:
    rows = MARKET.bars("A01612", session).filter(pl.col("volume") > 0)
    timestamp = session.stamp_of_label(pl.col("label"))
    return (
        rows.with_columns(timestamp=timestamp)
        .select(VALUES)
        .join(found.select("timestamp"), on="timestamp", how="semi")
    )


async def test_bars_of_the_feed_are_the_markets(tmp_path: Path) -> None:
    async with feed(tmp_path) as (connection, _, clock):
        frames = await collect(connection, clock, 12)
        assert connection.state.reconnects == 0
        assert set(connection.state.registered) == {FUTURE, BOOK, STOCK}
        assert connection.state.silent == ()
    found = bars(frames, "A01612", SESSION)[1:-1]  # the first and the last minute are cut
    assert len(found) >= 9
    assert found["complete"].all()
    assert found.select(VALUES).equals(market_bars(SESSION, found))
    rows = read_frames(frames)
    assert {*rows.trades.column("symbol").to_pylist()} == {"A01612", "005930"}
    assert len(rows.quotes) > 100
    assert len(rows.rejected) == 0


@pytest.mark.parametrize(
    ("rule", "reconnects"),
    [
        ({"what": "stream_cut", "from": "09:03:00", "limit": 1}, 1),
        ({"what": "silence", "from": "09:03:00", "to": "09:04:00"}, None),
        ({"what": "silence", "pings": False, "from": "09:03:00", "to": "09:04:00"}, None),
        ({"what": "refuse_registration", "code": "OPSP0007", "limit": 2}, 0),
        ({"what": "refuse_registration", "code": "OPSP0011", "limit": 1}, 0),
        ({"what": "refuse_registration", "code": "OPSP8996", "limit": 2}, 2),
        ({"what": "maintenance", "from": "09:03:00", "to": "09:04:00"}, None),
    ],
    ids=lambda value: " ".join(map(str, value.values())) if isinstance(value, dict) else None,
)
async def test_after_a_fault_the_feed_is_there_again_and_its_bars_are_right(
    tmp_path: Path, rule: dict[str, Any], reconnects: int | None
) -> None:
    async with feed(tmp_path, rule) as (connection, simulator, clock):
        await collect(connection, clock, 15)
        frames = await collect(connection, clock, 5)
        assert set(connection.state.registered) == {FUTURE, BOOK, STOCK}
        assert reconnects in (None, connection.state.reconnects)
        assert simulator.stream.counts["connections"] <= 4
    found = bars(frames, "A01612", SESSION)[1:-1]
    assert len(found) >= 3
    assert found["complete"].all()
    assert found.select(VALUES).equals(market_bars(SESSION, found))


async def test_a_lower_limit_is_learnt_and_the_most_important_come(tmp_path: Path) -> None:
    rule = {"what": "registration_limit", "registrations": 2}
    async with feed(tmp_path, rule) as (connection, _, clock):
        await collect(connection, clock, 5)
        assert connection.state.registered == (FUTURE, BOOK)
        assert connection.state.limit == 2


async def test_a_storm_of_keys_in_use_makes_no_more_than_four_connections_in_ten_minutes(
    tmp_path: Path,
) -> None:
    rule = {"what": "refuse_registration", "code": "OPSP8996"}
    async with feed(tmp_path, rule) as (connection, simulator, clock):
        await collect(connection, clock, 60)
        assert "in use" in connection.state.doing
        assert simulator.stream.counts["connections"] <= 60 / 10 * 4
        assert clock.now() == NINE + timedelta(hours=1)
