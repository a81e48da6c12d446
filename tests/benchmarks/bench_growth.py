"""How cost grows: with 10, 100 and 1,000 symbols, and with 1, 10 and 50 million bars stored.

A baseline is the smallest size's time: as it is where cost should not grow (a minute's merge into a
longer history, a month of it), else as many times that as there is more to do (a minute of more
symbols, gaps of more bars). So a ratio near 1 is growth as it should be, and a smaller one worse.

`--market` measures a year of the whole market instead, with an archive (`market_year`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import polars as pl

from engine import schemas
from engine.clock import WallClock
from engine.history.scan import scan
from engine.store.connection import Connection
from engine.store.merge import complete_rows, merge_tables
from engine.store.tables import TABLES
from tests.benchmarks.bench_env import LAST, BenchEnv, History
from tests.benchmarks.bench_history import find
from tests.benchmarks.bench_research import of_month
from tests.benchmarks.bench_strategy import ENGINE, PARAMS, STRATEGY, bars
from tests.benchmarks.market_year import FULL, SMALL, MarketYear, measure_market
from tests.benchmarks.rows import Row, in_turns

STOCKS = TABLES["stocks_1m"]
OF_AN_ANSWER = 30  # bars in each poll of a stock: one of them is new
AFTER_HOURS = datetime(
    LAST.year, LAST.month, LAST.day, 18
)  # in the last month, after every expected bar
MEASURED = 60  # symbols of the histories that grow by days
DAYS = {1: 44, 10: 440, 50: 2190}  # sessions that hold so many million bars of 60 stocks
SESSIONS = 6  # of the features that grow by symbols: all of it must fit into memory
TINY = {
    "rounds": 2,
    "symbols": (1, 3),
    "days": (1, 2),
    "stocks": 2,
    "sessions": 2,
    "market": SMALL,
}
QUICK = {"rounds": 1, "symbols": (10, 50), "days": (2, 20), "stocks": 10, "sessions": 5}
LARGE = {"days": tuple(DAYS.values())}
MARKET = {"rounds": 3, "symbols": (), "days": (), "market": FULL}


def measure(
    env: BenchEnv,
    *,
    rounds: int = 5,
    symbols: tuple[int, ...] = (10, 100, 1000),
    days: tuple[int, ...] = (DAYS[1], DAYS[10]),
    stocks: int = MEASURED,
    sessions: int = SESSIONS,
    market: MarketYear | None = None,
) -> list[Row]:
    """Measure both kinds of growth; the histories hold so many `stocks`. And a `market`."""
    rows = []
    if symbols:
        rows += by_symbols(env, rounds, symbols)
        rows += features_by_symbols(rounds, symbols, sessions)
    if days:
        rows += by_bars(env, rounds, [env.history(stocks, count) for count in days], stocks)
    if market:
        rows += measure_market(env, market, rounds)
    return rows


def by_symbols(env: BenchEnv, rounds: int, symbols: tuple[int, ...]) -> list[Row]:
    """Merge a minute's answers of so many stocks into one table."""
    minutes = [Minutes(env.database(), count) for count in symbols]
    for each in minutes:
        each.merge()  # the first finds nothing stored
    took = in_turns({str(each.symbols): each.merge for each in minutes}, rounds)
    for each in minutes:
        each.close()
    return _linear("a minute's answers merged, {:,} stocks", symbols, took)


def features_by_symbols(rounds: int, symbols: tuple[int, ...], sessions: int) -> list[Row]:
    """Evaluate dolpha1 over a few sessions of so many symbols."""
    most = bars(max(symbols), sessions)
    frames = {n: most.filter(pl.col("symbol") < f"{n:06d}").lazy() for n in symbols}
    took = in_turns(
        {
            str(n): lambda frame=frame: STRATEGY.evaluate(frame, PARAMS).collect(engine=ENGINE)
            for n, frame in frames.items()
        },
        min(rounds, 3),
    )
    return _linear("dolpha1's features, {:,} symbols", symbols, took)


