"""The relations that the checks read, for a part of the history at a time.

A part is some sessions of some symbols. Bars come with the session before and the session after,
which some checks need to judge a bar by. Matrices and signals come with those that are computed
from the stored chain and the stored bars, to compare them with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import polars as pl

from engine.clock import Clock, today
from engine.columns import SESSION, STAMP
from engine.history.checks import RELATIONS
from engine.history.clean import look_quickly
from engine.history.completeness import SETTLED
from engine.history.queries import (
    read_bars,
    read_chain,
    read_confirmed_bars,
    read_matrices,
    read_summaries,
    read_surfaces,
)
from engine.market.expected import with_grids
from engine.market.nights import session_of
from engine.market.sessions import Market
from engine.market.symbols import (
    Contract,
    Night,
    Option,
    OptionChain,
    Stock,
    VenueStock,
    parse,
)
from engine.market.told_once import ToldOnce
from engine.market.trading_days import rules, trading_days
from engine.store import Store, ledger
from pipelines.chains import chain_figures, chain_matrix, chain_summary, chain_with_greeks
from pipelines.history.missing_trades import missing_trades_relation
from pipelines.history.session_status import store_clean_status
from pipelines.history.signal_inputs import signal_relations
from pipelines.history.survey import Survey, store_marks, survey
from pipelines.history.told_once import told_once_relations

BARS_AT_ONCE = 4_000  # targets: some 1,500,000 bars
CHAINS_AT_ONCE = 1  # a session of a chain is some 100,000 rows
_WHOLE_KRW = 1.0
DAY = timedelta(days=1)
FORTNIGHT = timedelta(days=14)  # KRX never closes for so long


@dataclass(frozen=True)
class Part:
    """Targets (symbol, session) and the dates from first to last, also those without a session."""

    targets: pl.DataFrame
    first: date
    last: date

    @property
    def symbols(self) -> list[str]:
        """The symbols of the targets."""
        return self.targets["symbol"].unique().sort().to_list()


def parts(targets: pl.DataFrame, first: date | None, last: date | None) -> Iterator[Part]:
    """Divide targets into parts that fit in memory, oldest first; their dates leave no gap.

    `first` and `last` widen the dates of bars beyond those of the sessions.
    """
    chains, told = (
        [symbol for symbol in targets["symbol"].unique() if isinstance(parse(symbol), kind)]
        for kind in (OptionChain, ToldOnce)
    )
    others = pl.col("symbol").is_in([*chains, *told])
    for group in _symbol_groups(targets.filter(~others)):
        yield from _divide(group, BARS_AT_ONCE, first, last)
    yield from _divide(targets.filter(pl.col("symbol").is_in(told)), BARS_AT_ONCE, None, None)
    for symbol in chains:
        yield from _divide(targets.filter(pl.col("symbol") == symbol), CHAINS_AT_ONCE, None, None)


def _symbol_groups(targets: pl.DataFrame) -> list[pl.DataFrame]:
    """Divide targets by symbol: so a bar is read once, in whole groups of rows of an archive."""
    symbols = targets.group_by("symbol").len().sort("symbol")
    group = (symbols["len"].cum_sum() - 1) // BARS_AT_ONCE
    numbered = targets.join(symbols.with_columns(group=group), on="symbol")
    parts = numbered.partition_by("group", maintain_order=True)
    return [part.select(targets.columns) for part in parts]


def _divide(
    targets: pl.DataFrame, at_once: int, first: date | None, last: date | None
) -> Iterator[Part]:
    if targets.is_empty():
        return
    days = targets.group_by("session").len().sort("session")
    number = (days["len"].cum_sum() - 1) // at_once
    firsts = days.group_by(number.alias("part"), maintain_order=True).agg(pl.col("session").first())
    begins = firsts["session"].to_list()
    end = days["session"].to_list()[-1]
    bounds = [min(begins[0], first or begins[0]), *begins[1:], max(end, last or end) + DAY]
    for begin, until in pairwise(bounds):
        within = targets.filter((pl.col("session") >= begin) & (pl.col("session") < until))
        yield Part(within, begin, until - DAY)


async def check_relations(
    store: Store,
    part: Part,
    clock: Clock,
    copies: pl.DataFrame | None = None,
    *,
    keep: bool = True,
) -> dict[str, pl.DataFrame]:
    """Return the relations of a part by name; with `keep`, store what is missing in the ledger.

    Bars come from Parquet where `copies` (engine.store.export) are current. Of stocks'
    sessions in which nothing can be found (`engine.history.clean`) only signals are in them.
    """
    kind = parse(part.symbols[0])
    if isinstance(kind, OptionChain):
        found = await _marked(store, part.targets, clock, keep=keep)
        return (
            _marks_relations(found, part)
            | {"expected_snapshots": found.expected}
            | await _chain_relations(store, part)
        )
    if isinstance(kind, ToldOnce):
        found = await _marked(store, part.targets, clock, keep=keep)
        told = await told_once_relations(store, part.symbols, part.first, part.last)
        return _marks_relations(found, part) | told
    before, after = _neighbours(part)
    span = min(before, part.first), max(after, part.last)
    bars = await read_bars(store, part.symbols, *span, copies)
    missing = await missing_trades_relation(store, part.targets, bars)
    rest, stamps = part.targets, None
    if copies is None:  # a copy may differ from the database, with which the ledger is compared
        rest, bars = await _without_clean(store, part, bars, clock, keep=keep)
        stamps = bars.select("symbol", stamp="timestamp")
    found = await _marked(store, rest, clock, stamps, keep=keep)
    wanted, grids = with_grids(rest)
    checked = {
        "targets": wanted,
        "grids": grids,
        "bars": await _bars_relation(store, part, rest, bars, clock),
        "instruments": _instruments(bars["symbol"].unique().to_list()),
        "missing_trades": missing,
    }
    last = _last_judged(part, today(clock))
    signals = await signal_relations(store, part.symbols, part.first, last)
    return _marks_relations(found, part) | checked | signals


async def _marked(
    store: Store,
    targets: pl.DataFrame,
    clock: Clock,
    stamps: pl.DataFrame | None = None,
    *,
    keep: bool,
) -> Survey:
    found = await survey(store, targets, clock, stamps=stamps)
    if keep and targets.height:
        await store_marks(store, found, found.marks, clock)
    return found


def _marks_relations(found: Survey, part: Part) -> dict[str, pl.DataFrame]:
    return {
        "excused": found.marks.filter(pl.col("state").is_in(SETTLED)).select(STAMP),
        "unavailable": found.marks.filter(pl.col("state") == "unavailable"),
        "refused": found.marks.filter(pl.col("state") == "refused"),
        "trading_days": _numbered_days(part),
    }


async def _without_clean(
    store: Store, part: Part, bars: pl.DataFrame, clock: Clock, *, keep: bool
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the targets that are not clean sessions of stocks, and the bars to check them by.

    The status of clean ones is stored.
    """
    stocks = [code for code in part.symbols if isinstance(parse(code), Stock)]
    if not stocks:
        return part.targets, bars
    of_stocks = pl.col("symbol").is_in(stocks)
    rows = await ledger.read(store, stocks, part.first, part.last)
    targets, theirs = part.targets.filter(of_stocks), bars.filter(of_stocks)
    look = await clock.thread(look_quickly, targets, theirs, rows, today(clock))
    if keep:
        await store_clean_status(store, look.clean, clock.now())
    others = part.targets.join(look.clean, on=SESSION, how="anti")
    return others, pl.concat([bars.filter(~of_stocks), look.bars])


