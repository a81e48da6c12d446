"""The forward of a snapshot: what the underlying costs for delivery on the day its options expire.

Everything that is derived from a chain stands on this one number for each minute and maturity: ATM
and the levels of the matrix, our implied volatilities and greeks, the summary. The quarterly future
as it is would be wrong for monthly and weekly options (docs/kis.md#greeks): on it, put and call of
one strike disagree by several volatility points. The first of these that can be had is taken:

| forward_source | forward                                                    | forward_strikes   |
|----------------|------------------------------------------------------------|-------------------|
| parity         | the regression of call - put over at least FEWEST_STRIKES  | 3 or more         |
|                | strikes                                                    |                   |
| future         | the future's price * exp(-rate * (its T - T)): the future  | 0                 |
|                | carried to the options' expiry, dividends left out         |                   |
| index          | the index * exp(rate * T)                                  | 0                 |
| parity         | the same on fewer strikes                                  | 1 or 2            |

By parity call - put = D (F - strike): a line over the strikes, whose slope is the discount D and
whose zero the forward F (Stoll, "The relationship between put and call option prices", 1969). Both
prices must be fresh (`fresh`), since a call's price of 11 o'clock and a put's of 10 o'clock say
more about that hour than about interest; in a weekly series both must have traded today. The less a
strike's prices may be off (`fresh_error`), the more it weighs. A strike that lies further from the
median of the CLOSEST_STRIKES (at which call and put cost nearly the same) than OUTLIER times its
error has no part, so two wrong prices move nothing.

The slope of a few strikes says little about interest: with a month left and strikes within 50
points, one tick makes 1 % a year. So the forward is read off a slope held near the models' rate (as
if that were known to RATE_KNOWN), and what the strikes alone say is given with its error:

- implied_rate, implied_rate_error: -ln(D) / T and its standard error by the prices' errors, % per
  year
- implied_dividend: index - F exp(-rate T) with the models' rate, index points: what the index pays
  until expiry; where the price of the index is known
- future_gap: F carried to the future's expiry at the models' rate, less the future's price, in
  ticks of the future. Dividends between the two expiries make it differ from 0 where they differ.

All four are NULL where the forward is not by parity.
"""

from __future__ import annotations

import math
from datetime import timedelta
from functools import cache

import polars as pl

from engine.features.black76 import RATE, years
from engine.features.chain import (
    IS_CROSSED,
    IS_SOUND,
    MARKET_PRICE,
)
from engine.features.parity import parity_line
from engine.market.products import SERIES, Ticks

FEWEST_STRIKES = 3  # the median of three is right even if one is; fewer are the last resort
WIDEST_QUOTE = 0.005  # of the strike; a wider one says less than the carried future
FRESH_FOR = timedelta(minutes=10)  # of a last price without quotes; KOSPI200 moves 2 points in it
AGING = timedelta(minutes=5)  # in which the error of a last price doubles
FORWARD_COLUMNS = ("forward", "forward_source", "forward_strikes")
PARITY_COLUMNS = ("implied_rate", "implied_rate_error", "implied_dividend", "future_gap")
FRESH_PRICES = ("fresh", "tick", "fresh_error")
_PAIRS, _PARITY = pl.col("_pairs"), pl.col("_parity")


def with_forward(chain: pl.LazyFrame, rate: float = RATE) -> pl.LazyFrame:
    """Add FORWARD_COLUMNS, PARITY_COLUMNS (NULL without a forward) and FRESH_PRICES to a chain.

    `rate` is per year, continuously compounded. `underlying_source` says what the chain's
    `underlying_price` is of; a future's (`future:CODE`) is for delivery at `underlying_expiry` and
    is not used where that is not known. All rows of a snapshot have one forward unless they
    contradict each other in underlying_price and parity does not decide.
    """
    return (
        _with_fresh_prices(chain)
        .with_columns(parity_line(rate), _carried=_carried(rate))
        .unnest("_line")
        .with_columns(_choice())
        .with_columns(_beside(rate))
        .drop("_carried", "_pairs", "_parity", "_slope", "_slope_error", "_left")
    )


