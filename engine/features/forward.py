"""The forward of a snapshot: what the underlying costs for delivery on the day its options expire.

One number for each minute and maturity carries everything that is derived from a chain: ATM and
the levels of the matrix, our implied volatilities and greeks, the summary. A monthly or weekly
option does not stand on the quarterly future as it is (docs/kis.md#greeks): on that, put and call
of one strike disagree by several volatility points. The first of these that can be had is taken:

| forward_source | forward                                                    | forward_strikes   |
|----------------|------------------------------------------------------------|-------------------|
| parity         | the median over the CLOSEST_STRIKES of at least            | 3 to 5            |
|                | FEWEST_STRIKES of strike + exp(rate * T) * (call - put)    |                   |
| future         | the future's price * exp(-rate * (its T - T)): the future  | 0                 |
|                | carried to the options' expiry, dividends left out         |                   |
| index          | the index * exp(rate * T)                                  | 0                 |
| parity         | the same on fewer strikes                                  | 1 or 2            |

Parity takes the strikes at which call and put cost nearly the same: there both are traded most and
a wrong rate matters least. Both prices must be fresh (`fresh_price`), since a call of 11 o'clock
and a put of 10 o'clock say more about that hour than about interest.
"""

from __future__ import annotations

from datetime import timedelta
from functools import cache

import polars as pl

from engine.features.black76 import RATE, years
from engine.features.chain import IS_CALL, IS_PUT, SNAPSHOT, is_crossed, is_sound, market_price

CLOSEST_STRIKES = 5  # the median of five is right even if two prices are wrong
FEWEST_STRIKES = 3  # the median of three is right even if one is; fewer are the last resort
WIDEST_QUOTE = 0.005  # of the strike; a wider one says less than the carried future
FRESH_FOR = timedelta(minutes=10)  # a last price without quotes; KOSPI200 moves 2 points meanwhile

FORWARD_COLUMNS = ("forward", "forward_source", "forward_strikes")
_PAIRS, _PARITY = pl.col("_pairs"), pl.col("_parity")


def with_forward(chain: pl.LazyFrame, rate: float = RATE) -> pl.LazyFrame:
    """Add FORWARD_COLUMNS to a prepared chain: index points, name, count; NULL without a forward.

    `rate` is per year, continuously compounded. The chain's own `underlying_price` is used as
    `underlying_source` says; a future's (`future:CODE`) is for delivery at `underlying_expiry`, and
    worthless here where that is not known. All rows of a snapshot have one forward unless they
    contradict each other in underlying_price and parity does not decide.
    """
    with_parity = chain.join(_parity(chain, rate), on=SNAPSHOT, how="left", maintain_order="left")
    return (
        with_parity.with_columns(_carried=_carried(rate))
        .with_columns(_choice())
        .drop("_carried", "_pairs", "_parity")
    )


@cache
def fresh_price() -> pl.Expr:
    """Return what an option costs at this minute, index points; NULL where its row does not tell.

    The middle of a bid and an ask that are not further apart than WIDEST_QUOTE; else the last price
    (`market_price`) if it traded today and, as far as snapshots have shown it (`price_since`),
    within FRESH_FOR. A volume that is not known counts as traded.
    """
    bid, ask = (pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask"))
    is_narrow = ask - bid <= WIDEST_QUOTE * pl.col("strike")
    price = pl.when(is_narrow).then((bid + ask) / 2)
    is_recent = pl.col("timestamp") - pl.col("price_since") <= FRESH_FOR
    traded = (pl.col("volume") > 0) & is_recent
    last = pl.when(traded.fill_null(value=True)).then(market_price())
    return pl.when(is_sound() & ~is_crossed()).then(pl.coalesce(price, last))


def _parity(chain: pl.LazyFrame, rate: float) -> pl.LazyFrame:
    """Return, by snapshot, the forward by parity and the number of strikes it rests on.

    Snapshots without a strike that has both prices are left out; so is a strike of which two rows
    of one side give different prices. Stoll, "The relationship between put and call option prices"
    (1969).
    """
    growth = (years() * rate).exp().fill_null(1.0)
    price = pl.col("_price")
    pairs = (
        chain.select(*SNAPSHOT, "strike", "option_type", growth=growth, _price=fresh_price())
        .filter(price.is_not_null())
        .group_by(*SNAPSHOT, "strike")
        .agg(
            pl.col("growth").first(),
            *_only(pl.when(IS_CALL).then(price), "call"),
            *_only(pl.when(IS_PUT).then(price), "put"),
        )
        .filter(pl.col("call") == pl.col("call_max"), pl.col("put") == pl.col("put_max"))
        .with_columns(gap=pl.col("call") - pl.col("put"))
    )
    implied = (pl.col("strike") + pl.col("growth") * pl.col("gap")).head(CLOSEST_STRIKES)
    return (
        pairs.sort(pl.col("gap").abs(), "strike")
        .group_by(SNAPSHOT)
        .agg(_parity=implied.median(), _pairs=implied.len().cast(pl.Int64))
    )


def _only(price: pl.Expr, name: str) -> tuple[pl.Expr, pl.Expr]:
    return price.min().alias(name), price.max().alias(f"{name}_max")


@cache
def _carried(rate: float) -> pl.Expr:
    """Return the price of future or index for delivery when the options expire."""
    left = years().fill_null(0.0)
    source = pl.col("underlying_source")
    future_left = years(pl.col("underlying_expiry"))
    spot_from = pl.when(source == "index").then(0.0)
    beyond = spot_from.when(source.str.starts_with("future:")).then(future_left)
    return pl.col("underlying_price") * ((left - beyond) * rate).exp()


@cache
def _choice() -> tuple[pl.Expr, ...]:
    """Return FORWARD_COLUMNS from `_parity`, `_pairs` and `_carried`."""
    carried = pl.col("_carried")
    by_parity = (_PAIRS >= FEWEST_STRIKES) | (_PARITY.is_not_null() & carried.is_null())
    kind = pl.col("underlying_source").str.extract("^(future|index)")
    return (
        pl.when(by_parity).then(_PARITY).otherwise(carried).alias("forward"),
        pl.when(by_parity)
        .then(pl.lit("parity"))
        .otherwise(pl.when(carried.is_not_null()).then(kind))
        .alias("forward_source"),
        pl.when(by_parity)
        .then(_PAIRS)
        .otherwise(pl.when(carried.is_not_null()).then(pl.lit(0, pl.Int64)))
        .alias("forward_strikes"),
    )