def _last_judged(part: Part, day: date) -> date:
    """Return the last date whose signals are checked: in an open session one may be on its way."""
    sealed = max(part.targets["session"].to_list())
    return part.last if part.last < day else max(sealed, day - DAY)


def _numbered_days(part: Part) -> pl.DataFrame:
    first, last = _neighbours(part)
    return pl.DataFrame({"session": trading_days(first, last)}).with_row_index("number")


def _neighbours(part: Part) -> tuple[date, date]:
    """Return the dates of the session before and the session after the part."""
    known = rules()["first_day"], rules()["last_day"]
    first, last = (min(max(day, known[0]), known[1]) for day in (part.first, part.last))
    before = trading_days(max(first - FORTNIGHT, known[0]), first)
    after = trading_days(last, min(last + FORTNIGHT, known[1]))
    earlier = [day for day in before if day < first]
    later = [day for day in after if day > last]
    return (earlier[-1] if earlier else first), (later[0] if later else last)


async def _bars_relation(
    store: Store, part: Part, checked: pl.DataFrame, found: pl.DataFrame, clock: Clock
) -> pl.DataFrame:
    """Return the relation `bars`; `context` marks bars of real sessions that are not checked."""
    confirmed = await read_confirmed_bars(store, part.symbols, part.first, part.last)
    rows = found.with_columns(session=session_of(pl.col("symbol"), pl.col("timestamp")))
    pairs = rows.group_by(SESSION).len()
    targets = part.targets.select(*SESSION, is_target=True)
    pairs = pairs.join(targets, on=SESSION, how="left").join(checked, on=SESSION, how="anti")
    real = [_is_real(symbol, on, n, today(clock)) for symbol, on, n, _ in pairs.iter_rows()]
    outside = ~pl.col("session").is_between(part.first, part.last)
    others = pairs.filter(outside | pl.col("is_target") | pl.Series(real, dtype=pl.Boolean))
    others = others.select(*SESSION, context=True)
    return (
        rows.join(others, on=SESSION, how="left")
        .join(confirmed.with_columns(confirmed=True), on=confirmed.columns, how="left")
        .with_columns(pl.col("context", "confirmed").fill_null(value=False))
        .select(list(RELATIONS["bars"]))
    )


