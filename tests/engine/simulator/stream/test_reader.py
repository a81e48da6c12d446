"""What the simulator writes is what our own reader of KIS's frames reads."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.features.ticks import bars_from_trades
from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import read_frames
from engine.market.products import KOSPI200
from engine.market.sessions import Market, Session
from engine.market.symbols import front_month
from engine.simulator import RecordedMarket, SyntheticMarket
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.faults.garble import garbled
from engine.simulator.faults.stream_rules import (
    AddedFields,
    DoubledFrames,
    ForeignRecords,
    FrameRule,
    MissingCount,
    TornFrames,
)
from engine.simulator.market.data import BARS, MarketData, instrument, open_session
from engine.simulator.market.trades import trades_of_bars
from engine.simulator.stream.frames import FrameWriter
from engine.simulator.stream.services import SERVICES
from tests.engine.simulator.stream.client import records

DAY = date(2026, 11, 18)
MARKET = SyntheticMarket(7)
TRADES_OF = {"H0IFCNT0": "A01612", "H0MFCNT0": "A01612", "H0STCNT0": "005930"}
NAMES = ["timestamp", "open", "high", "low", "close", "volume"]


def session_of(tr_id: str) -> Session:
    return open_session(SERVICES[tr_id].market, DAY)


def day_frames(
    market: MarketData, tr_id: str, symbol: str, session: Session
) -> list[tuple[object, str]]:
    writer = FrameWriter(SimulatedExchange(market), seed=1)
    return [
        (frame.leaves_at, frame.text)
        for block in range(writer.blocks(symbol, session))
        for frame in writer.block(tr_id, symbol, session, block)
    ]


def bars_of(symbol: str, session: Session, frames: list[tuple[object, str]]) -> pl.DataFrame:
    read = read_frames(frames)
    trades = pl.LazyFrame(pl.from_arrow(read.trades))
    product = instrument(symbol).product
    multipliers = {symbol: product.multiplier} if product else {}
    return bars_from_trades(
        trades, session.stamp_of_trade(pl.col("traded_at")), multipliers
    ).collect()


def stamped(bars: pl.DataFrame, session: Session) -> pl.DataFrame:
    timestamp = session.stamp_of_label(pl.col("label"))
    expected = bars.filter(pl.col("volume") > 0).with_columns(timestamp=timestamp)
    return expected.drop_nulls("timestamp").select(NAMES)


@pytest.mark.parametrize("tr_id", SERVICES)
def test_the_fields_that_are_written_are_those_that_are_read(tr_id: str) -> None:
    assert tuple(SERVICES[tr_id].columns) == LAYOUTS[tr_id].fields


@pytest.mark.parametrize("tr_id", TRADES_OF)
def test_the_trades_that_are_read_are_those_that_were_made(tr_id: str) -> None:
    symbol, session = TRADES_OF[tr_id], session_of(tr_id)
    made = trades_of_bars(symbol, session, MARKET.bars(symbol, session))
    read = read_frames(day_frames(MARKET, tr_id, symbol, session))
    trades = pl.DataFrame(pl.from_arrow(read.trades))
    assert read.rejected.num_rows == 0
    same = ["price", "size", "side", "day_volume", "day_bought", "day_sold"]
    quotes = ["bid", "ask", "bid_size", "ask_size"]
    assert trades.select(same).equals(made.select(same))
    assert trades.select(quotes).equals(made.select(quotes))
    assert trades["traded_at"].equals(made["happened_at"].dt.truncate("1s").alias("traded_at"))
    assert (trades["session"] == DAY).all()
    unit = 1_000 if tr_id != "H0STCNT0" else 1
    assert (trades["day_turnover"] == made["day_turnover"] // unit * unit).all()
    delay = trades["received_at"] - trades["traded_at"]
    assert delay.min() >= timedelta()
    assert delay.max() <= timedelta(seconds=4.2)


@pytest.mark.parametrize("tr_id", TRADES_OF)
def test_bars_from_the_feed_are_the_markets_and_complete(tr_id: str) -> None:
    symbol, session = TRADES_OF[tr_id], session_of(tr_id)
    found = bars_of(symbol, session, day_frames(MARKET, tr_id, symbol, session))
    assert found["complete"].all()
    assert found.select(NAMES).equals(stamped(MARKET.bars(symbol, session), session))


def test_bars_of_recorded_futures_come_back_by_the_feed(futures_file: Path) -> None:
    market = RecordedMarket(futures_file)
    for day in (date(2025, 9, 1), date(2025, 9, 11), date(2025, 10, 31)):
        code = front_month(KOSPI200).on(day).code
        session = instrument(code).session(day)
        assert session is not None
        frames = day_frames(market, "H0IFCNT0", code, session)
        found = bars_of(code, session, frames)
        assert found["complete"].all()
        assert found.select(NAMES).equals(stamped(market.bars(code, session), session))


def test_a_bar_that_no_trades_can_give_is_known_to_be_missing() -> None:
    session = session_of("H0IFCNT0")
    begin = session.opens + timedelta(minutes=5)
    rows = [
        (begin, 200.0, 200.0, 200.0, 200.0, 3),
        (begin + timedelta(minutes=1), 200.0, 200.1, 199.9, 200.05, 2),
        (begin + timedelta(minutes=2), 200.0, 200.0, 200.0, 200.0, 4),
        (begin + timedelta(minutes=3), 200.0, 200.05, 200.0, 200.0, 5),
    ]

    class FourBars:
        index = MARKET.index

        def bars(self, _symbol: str, _session: Session) -> pl.DataFrame:
            return pl.DataFrame(rows, BARS, orient="row")

    market = FourBars()
    found = bars_of("A01612", session, day_frames(market, "H0IFCNT0", "A01612", session))
    assert found["volume"].to_list() == [3, 4, 5]
    assert found["complete"].to_list() == [False, False, None]


@pytest.mark.parametrize(
    "rule",
    [
        AddedFields(what="added_fields", fields=3),
        MissingCount(what="missing_count"),
        DoubledFrames(what="doubled_frames"),
        ForeignRecords(what="foreign_records"),
    ],
)
def test_what_a_scenario_does_to_frames_does_not_change_the_bars(rule: FrameRule) -> None:
    symbol, session = "A01612", session_of("H0IFCNT0")
    frames = day_frames(MARKET, "H0IFCNT0", symbol, session)[:3_000]
    changed = [(moment, other) for moment, text in frames for other in garbled(text, [rule])]
    assert len(changed) >= len(frames)
    usual = bars_of(symbol, session, frames)
    assert bars_of(symbol, session, changed).filter(pl.col("symbol") == symbol).equals(usual)


def test_torn_frames_are_rejected_or_give_less_never_something_else() -> None:
    session = session_of("H0IFCNT0")
    frames = day_frames(MARKET, "H0IFCNT0", "A01612", session)[:500]
    torn = TornFrames(what="torn_frames", share=0.6)
    read = read_frames([(moment, garbled(text, [torn])[0]) for moment, text in frames])
    whole = {tuple(record[:12]) for _, text in frames for record in records(text)}
    trades = pl.DataFrame(pl.from_arrow(read.trades))
    assert read.rejected.num_rows > 100
    sizes = {(record[5], record[9], record[10]) for record in whole}
    found = trades.select(
        pl.col("price").map_elements(lambda price: f"{price:.2f}", pl.String),
        pl.col("size").cast(pl.String),
        pl.col("day_volume").cast(pl.String),
    )
    assert set(found.rows()) <= sizes


def test_a_trade_of_an_option_is_read_with_its_greeks() -> None:
    exchange = SimulatedExchange(MARKET)
    code = exchange.options.day("KOSPI200", "202612", DAY).listed["code"][190]
    session = open_session(Market.DERIVATIVES, DAY)
    frames = [
        (frame.leaves_at, frame.text)
        for frame in FrameWriter(exchange, seed=1).block("H0IOCNT0", code, session, 2)
    ]
    quotes = pl.DataFrame(pl.from_arrow(read_frames(frames).option_quotes))
    listing = exchange.options.find(code, DAY)
    assert listing is not None
    board = exchange.options.at("KOSPI200", "202612", DAY, 44).row(listing.row, named=True)
    last = quotes.row(-1, named=True)
    for name in ("price", "bid", "ask", "volume", "open_interest"):
        assert last[name] == board[name]
    before = exchange.options.at("KOSPI200", "202612", DAY, 43).row(listing.row, named=True)
    for name in ("delta", "gamma", "vega", "theta", "rho", "iv"):
        assert last[name] == pytest.approx(before[name], abs=1e-4)
