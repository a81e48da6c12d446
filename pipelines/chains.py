"""What is computed from an option chain: the forward, the greeks, the matrix, the summary.

Live, validation and research use the same functions: the stored matrix and summary are what these
return for the stored chain. The way is

    chain_with_greeks(chain) -> the prepared chain that the matrix and the summary both need
    chain_matrix(prepared), chain_summary(prepared), chain_surface(prepared)

A surface is that of all maturities of a minute: they hold each other free of arbitrage.
"""

from __future__ import annotations

from datetime import datetime, time
from functools import cache

import polars as pl

from engine.errors import CalendarRangeError, InputError
from engine.features.chain import prepare_chain
from engine.features.exposure import option_surface
from engine.features.forward import with_forward
from engine.features.greeks import with_model_greeks
from engine.features.matrix import matrix
from engine.features.summary import option_summary
from engine.market.symbols import Contract, OptionChain, parse
from engine.market.trading_days import depends_on_days
from engine.schemas import OPTION_MATRIX, OPTION_SUMMARY

_ORDINARY_END = time(15, 20)  # of an option's last day, where the calendar does not reach


@depends_on_days
@cache
def _terms(underlying_symbol: str) -> tuple[datetime, float, str]:
    """Return when trading of an option chain ends (KST), KRW per index point, and its index.

    Raises InputError for the name of anything else.
    """
    chain = parse(underlying_symbol)
    if not isinstance(chain, OptionChain):
        raise InputError(f"{underlying_symbol!r} is not an option chain, such as 202612_KOSPI200")
    call = chain.series.call
    return _end_of_trading(chain), float(call.multiplier), call.underlying


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
    """Prepare the chain for engine.features: expiries and multiplier of its series, the forward."""
    terms = {name: _terms(name) for name in chain["underlying_symbol"].unique()}
    ends = {name: end for name, (end, _, _) in terms.items()}
    multipliers = {name: multiplier for name, (_, multiplier, _) in terms.items()}
    indices = {name: index for name, (_, _, index) in terms.items()}
    sources = chain["underlying_source"].unique() if "underlying_source" in chain.columns else ()
    futures = {source: end for source in sources if (end := _future_expiry(source))}
    symbol = pl.col("underlying_symbol")
    future = pl.col("underlying_source") if futures else pl.lit(None, pl.String)
    with_terms = chain.with_columns(
        expiry=symbol.replace_strict(ends, return_dtype=pl.Datetime("us")),
        underlying_expiry=future.replace_strict(
            futures, default=None, return_dtype=pl.Datetime("us")
        ),
        multiplier=symbol.replace_strict(multipliers, return_dtype=pl.Float64),
        underlying=symbol.replace_strict(indices, return_dtype=pl.String),
    )
    return with_forward(prepare_chain(with_terms.lazy()))


def chain_with_greeks(chain: pl.DataFrame) -> pl.DataFrame:
    """Return a chain prepared, with forward and the model's greeks, for the functions below."""
    return with_model_greeks(_prepared(chain)).collect(engine="in-memory")


def chain_matrix(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_MATRIX of the snapshots of a chain that `chain_with_greeks` returned."""
    cells = matrix(with_greeks.lazy())
    return cells.select(OPTION_MATRIX.names).collect(engine="in-memory")


def chain_summary(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_SUMMARY of the snapshots of a chain that `chain_with_greeks` returned."""
    figures = option_summary(with_greeks.lazy())
    return figures.select(OPTION_SUMMARY.names).collect(engine="in-memory")


def chain_surface(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_SURFACE of all the chains' snapshots that `chain_with_greeks` returned."""
    return option_surface(with_greeks)
