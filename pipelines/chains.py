"""What is computed from an option chain: the forward, the greeks, the matrix, the summary.

Live, validation and research use the same functions: the stored matrix and summary are what these
return for the stored chain. The way is

    chain_with_greeks(chain) -> the prepared chain that all of the others need
    chain_matrix(prepared), chain_figures(prepared), chain_surface(prepared)
    chain_summary(figures, surface)

A surface is that of all maturities of a minute: they hold each other free of arbitrage. A summary
reads volatilities and gamma exposure from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, time
from functools import cache
from typing import Any

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.features.chain import MONTHLY, WEEKLY, collect, prepare_chain
from engine.features.exposure import option_surface
from engine.features.forward import with_forward
from engine.features.greeks import with_model_greeks
from engine.features.matrix import matrix
from engine.features.summary import option_summary, with_smile_figures
from engine.market.products import Product
from engine.market.symbols import Contract, OptionChain, parse
from engine.market.trading_days import depends_on_days
from engine.schemas import OPTION_MATRIX
from pipelines.trading_time import with_trading_time

_ORDINARY_END = time(15, 20)  # of an option's last day, where the calendar does not reach


def _chain(underlying_symbol: str) -> OptionChain:
    """Return the option chain of a name; raises InputError for that of anything else."""
    chain = parse(underlying_symbol)
    if not isinstance(chain, OptionChain):
        raise InputError(f"{underlying_symbol!r} is not an option chain, such as 202612_KOSPI200")
    return chain


@depends_on_days
@cache
def _expiry(chain: OptionChain) -> datetime:
    """Return when trading of an option chain ends, KST."""
    return _end_of_trading(chain)


@depends_on_days
@cache
def _future_expiry(source: str | None) -> datetime | None:
    """Return when trading of the future ends that an `underlying_source` names; None for others."""
    kind, _, code = (source or "").partition(":")
    if kind != "future":
        return None
    try:
        future = parse(code)
    except InputError:  # a row that somebody changed by hand
        return None
    return _end_of_trading(future) if isinstance(future, Contract) else None


def _end_of_trading(symbol: OptionChain | Contract) -> datetime:
    try:
        session = symbol.session(symbol.last_day)
    except CalendarRangeError:
        session = None
    return session.continuous_end if session else datetime.combine(symbol.last_day, _ORDINARY_END)


def _prepared(chain: pl.DataFrame) -> pl.LazyFrame:
    """Prepare the chain for engine.features: what is known of its series, and the forward."""
    chains = {name: _chain(name) for name in chain["underlying_symbol"].unique()}
    sources = chain["underlying_source"].unique() if "underlying_source" in chain.columns else ()
    futures = {source: end for source in sources if (end := _future_expiry(source))}
    timed = with_trading_time(chain, chains)
    known = timed.with_columns(_underlying_expiry(*futures.items()), *_known(*chains))
    return with_forward(prepare_chain(known))


@cache
def _underlying_expiry(*ends: tuple[str, datetime]) -> pl.Expr:
    """Return when trading of the future ends that `underlying_source` names."""
    future = pl.col("underlying_source") if ends else pl.lit(None, pl.String)
    found = future.replace_strict(dict(ends), default=None, return_dtype=pl.Datetime("us"))
    return found.alias("underlying_expiry")


@depends_on_days
@cache
def _known(*names: str) -> tuple[pl.Expr, ...]:
    """Return what is known of each row's chain, one of these names."""
    found: dict[str, tuple[Callable[[OptionChain], Any], pl.DataType]] = {
        "expiry": (_expiry, pl.Datetime("us")),
        "multiplier": (lambda one: float(_call(one).multiplier), pl.Float64()),
        "underlying": (lambda one: _call(one).underlying, pl.String()),
        "series": (lambda one: one.series.name, pl.String()),
        "future_tick": (_future_tick, pl.Float64()),
        "cycle": (_cycle, pl.String()),
    }
    return tuple(
        _by_chain({name: known(_chain(name)) for name in names}, kind).alias(column)
        for column, (known, kind) in found.items()
    )


def _by_chain(values: Mapping[str, Any], kind: pl.DataType) -> pl.Expr:
    """Return each row's value by its chain's name; of no snapshot at all, too, in its own type."""
    if len(values) < 2:
        return pl.lit(next(iter(values.values()), None), kind)
    return pl.col("underlying_symbol").replace_strict(values, return_dtype=kind)


def _call(chain: OptionChain) -> Product:
    return chain.series.call


def _future_tick(chain: OptionChain) -> float:
    return float(min(step for _, step in chain.series.future.ticks))


def _cycle(chain: OptionChain) -> str:
    return WEEKLY if chain.series.is_weekly else MONTHLY


def chain_with_greeks(chain: pl.DataFrame) -> pl.DataFrame:
    """Return a chain prepared, with forward and the model's greeks, for the functions below."""
    return collect(with_model_greeks(_prepared(chain)))


def chain_matrix(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_MATRIX of the snapshots of a chain that `chain_with_greeks` returned."""
    cells = matrix(with_greeks.lazy())
    return collect(cells.select(OPTION_MATRIX.names))


def chain_figures(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return what `chain_summary` needs of a chain that `chain_with_greeks` returned."""
    return collect(option_summary(with_greeks.lazy()))


def chain_summary(figures: pl.DataFrame, surface: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_SUMMARY of the snapshots of `chain_figures`, whose `chain_surface` is given."""
    return with_smile_figures(figures, surface)


def chain_surface(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_SURFACE of all the chains' snapshots that `chain_with_greeks` returned."""
    return option_surface(with_greeks)
