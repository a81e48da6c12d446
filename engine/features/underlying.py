"""Which price an option is on: the future nearest to its maturity, the index, or parity."""

from __future__ import annotations

import polars as pl

from engine.features.black76 import RATE, years
from engine.features.chain import SNAPSHOT, market_price
from engine.features.flags import with_row_flags

_PRICE = "underlying_price"
_SOURCE = "underlying_source"
CLOSEST_STRIKES = 5  # the median of five is right even if two prices are stale


def with_underlying(chain: pl.LazyFrame, candidates: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Decide `underlying_price` (index points) and `underlying_source` of a prepared chain.

    `candidates` are the known prices: timestamp, underlying_symbol, source (`future:CODE` or
    `index`), price, expiry (datetime of a future, NULL for the index). The first of these that is
    above 0 and finite is taken: the future that expires nearest to the options (their column
    `expiry`; of two equally near, the later one), the index, the chain's own price, and the forward
    of put-call parity, with the source `parity`. Without any, both columns are NULL.
    """
    offers = [_own_offer(chain), _parity_offer(chain)]
    if candidates is not None:
        offers.insert(0, _candidate_offers(candidates, chain))
    best = (
        pl.concat(offers)
        .filter((pl.col(_PRICE) > 0) & pl.col(_PRICE).is_finite())
        .group_by(SNAPSHOT)
        .agg(pl.col(_PRICE, _SOURCE).sort_by("choice", "distance", "before").first())
    )
    undecided = chain.drop(_PRICE, _SOURCE)
    decided = undecided.join(best, on=SNAPSHOT, how="left", maintain_order="left")
    return decided.select(chain.collect_schema().names())


def parity_forward(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return timestamp, underlying_symbol and `forward` of each snapshot of a prepared chain.

    See `implied_forward`.
    """
    rows = with_value(with_row_flags(chain))
    return rows.group_by(SNAPSHOT).agg(forward=implied_forward())


def with_value(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `value`, the `market_price` of usable rows, and sort; needs rows `with_row_flags`."""
    usable = pl.col("sound") & ~pl.col("crossed")
    value = pl.when(usable).then(market_price())
    return rows.with_columns(value=value).sort("strike", "option_type", maintain_order=True)


def implied_forward(rate: float = RATE) -> pl.Expr:
    """Return, within a snapshot of rows `with_value`, the forward by put-call parity, index points.

    strike + exp(rate * T) * (call - put) (Stoll, "The relationship between put and call option
    prices", 1969), the median over the CLOSEST_STRIKES at which call and put cost nearly the same:
    there both are traded most and a wrong rate matters least. T is the time to `expiry`, 0 if that
    is NULL. NULL if no strike has both prices.
    """
    has_value = pl.col("value").is_not_null()
    strike, side, value = (
        pl.col(name).filter(has_value) for name in ("strike", "option_type", "value")
    )
    is_pair = (strike == strike.shift(-1)) & (side == "C") & (side.shift(-1) == "P")
    gap = pl.when(is_pair).then(value - value.shift(-1))
    growth = (rate * years().max().fill_null(0.0)).exp()
    closest = gap.abs().rank("ordinal") <= CLOSEST_STRIKES  # sort_by().head() fails in 2.1 groups
    return (strike + gap * growth).filter(closest).median()


def _candidate_offers(candidates: pl.LazyFrame, chain: pl.LazyFrame) -> pl.LazyFrame:
    options = chain.group_by(SNAPSHOT).agg(matures=pl.col("expiry").max())
    until = (pl.col("expiry") - pl.col("matures")).dt.total_seconds()
    return candidates.join(options, on=SNAPSHOT).select(
        *SNAPSHOT,
        pl.col("price").cast(pl.Float64).alias(_PRICE),
        pl.col("source").alias(_SOURCE),
        choice=pl.when(pl.col("source") == "index").then(1).otherwise(0),
        distance=until.abs().cast(pl.Float64),
        before=until < 0,
    )


def _own_offer(chain: pl.LazyFrame) -> pl.LazyFrame:
    return chain.group_by(SNAPSHOT).agg(pl.col(_PRICE, _SOURCE).max()).select(*_offer_columns(2))


def _parity_offer(chain: pl.LazyFrame) -> pl.LazyFrame:
    forward = parity_forward(chain).rename({"forward": _PRICE})
    return forward.with_columns(pl.lit("parity").alias(_SOURCE)).select(*_offer_columns(3))


def _offer_columns(choice: int) -> list[pl.Expr]:
    """Return the columns of an offer that is not one future among several."""
    without = {"distance": pl.Float64, "before": pl.Boolean}
    return [
        pl.col(*SNAPSHOT, _PRICE, _SOURCE),
        pl.lit(choice).alias("choice"),
        *(pl.lit(None, dtype).alias(name) for name, dtype in without.items()),
    ]