@cache
def _fresh_price() -> pl.Expr:
    """Return what an option costs in this minute, index points; NULL where its row does not tell.

    The middle of a bid and an ask that are not further apart than WIDEST_QUOTE; else the last price
    (`market_price`) if it traded today and, as far as snapshots have shown it (`price_since`),
    within FRESH_FOR. A volume that is not known counts as traded.
    """
    bid, ask = (pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask"))
    is_narrow = ask - bid <= WIDEST_QUOTE * pl.col("strike")
    price = pl.when(is_narrow).then((bid + ask) / 2)
    is_recent = pl.col("timestamp") - pl.col("price_since") <= FRESH_FOR
    traded = (pl.col("volume") > 0) & is_recent
    last = pl.when(traded.fill_null(value=True)).then(MARKET_PRICE)
    return pl.when(IS_SOUND & ~IS_CROSSED).then(pl.coalesce(price, last))


def _with_fresh_prices(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Add FRESH_PRICES to a prepared chain, index points: what options cost now, and how exactly.

    `fresh` is what an option costs, `tick` the smallest price step at that price, `fresh_error` how
    far it may be off: half the spread, at least half a tick. A last price without both quotes
    counts as two ticks wide, and twice as wide for each AGING that it has stood. The columns are
    added one after the other: in one expression each would be computed wherever it is named.
    """
    return (
        chain.with_columns(fresh=_fresh_price())
        .with_columns(tick=_tick())
        .with_columns(fresh_error=_fresh_error())
    )


@cache
def _tick() -> pl.Expr:
    """Return the smallest step of the price `fresh` by the chain's series, else by KOSPI200's."""
    usual = SERIES["KOSPI200"].call.ticks
    tick = _step(usual)
    for ticks in {series.call.ticks: None for series in SERIES.values()}:
        names = [name for name, series in SERIES.items() if series.call.ticks == ticks]
        if ticks != usual:
            tick = pl.when(pl.col("series").is_in(names)).then(_step(ticks)).otherwise(tick)
    return tick


def _step(ticks: Ticks) -> pl.Expr:
    step = pl.lit(float(ticks[0][1]))
    for start, size in ticks[1:]:
        step = pl.when(pl.col("fresh") < start).then(step).otherwise(float(size))
    return step


@cache
def _fresh_error() -> pl.Expr:
    bid, ask = (pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask"))
    aged = ((pl.col("timestamp") - pl.col("price_since")) / AGING).fill_null(0.0)
    wide = 2 * pl.col("tick") * (aged.clip(lower_bound=0.0) * math.log(2)).exp()
    return pl.max_horizontal(pl.coalesce(ask - bid, wide) / 2, pl.col("tick") / 2)


@cache
def _beside(rate: float) -> tuple[pl.Expr, ...]:
    """Return PARITY_COLUMNS from the forward, `_slope` and `_slope_error`."""
    left = pl.col("_left")
    by_parity = pl.col("forward_source") == "parity"
    has_slope = by_parity & (pl.col("forward_strikes") >= FEWEST_STRIKES) & (pl.col("_slope") > 0)
    from_index = pl.when(pl.col("underlying_source") == "index").then(pl.col("underlying_price"))
    index = pl.coalesce("index_price", from_index)
    source = pl.col("underlying_source")
    future = pl.when(source.str.starts_with("future:")).then(pl.col("underlying_price"))
    beyond = years(pl.col("underlying_expiry")) - left
    synthetic = pl.col("forward") * (beyond * rate).exp()
    return (
        pl.when(has_slope).then((rate - pl.col("_slope").log() / left) * 100).alias("implied_rate"),
        pl.when(has_slope)
        .then(pl.col("_slope_error") / pl.col("_slope") / left * 100)
        .alias("implied_rate_error"),
        pl.when(by_parity)
        .then(index - pl.col("forward") * (left * -rate).exp())
        .alias("implied_dividend"),
        pl.when(by_parity).then((synthetic - future) / pl.col("future_tick")).alias("future_gap"),
    )


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
