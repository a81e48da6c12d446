"""Which price an option is on: the future nearest to its maturity, else the index, else parity."""

from __future__ import annotations

import polars as pl

from engine.features import chain as board
from engine.features import flags
from engine.features.black76 import RATE, years
from engine.features.chain import SNAPSHOT

_PRICE, _SOURCE = "underlying_price", "underlying_source"
CLOSEST_STRIKES = 5  # a median of five bears two stale prices


def with_underlying(chain: pl.LazyFrame, candidates: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Return OPTION_CHAIN with `underlying_price` (index points) and `underlying_source` decided.

    `candidates` are the prices at hand: timestamp, underlying_symbol, source (`future:CODE` or
    `index`), price, expiry (datetime of a future, NULL for the index). Of the futures the one that
    expires nearest to the options (their column `expiry`) is taken, of two as near the later one;
    without a future the index; without candidates what the chain has. If that is no price either,
    it is the forward of put-call parity, with the source `parity`; if all fails, both are NULL. A
    price that is NULL or not above 0 does not count.
    """
    chain = board.as_chain(chain)
    offers = [_own(chain), _by_parity(chain)]
    if candidates is not None:
        offers.insert(0, _of_candidates(candidates, chain))
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
    """Return timestamp, underlying_symbol and `forward` (`implied_forward`), one row a snapshot."""
    rows = with_value(board.with_expiry(flags.judged(chain)))
    return rows.group_by(SNAPSHOT).agg(forward=implied_forward())


def with_value(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Add `value`, the `market_price` of `judged` rows that may be used, and put them in order."""
    usable = pl.col("sound") & ~pl.col("crossed")
    value = pl.when(usable).then(board.market_price())
    return rows.with_columns(value=value).sort("strike", "option_type", maintain_order=True)


def implied_forward(rate: float = RATE) -> pl.Expr:
    """Return, within a snapshot of `with_value` rows, the forward by put-call parity, index points.

    strike + exp(rate * T) * (call - put) (Stoll, "The relationship between put and call option
    prices", 1969), the median over the CLOSEST_STRIKES at which call and put are closest: there
    both are traded most and a wrong rate matters least. T is the time to the column `expiry`, 0 if
    unknown. NULL without a strike that has both prices.
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


def _of_candidates(candidates: pl.LazyFrame, chain: pl.LazyFrame) -> pl.LazyFrame:
    options = board.with_expiry(chain).group_by(SNAPSHOT).agg(matures=pl.col("expiry").max())
    until = (pl.col("expiry") - pl.col("matures")).dt.total_seconds()
    return candidates.join(options, on=SNAPSHOT).select(
        *SNAPSHOT,
        pl.col("price").cast(pl.Float64).alias(_PRICE),
        pl.col("source").alias(_SOURCE),
        choice=pl.when(pl.col("source") == "index").then(1).otherwise(0),
        distance=until.abs().cast(pl.Float64),
        before=until < 0,
    )


def _own(chain: pl.LazyFrame) -> pl.LazyFrame:
    return chain.group_by(SNAPSHOT).agg(pl.col(_PRICE, _SOURCE).max()).select(*_offer(2))


def _by_parity(chain: pl.LazyFrame) -> pl.LazyFrame:
    forward = parity_forward(chain).rename({"forward": _PRICE})
    return forward.with_columns(pl.lit("parity").alias(_SOURCE)).select(*_offer(3))


def _offer(choice: int) -> list[pl.Expr]:
    nothing = {"distance": pl.Float64, "before": pl.Boolean}
    return [
        pl.col(*SNAPSHOT, _PRICE, _SOURCE),
        pl.lit(choice).alias("choice"),
        *(pl.lit(None, dtype).alias(name) for name, dtype in nothing.items()),
    ]
