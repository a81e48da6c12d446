"""A simulated KIS, a client and a database at one desk, for tests of the history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from engine.clock import Clock, VirtualClock
from engine.columns import PRICES
from engine.kis.client import KisClient
from engine.kis.transport import Transport
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.data import MarketData
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import APP_KEYS, Simulator, serve
from engine.store import Store, Writer
from pipelines.history.request import BackfillContext
from tests.databases import LONG
from tests.served import served_bars
from tests.soak.clocks import SteppedClock

BARS = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
KEY, SECRET = next(iter(APP_KEYS.items()))
MARKET = SyntheticMarket(3)  # of all tests: it keeps the sessions that it has made up


@dataclass(frozen=True)
class Desk:
    """What a test works with."""

    context: BackfillContext
    simulator: Simulator
    clock: VirtualClock

    @property
    def store(self) -> Store:
        return self.context.store

    @property
    def calls(self) -> int:
        """Calls for bars that the server has seen."""
        return sum(n for tr, n in self.simulator.counts.calls.items() if tr.startswith("FH"))

    async def next_run(self, hours: float = 3) -> BackfillContext:
        """Let hours pass; return what the next run works with, whose answers count as second ones.

        Two answers that show nothing settle a minute together (`engine.history.evidence`).
        """
        await self.clock.sleep(hours * 3600)
        return replace(self.context)

    async def bars(self, table: str = "futures_1m") -> pl.DataFrame:
        """All bars of a table, by key."""
        return await self.frame(f"SELECT {', '.join(BARS)} FROM {table} ORDER BY 1, 2")

    async def ledger(self) -> list[tuple[str, str, int]]:
        """State, reason and stamps of the ledger's rows, summed up."""
        found = await self.frame(
            "SELECT state, coalesce(reason, '') AS why, sum(stamps)::bigint AS stamps"
            " FROM gaps GROUP BY 1, 2 ORDER BY 1, 2"
        )
        return found.rows()

    async def frame(self, sql: str) -> pl.DataFrame:
        return pl.DataFrame(await self.store.query(sql))

    def served(self, symbol: str, day: date) -> pl.DataFrame:
        """The bars of a session as KIS serves them in the end, stamped as we store them."""
        session = parse(symbol).session(day)
        assert session is not None
        found = served_bars(self.simulator.exchange, symbol, day)
        stamped = found.with_columns(
            timestamp=session.stamp_of_label(pl.col("label")), symbol=pl.lit(symbol)
        )
        owed = pl.col("timestamp").is_in(session.stamps().implode())
        return stamped.filter(owed).select(BARS).sort("timestamp")


@asynccontextmanager
async def desk(
    url: str,
    folder: Path,
    now: datetime,
    market: MarketData | None = None,
    faults: Scenario | None = None,
    *,
    ahead: timedelta | None = None,
    calls_per_second: float = 5,
) -> AsyncIterator[Desk]:
    """Yield a desk whose clock stands at `now`, and which makes so many calls at most.

    With `ahead` the answers bear KIS's time, and this machine's clock is ahead of it by so much
    until KIS's next day.
    """
    clock = VirtualClock(now)
    midnight = datetime.combine(now.date() + timedelta(days=1), datetime.min.time())
    steps = [(now, ahead or timedelta()), (midnight, timedelta())]
    ours: Clock = clock if ahead is None else SteppedClock(clock, steps)
    async with serve(market or MARKET, clock, faults=faults, calls_per_second=1000) as simulator:
        key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
        settings = KisSettings(
            base_url=simulator.base_url,
            master_url=simulator.base_url + MASTER_PATH,
            app_keys=(key,),
            calls_per_second=calls_per_second,
        )
        transport = Transport(
            simulator.base_url, ours, timeout=settings.request_timeout, tells_time=ahead is not None
        )
        client = KisClient(settings, ours, folder=folder, transport=transport)
        store, writer = Store(url, ours), Writer(url, ours, folder / "spool")
        store_rejected = partial(writer.put, "rejected_rows")
        try:
            yield Desk(
                BackfillContext(store, writer.put, store_rejected, client, ours, writer),
                simulator,
                clock,
            )
        finally:
            await client.close()
            await writer.close()
            await store.close()


def send_fewer_frames(patch: pytest.MonkeyPatch) -> None:
    """Have the same trades of a minute sent in a fifth of the frames, but not in the long tests.

    Each frame is a message between two sockets, which is most of what a minute of the feed costs.
    """
    if not LONG:
        patch.setattr("engine.simulator.stream.day_rows.MOST_MOMENTS", 8)
        patch.setattr("engine.simulator.stream.day_rows.OPTION_MOMENTS", 2)


class Thin(SyntheticMarket):
    """The synthetic market with a stock that trades in few minutes, and one that does not trade.

    000020 has its first trade at 09:05 and none from 10:00 to 10:30, then a minute at one price, so
    that its turnover leaves no room for another trade; 000040 is halted.
    """

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        found = super()._bars(symbol, session)
        if symbol == "000040":
            return found.clear()
        if symbol != "000020":
            return found
        label = pl.col("label")
        quiet = label.is_between(
            session.opens + timedelta(minutes=60), session.opens + timedelta(minutes=90)
        )
        after = label == session.opens + timedelta(minutes=91)
        at_one_price = (pl.when(after).then("close").otherwise(name).alias(name) for name in PRICES)
        return found.with_columns(at_one_price).filter(
            label >= session.opens + timedelta(minutes=5), ~quiet
        )
