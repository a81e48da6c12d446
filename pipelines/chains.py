"""What follows from a chain: the underlying's price, the matrix, the summary.

One way for live, validation and research: what is stored is what these give for the stored chain.
"""

from __future__ import annotations

from datetime import datetime, time
from functools import cache

import polars as pl

from engine.errors import CalendarRangeError
from engine.features.greeks import with_model_greeks
from engine.features.matrix import matrix
from engine.features.summary import option_summary
from engine.features.underlying import with_underlying
from engine.market import expiries, instruments, sessions
from engine.schemas import OPTION_CHAIN, OPTION_MATRIX, OPTION_SUMMARY

_ORDINARY_END = time(15, 20)  # of an option's last day, where the calendar does not reach


@cache
def end_of_trading(underlying_symbol: str) -> datetime:
    """Return when trading of a series' maturity ends, e.g. 202509_KOSPI200. Raises InputError."""
    maturity, _, series = underlying_symbol.partition("_")
    last = expiries.last_day(series, maturity)
    try:
        session = sessions.session(sessions.Market.DERIVATIVES, last, expiring=True)
    except CalendarRangeError:
        session = None
    return session.continuous_end if session else datetime.combine(last, _ORDINARY_END)


def with_terms(chain: pl.DataFrame) -> pl.DataFrame:
    """Add `expiry`, when trading of each option ends (datetime, KST), and `multiplier` (KRW)."""
    names = chain["underlying_symbol"].unique().to_list()
    ends = {name: end_of_trading(name) for name in names}
    multipliers = {name: _multiplier(name) for name in names}
    symbol = pl.col("underlying_symbol")
    return chain.with_columns(
        expiry=symbol.replace_strict(ends, return_dtype=pl.Datetime("us")),
        multiplier=symbol.replace_strict(multipliers, return_dtype=pl.Float64),
    )


def _multiplier(underlying_symbol: str) -> float:
    series = underlying_symbol.partition("_")[2]
    return float(instruments.option_series(series).call.multiplier)


def chain_with_underlying(rows: pl.DataFrame) -> pl.DataFrame:
    """Decide the underlying's price where KIS gave none; columns of OPTION_CHAIN."""
    if not rows["underlying_price"].null_count():
        return rows.select(OPTION_CHAIN.names)
    decided = with_underlying(with_terms(rows).lazy())
    return decided.select(OPTION_CHAIN.names).collect(engine="in-memory")


def chain_with_greeks(chain: pl.DataFrame) -> pl.DataFrame:
    """Add the model's greeks, which both the matrix and the summary are made from."""
    return with_model_greeks(with_terms(chain).lazy()).collect(engine="in-memory")


def chain_matrix(chain: pl.DataFrame) -> pl.DataFrame:
    """Return the matrices of a chain's snapshots, in the columns of OPTION_MATRIX."""
    cells = matrix(_with_greeks(chain).lazy())
    return cells.select(OPTION_MATRIX.names).collect(engine="in-memory")


def chain_summary(chain: pl.DataFrame) -> pl.DataFrame:
    """Return what a trader reads off a chain's snapshots, in the columns of OPTION_SUMMARY."""
    figures = option_summary(_with_greeks(chain).lazy())
    return figures.select(OPTION_SUMMARY.names).collect(engine="in-memory")


def _with_greeks(chain: pl.DataFrame) -> pl.DataFrame:
    return chain if "model_iv" in chain.columns else chain_with_greeks(chain)
