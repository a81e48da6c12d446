"""A database with a short day in it: bars, signals, two maturities of options, a hole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import date, datetime, timedelta

import polars as pl
import pytest

from engine import schemas
from engine.clock import WallClock
from engine.market import sessions
from engine.store import Store
from engine.store.listings import store_listings
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from strategies.base import signal_batch
from strategies.registry import STRATEGIES
from tests.databases import filled_once, fresh_database
from tests.engine.store.data import listings
from tests.heartbeats import record_heartbeat
from tests.stamps import stamps_between

DAY = date(2026, 11, 16)
FUTURE, STOCK = "A01612", "005930"
HOLE = [datetime(2026, 11, 16, 10, 0), datetime(2026, 11, 16, 10, 1)]  # minutes never stored
_BARS = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]


def bars(symbols: list[str], first: date, last: date, level: float) -> pl.DataFrame:
    """A wave of prices, a bar for each expected stamp."""
    stamps = stamps_between(symbols, first, last)
    wave = level * (1 + 0.004 * (pl.int_range(pl.len()) / 40).sin())
    close = wave.round(2)
    opened = close.shift(1).fill_null(close)
    return stamps.select(
        pl.col("stamp").alias("timestamp"),
        "symbol",
        open=opened,
        high=pl.max_horizontal(opened, close),
        low=pl.min_horizontal(opened, close),
        close=close,
        volume=pl.int_range(pl.len()) % 900 + 1,
        fetched_at=pl.col("stamp") + timedelta(seconds=2),
        source=pl.lit(schemas.REST),
    )


def boards(minutes: list[datetime], underlying: str, level: float) -> pl.DataFrame:
    """Boards of 31 strikes with a smile."""
    strikes = pl.DataFrame({"strike": [1050.0 + 2.5 * n for n in range(-15, 16)]})
    sides = pl.DataFrame({"option_type": ["C", "P"], "code": ["B01612", "C01612"]})
    times = pl.DataFrame({"timestamp": minutes})
    board = times.join(strikes, how="cross").join(sides, how="cross")
    distance = pl.col("strike") / level - 1
    away = (pl.col("strike") - level).abs()
    sign = pl.when(pl.col("option_type") == "C").then(1.0).otherwise(-1.0)
    intrinsic = (sign * (level - pl.col("strike"))).clip(lower_bound=0.0)
    numbers = {
        "price": intrinsic + 16 - away / 4,
        "iv": 38 - 20 * distance,
        "delta": pl.when(pl.col("option_type") == "C").then(0.5).otherwise(-0.5) - distance,
        "historical_volatility": pl.lit(40.0),
        "underlying_price": pl.lit(level),
        **{name: pl.lit(0.1) for name in ("gamma", "vega", "theta", "rho", "theoretical_price")},
        "bid": intrinsic + 15.9 - away / 4,
        "ask": intrinsic + 16.1 - away / 4,
    }
    since = pl.col("timestamp").dt.minute().cast(pl.Int64)
    return board.with_columns(**numbers).with_columns(
        underlying_symbol=pl.lit(underlying),
        symbol=pl.col("code") + pl.col("strike").cast(pl.Int64).cast(pl.String).str.slice(-3),
        volume=10 + since,
        open_interest=100 + since,
        bought=5 + since,
        sold=pl.lit(3),
        turnover=(10.0 + since) * 1e6,
        atm_class=pl.lit("ATM"),
        underlying_source=pl.lit("future:A01612"),
        price_since=pl.col("timestamp"),
        stale_price=pl.lit(value=False),
        quoted_at=pl.col("timestamp"),
        quote_source=pl.lit("board"),
        bid_size=pl.lit(20),
        ask_size=pl.lit(30),
        index_price=pl.lit(None, pl.Float64),
        fetched_at=pl.col("timestamp"),
    )


async def fill_told_once(store: Store, of_day: pl.DataFrame) -> None:
    """Store states of the future and the flows of its market, a row for each bar."""
    minute = pl.int_range(pl.len())
    index = pl.col("close") - 1.2 - (minute / 50).sin()
    wholes, numbers = ["open_interest_change", "day_volume"], ["bid", "ask", "basis", "deviation"]
    states = of_day.with_columns(
        price="close",
        index_price=index,
        theoretical_price=index + 1.5,
        open_interest=200_000 + 20 * minute,
        day_turnover=0.0,
        source=pl.lit("FHKIF03020200"),
        **dict.fromkeys(wholes, pl.lit(1)),
        **dict.fromkeys(numbers, pl.lit(1.0)),
    )
    await store.merge("futures_state", schemas.conform(states, schemas.FUTURES_STATE))
    net = (1_000 * (minute / 70).sin()).cast(pl.Int64)
    flows = pl.concat(
        of_day.with_columns(
            symbol=pl.lit("KOSPI200_FUTURES"), investor=pl.lit(who), net_volume=share * net
        )
        for who, share in (("foreign", 3), ("institution", -1), ("individual", -2))
    )
    others = [name for name in schemas.INVESTOR_FLOWS.names if name not in flows.columns]
    zeros = flows.with_columns(pl.lit(0).alias(name) for name in others)
    await store.merge("investor_flows", schemas.conform(zeros, schemas.INVESTOR_FLOWS))


async def fill(url: str) -> None:
    """Store the day and the five sessions before it."""
    store = Store(url, WallClock(), component="test")
    earlier = sessions.previous_sessions(sessions.Market.DERIVATIVES, DAY, 5)
    futures = bars([FUTURE], earlier[0], DAY, 1050.0)
    stocks = bars([STOCK], DAY, DAY, 150_000.0).with_columns(timeframe=pl.lit("1m"))
    stored = futures.filter(~pl.col("timestamp").is_in(HOLE))
    await store.merge("futures_1m", schemas.conform(stored, schemas.FUTURES_BARS))
    await store.merge("stocks_1m", schemas.conform(stocks, schemas.STOCK_BARS))
    for strategy in STRATEGIES.values():
        signals = strategy.evaluate(stored.select(_BARS).lazy(), strategy.params()).collect()
        of_day = signals.filter(pl.col("timestamp").dt.date() == DAY)
        batch = signal_batch(of_day, strategy.schema, datetime(2026, 11, 16, 15, 46))
        await store.merge(strategy.table, batch)
    minutes = [datetime(2026, 11, 16, 9, m) for m in range(0, 60, 5)]
    chain = pl.concat(
        boards(minutes, name, 1050.0) for name in ("202612_KOSPI200", "202701_KOSPI200")
    )
    chain = chain.select(schemas.OPTION_CHAIN.names)
    await store.merge("option_chain_raw", schemas.conform(chain, schemas.OPTION_CHAIN))
    with_greeks = chain_with_greeks(chain)
    surface = chain_surface(with_greeks)
    for table, frame, schema in (
        ("option_surface", surface, schemas.OPTION_SURFACE),
        ("option_matrices", chain_matrix(with_greeks), schemas.OPTION_MATRIX),
        (
            "option_summary",
            chain_summary(chain_figures(with_greeks), surface),
            schemas.OPTION_SUMMARY,
        ),
    ):
        await store.merge(table, schemas.conform(frame, schema))
    await fill_told_once(store, stored.filter(pl.col("timestamp").dt.date() == DAY))
    since = pl.DataFrame(
        [[name, FUTURE, datetime(2026, 11, 16)] for name in STRATEGIES],
        orient="row",
        schema=schemas.STRATEGY_SYMBOLS.names,
    )
    batch = schemas.conform(since, schemas.STRATEGY_SYMBOLS)
    await store.merge("strategy_symbols", batch)
    await store_listings(store, listings(c005930="삼성전자"), DAY)
    await record_heartbeat(store, "collector", "running", "2026-11-16: 790 bars", 790, None)
    await store.close()


@pytest.fixture(scope="session")
def filled_template(server_url: str) -> str:
    """The URL of a database with the day in it, which others are copied from."""
    return filled_once(server_url, "day", lambda url: asyncio.run(fill(url)))


@pytest.fixture(scope="module")
def filled(filled_template: str) -> Iterator[str]:
    """The URL of a database with the day in it; tests of a module share it and only read."""
    with fresh_database(filled_template) as url:
        yield url