def _is_real(symbol: str, day: date, count: int, newest: date) -> bool:
    """Say whether bars on a day are those of a session; a single bar was only moved there."""
    is_past = rules()["first_day"] <= day <= newest
    return is_past and count > 1 and parse(symbol).session(day) is not None


def _instruments(symbols: Sequence[str]) -> pl.DataFrame:
    rows: list[tuple[str, str, float, date | None]] = []
    for code in symbols:
        symbol = parse(code)
        if isinstance(symbol, Stock | VenueStock):
            rows.append((code, Market.STOCKS.value, _WHOLE_KRW, None))
        elif isinstance(symbol, Contract | Night | Option):
            smallest = min(tick for _, tick in symbol.ticks)
            rows.append((code, symbol.ledger_market, smallest, symbol.last_day))
    return pl.DataFrame(rows, RELATIONS["instruments"], orient="row")


async def _chain_relations(store: Store, part: Part) -> dict[str, pl.DataFrame]:
    """Return matrices and summaries, stored and computed from the stored chain, and its keys.

    Summaries read the stored surface, which is that of all maturities together.
    """
    symbol = part.symbols[0]
    rows = await read_chain(store, symbol, part.first, part.last)
    with_greeks = chain_with_greeks(rows)
    surfaces = await read_surfaces(store, symbol, part.first, part.last)
    frames = {
        "chain": rows.rename({"symbol": "option"}),
        "matrices": await read_matrices(store, symbol, part.first, part.last),
        "expected_matrices": chain_matrix(with_greeks),
        "summaries": await read_summaries(store, symbol, part.first, part.last),
        "expected_summaries": chain_summary(chain_figures(with_greeks), surfaces),
        "surfaces": surfaces,
    }
    return {
        name: frame.rename({"underlying_symbol": "symbol"})
        .with_columns(session=session_of(pl.col("symbol"), pl.col("timestamp")))
        .select(list(RELATIONS[name]))
        for name, frame in frames.items()
    }
