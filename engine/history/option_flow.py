"""Who buys options: signed volume in futures equivalents, traded money, open interest by strike.

KIS tells who came to the other side's price (`bought`, `sold`) only by the feed, of the options
near the money that it registers; the board tells volume, turnover and open interest of all. What is
not told is NULL, and `told` says of how much of the volume it is known.
"""

from __future__ import annotations

import polars as pl

from engine.errors import InputError
from engine.features.modelled import with_smile_values
from engine.features.summary import put_call_ratio
from engine.market.nights import session_of
from engine.market.symbols import OptionChain, parse

NEAR, DEEP = 0.375, 0.625  # |delta| of what is at the money (Bollen and Whaley, 2004)
FUTURE = 250_000  # KRW a point: the KOSPI200 future, in which deltas are counted
_SUMS = ("volume", "turnover", "bought", "sold")
_DAY = ("symbol", "day")
_SESSION = session_of(pl.col("underlying_symbol"), pl.col("timestamp"))


def option_flow(chain: pl.LazyFrame, surface: pl.LazyFrame) -> pl.LazyFrame:
    """Return what was traded in each minute, by maturity, side and moneyness.

    `chain` is rows of option_chain_raw of whole days, `surface` of option_surface with the same
    minutes. One row for each timestamp, underlying_symbol, option_type (C, P) and moneyness (otm,
    atm, itm: `|delta|` of the smile below NEAR, between, above DEEP; Bollen and Whaley, "Does net
    buying pressure affect the shape of implied volatility functions?", 2004):

    - volume (contracts), turnover (KRW)
    - net_volume: contracts that buyers took from the ask less those that sellers gave to the bid
    - net_futures: the sum of that times delta, in futures of FUTURE KRW a point; above 0 whoever
      wanted to trade has bought the market
    - told: the share of the volume of which bought and sold are known

    KIS gives sums of the day. What they grew by since the snapshot before is the minute's, what
    stood in the day's first one belongs to that. Options without a smile have moneyness NULL.

    Raises InputError for a name that is not an option chain.
    """
    names = chain.select(pl.col("underlying_symbol").unique()).collect()["underlying_symbol"]
    size = pl.col("underlying_symbol").replace_strict(
        {name: _multiplier(name) / FUTURE for name in names},
        default=None,
        return_dtype=pl.Float64,
    )
    valued = with_smile_values(chain, surface)
    delta = pl.col("fitted_delta")
    depth = delta.abs()
    net = pl.col("bought") - pl.col("sold")
    known = pl.when(net.is_not_null()).then("volume")
    return (
        valued.with_columns(day=_SESSION)
        .sort("symbol", "timestamp")
        .with_columns(_since_the_one_before(name) for name in _SUMS)
        .with_columns(
            moneyness=pl.when(depth < NEAR)
            .then(pl.lit("otm"))
            .when(depth <= DEEP)
            .then(pl.lit("atm"))
            .when(depth.is_not_null())
            .then(pl.lit("itm"))
        )
        .group_by("timestamp", "underlying_symbol", "option_type", "moneyness")
        .agg(
            pl.col("volume", "turnover").sum(),
            net_volume=_sum(net),
            net_futures=_sum(net * delta * size),
            told=pl.when(pl.col("volume").sum() > 0).then(known.sum() / pl.col("volume").sum()),
        )
        .sort("timestamp", "underlying_symbol", "option_type", "moneyness")
    )


def put_call_ratios(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return puts over calls of the day so far, by timestamp and underlying_symbol.

    put_call_volume_ratio, put_call_turnover_ratio (money paid for them) and
    put_call_open_interest_ratio; NULL where the calls have none. `chain` is rows of
    option_chain_raw.
    """
    names = ("volume", "turnover", "open_interest")
    return (
        chain.group_by("timestamp", "underlying_symbol")
        .agg(**{f"put_call_{name}_ratio": put_call_ratio(name) for name in names})
        .sort("timestamp", "underlying_symbol")
    )


def open_interest_changes(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return open interest and how it changed since the day's first snapshot, by strike and side.

    Columns: timestamp, underlying_symbol, strike, option_type, open_interest, change (contracts),
    sorted by them. `chain` is rows of option_chain_raw of whole days. What changed during the night
    is in the first snapshot already.
    """
    first = pl.col("open_interest").drop_nulls().first().over(_DAY, order_by="timestamp")
    return (
        chain.with_columns(day=_SESSION)
        .with_columns(change=pl.col("open_interest") - first)
        .select(
            *("timestamp", "underlying_symbol", "strike", "option_type"),
            *("open_interest", "change"),
        )
        .sort("timestamp", "underlying_symbol", "strike", "option_type")
    )


def _since_the_one_before(name: str) -> pl.Expr:
    """Return by how much a sum of the day grew; a sum that is not told stands where it stood.

    It cannot fall: where it seems to, two sources disagree, and nothing was traded.
    """
    so_far = pl.col(name).forward_fill().cum_max()
    return (so_far - so_far.shift().fill_null(0)).over(_DAY).alias(name)


def _sum(values: pl.Expr) -> pl.Expr:
    return pl.when(values.count() > 0).then(values.sum())


def _multiplier(name: str) -> float:
    chain = parse(name)
    if not isinstance(chain, OptionChain):
        raise InputError(f"{name!r} is not an option chain, such as 202612_KOSPI200")
    return float(chain.series.call.multiplier)
