"""What is computed from an option chain: the underlying's price, the matrix, the summary.

Live, validation and research use the same functions: the stored matrix and summary are what these
return for the stored chain. The way is

    chain_with_underlying(rows) -> OPTION_CHAIN, to be stored
    chain_with_greeks(chain)    -> the prepared chain that the matrix and the summary both need
    chain_matrix(prepared), chain_summary(prepared)
"""

from __future__ import annotations

from datetime import datetime, time
from functools import cache

import polars as pl

from engine.errors import CalendarRangeError
from engine.features.chain import prepare_chain
from engine.features.greeks import with_model_greeks
from engine.features.matrix import matrix
from engine.features.summary import option_summary
from engine.features.underlying import with_underlying
from engine.market import expiries, instruments, sessions
from engine.schemas import OPTION_CHAIN, OPTION_MATRIX, OPTION_SUMMARY

_ORDINARY_END = time(15, 20)  # of an option's last day, where the calendar does not reach


@cache
def end_of_trading(underlying_symbol: str) -> datetime:
    """Return when trading of an option chain (202509_KOSPI200) ends, KST. Raises InputError."""
    maturity, _, series = underlying_symbol.partition("_")
    last = expiries.last_day(series, maturity)
    try:
        session = sessions.session(sessions.Market.DERIVATIVES, last, expiring=True)
    except CalendarRangeError:
        session = None
    return session.continuous_end if session else datetime.combine(last, _ORDINARY_END)


def _prepared(chain: pl.DataFrame) -> pl.LazyFrame:
    """Prepare the chain for engine.features, with the expiry and multiplier of its series."""
    names = chain["underlying_symbol"].unique().to_list()
    ends = {name: end_of_trading(name) for name in names}
    multipliers = {name: _multiplier(name) for name in names}
    symbol = pl.col("underlying_symbol")
    terms = chain.with_columns(
        expiry=symbol.replace_strict(ends, return_dtype=pl.Datetime("us")),
        multiplier=symbol.replace_strict(multipliers, return_dtype=pl.Float64),
    )
    return prepare_chain(terms.lazy())


def _multiplier(underlying_symbol: str) -> float:
    series = underlying_symbol.partition("_")[2]
    return float(instruments.option_series(series).call.multiplier)


def chain_with_underlying(rows: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_CHAIN, with the underlying's price decided if KIS did not give it."""
    if not rows["underlying_price"].null_count():
        return rows.select(OPTION_CHAIN.names)
    decided = with_underlying(_prepared(rows))
    return decided.select(OPTION_CHAIN.names).collect(engine="in-memory")


def chain_with_greeks(chain: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_CHAIN prepared and with the model's greeks, for the two functions below."""
    return with_model_greeks(_prepared(chain)).collect(engine="in-memory")


def chain_matrix(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_MATRIX of the snapshots of a chain that `chain_with_greeks` returned."""
    cells = matrix(with_greeks.lazy())
    return cells.select(OPTION_MATRIX.names).collect(engine="in-memory")


def chain_summary(with_greeks: pl.DataFrame) -> pl.DataFrame:
    """Return OPTION_SUMMARY of the snapshots of a chain that `chain_with_greeks` returned."""
    figures = option_summary(with_greeks.lazy())
    return figures.select(OPTION_SUMMARY.names).collect(engine="in-memory")
