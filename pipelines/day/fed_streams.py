"""What KIS tells only once, as the feed tells it, beside what is asked for by REST.

Of programme trading the feed alone has volumes, of a stock's auctions alone each change; of a
future each trade says open interest, basis and theoretical price, so the minutes in which its bars
are not asked for have a state, too. REST stands where both say the same thing. A minute is written
a second after its end; nothing here ends the day, and a kill loses what came since.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa

from engine.clock import Clock, floor_minute
from engine.columns import TIME
from engine.errors import KrtError
from engine.kis.stream.frames import Frame
from engine.kis.stream.plain_records import is_frame_of
from engine.kis.stream.registrations import StreamRegistration, Wish
from engine.kis.stream.told_once import EXPECTATIONS, MARKETS, PROGRAMMES, TOLD_ONCE, read_told
from engine.market.hours import MINUTE
from engine.market.symbols import Contract, parse
from engine.market.told_once import STREAMS
from engine.schemas import EXPECTED_PRICES, FUTURES_STATE, PROGRAMME_TRADES, REJECTED_ROWS, conform
from pipelines.day.ingest import Ingestor
from pipelines.day_plan import DayPlan, StreamPlan

log = logging.getLogger(__name__)

FUTURE_TRADES = "H0IFCNT0"
_AFTER = timedelta(seconds=1)  # 99 % of what the exchange sends is here by then
_PRIORITY = 1.6  # after what has bars, before the options
_MARGIN = timedelta(minutes=1)  # around an auction, in which a stock is registered
_TOO_MANY = 5_000  # rows in memory: only the last of each minute counts
_THOUSAND = 1_000  # KRW in one unit of a state's turnover
_STATE = FUTURES_STATE.names
_NONE_REJECTED = pa.RecordBatch.from_pylist([], REJECTED_ROWS)


class FedStreams:
    """Reads the feed's frames of a day's streams, and keeps what they and its trades say."""

    def __init__(self, plan: DayPlan, ingestor: Ingestor, clock: Clock) -> None:
        self._ingestor = ingestor
        self._clock = clock
        self._sessions = {
            b.symbol: b.session
            for b in plan.bars
            if isinstance(parse(b.symbol), Contract) and not plan.night
        }
        self._auctions = {
            one.symbol.subject: one for one in _streams(plan, "auctions") if one.symbol.is_of_stock
        }
        self._programmes = {one.symbol.subject: one for one in _streams(plan, "programme")}
        self._expected = EXPECTED_PRICES.empty_table()
        self._sums = PROGRAMME_TRADES.empty_table()
        self._states: list[pl.DataFrame] = []

    def wishes(self, now: datetime) -> list[Wish]:
        """Return what is to be registered now; a stock only while its auctions last."""
        codes = [code for code, market in MARKETS.items() if market in self._programmes]
        wanted = [StreamRegistration(PROGRAMMES, code) for code in codes]
        wanted += [
            StreamRegistration(EXPECTATIONS, stock)
            for stock, stream in self._auctions.items()
            if _takes_orders(stream, now)
        ]
        return [Wish(one, _PRIORITY) for one in wanted]

    def take(
        self,
        frames: Sequence[Frame],
        registered: Collection[StreamRegistration],
        ahead: timedelta,
    ) -> tuple[list[Frame], pa.RecordBatch]:
        """Keep what frames say of these streams; return the others, and what cannot be read."""
        own: list[Frame] = []
        others: list[Frame] = []
        for frame in frames:
            is_own = any(is_frame_of(frame[1], tr_id) for tr_id in TOLD_ONCE)
            (own if is_own else others).append(frame)
        if not own:
            return others, _NONE_REJECTED
        expected, sums, rejected = read_told(own, registered, ahead)
        self._expected = pa.concat_tables([self._expected, pa.Table.from_batches([expected])])
        self._sums = pa.concat_tables([self._sums, pa.Table.from_batches([sums])])
        return others, rejected

    def keep_states(self, states: pa.RecordBatch) -> None:
        """Keep what trades of futures (FUTURE_STATES) say beside themselves."""
        if states.num_rows and self._sessions:
            self._states.append(pl.DataFrame(states))
            if sum(map(len, self._states)) > _TOO_MANY:
                self._states = [_last_of_minutes(pl.concat(self._states), "traded_at")]

    async def run(self, read: Callable[[], None], register: Callable[[], None]) -> None:
        """Write each minute, and `register` when other things are wanted, until cancelled.

        `read` reads the frames that have come and wait to be read.
        """
        wanted = self.wishes(self._clock.now())
        while True:
            await self._clock.sleep_until(floor_minute(self._clock.now()) + MINUTE + _AFTER)
            read()
            await self.write(floor_minute(self._clock.now()))
            if (now_wanted := self.wishes(self._clock.now())) != wanted:
                wanted = now_wanted
                register()

    async def write(self, until: datetime) -> None:
        """Store what has come of the minutes that end by then."""
        expected, self._expected = pl.DataFrame(self._expected), EXPECTED_PRICES.empty_table()
        for stock, stream in self._auctions.items():
            stamps = stream.symbol.expected_stamps(stream.session.date).implode()
            rows = expected.filter(symbol=stock).filter(pl.col("timestamp").is_in(stamps))
            await self._store(stream.code, "expected_prices", conform(rows, EXPECTED_PRICES))
        sums = pl.DataFrame(self._sums)
        is_over = pl.col("timestamp") <= until
        self._sums = sums.filter(~is_over).to_arrow().cast(PROGRAMME_TRADES)
        for market, stream in self._programmes.items():
            session = stream.session
            inside = pl.col("timestamp").is_between(session.first_stamp, session.last_stamp)
            last = _last_of_minutes(sums.filter(is_over, inside, symbol=market), "timestamp")
            await self._store(stream.code, "programme_trades", conform(last, PROGRAMME_TRADES))
        if not self._states:
            return
        states = pl.concat(self._states)
        is_over = pl.col("traded_at") < until
        self._states = [states.filter(~is_over)]
        for symbol, session in self._sessions.items():
            stamp = session.stamp_of_trade(pl.col("traded_at")).alias("timestamp")
            rows = states.filter(is_over, symbol=symbol).with_columns(stamp)
            batch = read_states(rows.filter(pl.col("timestamp").is_not_null()))
            await self._store(f"{STREAMS['state'].prefix}{symbol}", "futures_state", batch)

    async def _store(self, code: str, table: str, batch: pa.RecordBatch) -> None:
        try:
            await self._ingestor.store_stream(code, table, batch)
        except KrtError as error:
            log.warning("⚠️ feed: %s: %s", code, error)


def read_states(rows: pl.DataFrame) -> pa.RecordBatch:
    """Return the last state of each minute, in FUTURES_STATE, of FUTURE_STATES with timestamps.

    KIS's trades do not say the index: it is the price less the market's basis.
    """
    last = rows.unique(["symbol", "timestamp"], keep="last", maintain_order=True)
    return conform(
        last.with_columns(
            index_price=(pl.col("price") - pl.col("market_basis")).round(2),
            day_turnover=pl.col("day_turnover") / _THOUSAND,
            source=pl.lit(FUTURE_TRADES),
            fetched_at=pl.col("received_at").cast(TIME),
        ).select(_STATE),
        FUTURES_STATE,
    )


def _streams(plan: DayPlan, name: str) -> list[StreamPlan]:
    return [one for one in plan.streams if one.symbol.stream.name == name]


def _takes_orders(stream: StreamPlan, now: datetime) -> bool:
    """Say whether an auction of a stock is near or on."""
    ends = stream.symbol.expected_stamps(stream.session.date)
    near = (ends - MINUTE - _MARGIN <= now) & (now < ends + _MARGIN)
    return bool(near.any())


def _last_of_minutes(rows: pl.DataFrame, moment: str) -> pl.DataFrame:
    """Return the last row of each symbol and minute, of rows in the order in which they came."""
    minute = pl.col(moment).dt.truncate("1m").alias("minute")
    return (
        rows.with_columns(minute)
        .unique(["symbol", "minute"], keep="last", maintain_order=True)
        .drop("minute")
    )
