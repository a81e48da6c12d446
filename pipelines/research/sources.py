"""The stored data as lazy frames: from the database that the settings name, or from its export."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Literal, get_args

import polars as pl

from engine.clock import WallClock
from engine.errors import InputError
from engine.features.adjustment import ACTIONS
from engine.features.adjustment import adjusted as adjusted_bars
from engine.history import parquet
from engine.history import scan as postgres
from engine.history.front import front_series
from engine.history.session_columns import front_contracts
from engine.history.trades import scan_trades
from engine.market.symbols import FrontMonth
from engine.settings import DataKind, load_settings
from engine.store.book_files import FOLDER as BOOK_FOLDER
from engine.store.book_files import scan_files
from engine.store.trade_files import FOLDER as TRADES_FOLDER
from engine.store.trade_files import TRADES
from pipelines.databases import data_kind, open_reader
from pipelines.evaluation.bars import symbol_with_bars
from pipelines.read_only import reader_url
from pipelines.reports import queries
from pipelines.reports.environment import READER_SIMULATED, READER_URL
from pipelines.reports.sql_text import sql_text
from pipelines.reports.standing import present_moment
from pipelines.research.names import CHAIN, not_stored, of_chain
from pipelines.texts import Texts, texts_for
from strategies.registry import DEFAULT_STRATEGY, strategy_named

Source = Literal["postgres", "parquet"]
STOCKS = "stocks_1m"
EXPORT = "export"  # folder of the Parquet export, beside the database


def scan(
    table: str,
    *,
    source: Source = "postgres",
    url: str | None = None,
    export: Path | str | None = None,
    order_by: Sequence[str] | None = None,
    descending: bool = False,
    adjusted: bool = False,
) -> pl.LazyFrame:
    """Return a table or view as a lazy frame; see `engine.history.scan.scan`.

    `adjusted` makes one series of stocks_1m over corporate actions, at the prices of the newest
    bars; see `engine.features.adjustment.adjusted` for its columns. By default prices are as KIS
    gave them when it was asked.

    Trades come from the database and from the files of sessions that have left it, by session,
    symbol and day_volume; `source` makes no difference to them.

    `url` is the database, by default the one that the settings name (an embedded one is started
    and runs until this process ends). `source="parquet"` reads the Parquet export in the folder
    `export`, by default the one beside the database.
    """
    if adjusted:
        if table != STOCKS:
            raise InputError(f"{table} is not adjusted for corporate actions: {STOCKS} is")
        actions = postgres.scan("adjustments", url or database_url()).select(list(ACTIONS))
        bars = scan(
            table, source=source, url=url, export=export, order_by=order_by, descending=descending
        )
        return adjusted_bars(bars, actions.collect())
    if table == TRADES.name:
        folder = database_folder() / TRADES_FOLDER
        return scan_trades(url or database_url(), folder, order_by=order_by, descending=descending)
    if source == "parquet":
        folder = Path(export or database_folder() / EXPORT)
        return parquet.scan_parquet(table, folder, order_by=order_by, descending=descending)
    return postgres.scan(table, url or database_url(), order_by=order_by, descending=descending)


def scan_book(symbol: str | None = None, *, folder: Path | str | None = None) -> pl.LazyFrame:
    """Return the book of futures, a row for each change that KIS sent; of one contract, if given.

    Columns: session, symbol, told_at (the exchange's second), received_at, bid1 … bid5, ask1 …
    ask5 and of each `bid_size1`, `bid_orders1` …; times are KST. A day that is not over is there as
    far as it is written. `folder` is by default the one beside the database. Raises StoreError.
    """
    return _where(scan_files(Path(folder or database_folder() / BOOK_FOLDER)), symbol=symbol)


def scan_matrix(
    underlying_symbol: str | None = None,
    metric: str | None = None,
    *,
    source: Source = "postgres",
    url: str | None = None,
    export: Path | str | None = None,
) -> pl.LazyFrame:
    """Return option matrices, one row a minute and metric; of one chain and metric, if given.

    A chain is named as `scan_chain` says.
    """
    frame = scan("option_matrices", source=source, url=url, export=export)
    return _of_chain(_where(frame, metric_type=metric), underlying_symbol, source, url)


def scan_chain(
    underlying_symbol: str | None = None,
    *,
    source: Source = "postgres",
    url: str | None = None,
    export: Path | str | None = None,
) -> pl.LazyFrame:
    """Return option chains, one row a minute and option; of one chain, if given.

    A chain is `202612_KOSPI200`, or as settings name it: `front` (of each day the nearest
    maturity), `202612`, `KOSPI200`, `MINI_KOSPI200:202612`. Raises InputError, with what is stored,
    for one of which nothing is.
    """
    frame = scan("option_chain_raw", source=source, url=url, export=export)
    return _of_chain(frame, underlying_symbol, source, url)


def scan_summary(
    underlying_symbol: str | None = None,
    *,
    source: Source = "postgres",
    url: str | None = None,
    export: Path | str | None = None,
) -> pl.LazyFrame:
    """Return summaries of chains, one row a minute: volatility, skew, max pain, gamma exposure.

    A chain is named as `scan_chain` says.
    """
    frame = scan("option_summary", source=source, url=url, export=export)
    return _of_chain(frame, underlying_symbol, source, url)


def scan_surface(
    underlying_symbol: str | None = None,
    *,
    source: Source = "postgres",
    url: str | None = None,
    export: Path | str | None = None,
) -> pl.LazyFrame:
    """Return the smiles of chains and the exposures on them, one row a minute and maturity.

    Rows named all_KOSPI200 are over all maturities. Of one chain, named as `scan_chain` says, if
    given.
    """
    frame = scan("option_surface", source=source, url=url, export=export)
    return _of_chain(frame, underlying_symbol, source, url)


def scan_signals(
    strategy: str = DEFAULT_STRATEGY,
    symbol: str | None = None,
    *,
    source: Source = "postgres",
    url: str | None = None,
    export: Path | str | None = None,
) -> pl.LazyFrame:
    """Return a strategy's signals as they are stored, one row a bar; of one symbol, if given.

    Raises InputError for an unknown strategy, and for one that has not stored a signal yet.
    """
    frame = scan(strategy_named(strategy).table, source=source, url=url, export=export)
    return _where(frame, symbol=symbol)


def scan_bars(
    symbol: str = "A01", *, adjusted: bool = False, url: str | None = None
) -> pl.LazyFrame:
    """Return the minute bars of a symbol, from the table that it belongs to, ascending in time.

    A code (`A01612`, `005930`, `005930_NX`), or a product (`A01`), whose front months come one
    after the other as of `front_series`. `adjusted` makes one series over the rolls, of stocks over
    corporate actions. Raises InputError, with the symbols that are stored, for one without a bar.
    """
    wanted, address = symbol_with_bars(symbol), url or database_url()
    of_stocks = adjusted and wanted.table == STOCKS
    table = scan(wanted.table, url=address, adjusted=of_stocks)
    last = queries.last_bars(address).filter(table_name=wanted.table)["symbol"].to_list()
    if isinstance(wanted, FrontMonth):
        if set(front_contracts(wanted)["symbol"]).isdisjoint(last):
            raise InputError(not_stored(f"bar of {wanted.code}", wanted.code, last))
        return front_series(table, wanted.code, adjusted=adjusted)
    if wanted.code not in last:
        raise InputError(not_stored(f"bar of {wanted.code}", wanted.code, last))
    return table.filter(symbol=wanted.code)


def _of_chain(
    frame: pl.LazyFrame, text: str | None, source: Source, url: str | None
) -> pl.LazyFrame:
    if text is None:
        return frame
    name = pl.col(CHAIN)
    if source == "parquet":
        stored = frame.select(name.unique().sort()).collect().to_series()
    else:
        ask = partial(postgres.query, url or database_url())
        stored = ask(sql_text("research", "chains.sql"))[CHAIN]
    return frame.filter(of_chain(text, stored.to_list()))


def _where(frame: pl.LazyFrame, **values: str | None) -> pl.LazyFrame:
    wanted = {column: value for column, value in values.items() if value is not None}
    return frame.filter(**wanted) if wanted else frame


@cache
def database_url() -> str:
    """Return the database that the settings name; an embedded one runs until the process ends."""
    if READER_URL in os.environ:
        return os.environ[READER_URL]
    settings = load_settings()
    if settings.database.url is not None:  # a reader may not migrate it
        return reader_url(settings.database.url)
    running = ExitStack()
    atexit.register(running.close)
    return running.enter_context(open_reader(default_kind(), settings=settings)).url


def use_database(kind: DataKind | None) -> None:
    """Read simulated or real data (`simulation`, `live`) from now on; None: as the settings say.

    A server of your own holds one kind, which it knows by itself. Raises InputError if that is
    another, and for any other word.
    """
    if kind not in (None, *get_args(DataKind)):
        raise InputError(f"{kind!r} is not a kind of data: write simulation or live")
    found = default_kind() if READER_URL in os.environ else data_kind(load_settings(), kind)
    if kind is not None and found != kind:
        raise InputError(f"the database that the settings name holds {found} data, not {kind}")
    _asked[:] = [] if kind is None else [kind]
    database_url.cache_clear()


_asked: list[DataKind] = []  # what `use_database` was given last


def database_folder() -> Path:
    """Return the folder of the settings' database and of everything that belongs to it."""
    return load_settings().folder(default_kind())


def default_kind() -> DataKind:
    """Return which data is meant: what `just research` opened, else what the settings say."""
    if READER_URL in os.environ:
        return "simulation" if os.environ.get(READER_SIMULATED) == "1" else "live"
    return data_kind(load_settings(), *_asked)


def present() -> datetime:
    """Return the moment by which minutes are missing: now, or where the simulation is."""
    ask = partial(postgres.query, database_url())
    return present_moment(ask, WallClock(), simulated=default_kind() == "simulation")


def texts() -> Texts:
    """Return the texts in the language of the settings, else in the system's."""
    return texts_for(load_settings().language)