def by_bars(env: BenchEnv, rounds: int, histories: list[History], stocks: int) -> list[Row]:
    """Do with longer and longer histories what is done with them every day."""
    listed = [env.folder / f"targets-{n}.parquet" for n, _ in enumerate(histories)]
    for history, file in zip(histories, listed, strict=True):
        history.targets.write_parquet(file)
    minutes = [Minutes(history.url, stocks) for history in histories]
    for each in minutes:
        each.merge()
    merged = _time_each(rounds, [each.merge for each in minutes])
    for each in minutes:
        each.take_back()
        each.close()
    read = _time_each(
        rounds,
        [lambda url=h.url: of_month(scan("stocks_1m", url)).collect() for h in histories],
    )
    looked = _time_each(
        min(rounds, 2),
        [partial(find, "adbc", h.url, str(at)) for h, at in zip(histories, listed, strict=True)],
    )
    sizes = [history.rows for history in histories]
    return [
        *_level("a minute's answers merged into {} bars", sizes, merged),
        *_level("one symbol and month read out of {} bars", sizes, read),
        *_linear("missing minutes found in {:,} bars", tuple(sizes), looked),
    ]


class Minutes:
    """Merges the answers of one minute after the other, each with the 29 bars before its own."""

    def __init__(self, url: str, symbols: int) -> None:
        self.symbols = symbols
        self._minute = 0
        self._connection = Connection(url, "bench")
        self._connection.execute_alone(f"SELECT make_partition('stocks_1m', '{LAST:%Y%m}')")

    def merge(self) -> None:
        """Merge the next minute's answers."""
        batch = schemas.conform(_answers(self.symbols, self._minute), schemas.STOCK_BARS)
        rows = complete_rows(STOCKS, [batch], WallClock().now())
        merge_tables(self._connection, [(STOCKS, rows)])
        self._minute += 1

    def take_back(self) -> None:
        """Delete what was merged: other benchmarks use the history, too."""
        self._connection.execute_alone(f"DELETE FROM stocks_1m WHERE timestamp >= '{AFTER_HOURS}'")

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _answers(symbols: int, minute: int) -> pl.DataFrame:
    first = AFTER_HOURS + timedelta(minutes=minute)
    stamps = pl.datetime_range(first, first + timedelta(minutes=OF_AN_ANSWER - 1), "1m", eager=True)
    names = pl.DataFrame({"symbol": [f"{n:06}" for n in range(1, symbols + 1)]})
    wave = 50_000.0 + pl.col("timestamp").dt.minute()
    return names.join(pl.DataFrame({"timestamp": stamps}), how="cross").with_columns(
        timeframe=pl.lit("1m"),
        open=wave,
        high=wave + 100,
        low=wave - 100,
        close=wave + 50,
        volume=pl.col("timestamp").dt.minute().cast(pl.Int64),
        fetched_at=pl.lit(first),
        source=pl.lit(schemas.REST),
    )


def _time_each(rounds: int, ways: list[Callable[[], object]]) -> dict[str, float]:
    return in_turns({str(n): way for n, way in enumerate(ways)}, rounds)


def _linear(what: str, sizes: tuple[int, ...], took: dict[str, float]) -> list[Row]:
    """Return rows whose baseline is the smallest size's time, as many times as there is more."""
    seconds = list(took.values())
    return [
        Row(what.format(size), seconds[n], seconds[0] * size / sizes[0] if n else None, size)
        for n, size in enumerate(sizes)
    ]


def _level(what: str, sizes: list[int], took: dict[str, float]) -> list[Row]:
    """Return rows whose baseline is the smallest size's time."""
    seconds = list(took.values())
    return [
        Row(what.format(f"{size:,}"), seconds[n], seconds[0] if n else None, size)
        for n, size in enumerate(sizes)
    ]
