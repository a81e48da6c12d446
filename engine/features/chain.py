"""Option chains: how they are prepared, and which rows and snapshots cannot be trusted.

`prepare_chain` is applied once to what KIS gave or the store has, then `with_forward` adds the
forward that the options stand on. All other functions of this package take such a chain:
with_model_greeks adds implied volatilities and greeks, matrix and option_summary take the result.

A row that is not sound has NULL cells in the matrix and no part in the summary. A snapshot that is
not sound has an empty matrix and an empty summary, but for its flags (`engine.features.flags`).
Nothing is logged here: the caller logs the flags of the summary.

| flag          | what is wrong                                             | becomes NULL       |
|---------------|-----------------------------------------------------------|--------------------|
| no_strike     | the strike is missing or not positive                     | the row            |
| unknown_side  | option_type is neither C nor P                            | the row            |
| wrong_side    | the code (2, B call; 3, C put) or the sign of the         | the row            |
|               | delta of KIS contradicts option_type                      |                    |
| all_zero      | price, iv, delta, volume and open interest are all 0      | the row            |
| stale         | quoted more than STALE_AFTER before the snapshot's minute | the row            |
| duplicate     | two sound rows of one strike and side                     | both rows          |
| crossed       | bid above ask: neither they nor the last price can be     | price, iv, model_* |
|               | trusted                                                   |                    |
| stale_price   | not traded today, and not both a bid and an ask: the last | model_*; KIS's own |
|               | price is of an earlier day                                | values stay        |
| old_vendor    | a weekly that did not trade today: KIS's greeks stand on  | nothing            |
|               | the index of the day before (`engine.features.vendor`)    |                    |
| no_forward    | nothing gives a forward, or rows contradict each other    | the snapshot       |
| no_atm        | the forward is outside the listed strikes by more than    | the snapshot       |
|               | half a step: the board was cut before the money           |                    |
| swapped       | prices rise the further options are out of the money      | the snapshot       |
| incomplete    | a hole between listed strikes wider than HOLE of the      | nothing; sums over |
|               | forward: the board was cut, the rest quoted singly        | it are too small   |
| no_calls      | no sound call has a price                                 | nothing more       |
| no_puts       | no sound put has a price                                  | nothing more       |
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import cache

import polars as pl

from engine.few_rows import collect_few
from engine.market.codes import is_call, is_put
from engine.schemas import OPTION_CHAIN

MONTHLY, WEEKLY = "monthly", "weekly"  # values of a chain's column `cycle`
SNAPSHOT = ("timestamp", "underlying_symbol")
STALE_AFTER = timedelta(minutes=2)
HOLE = 0.05

IS_SOUND, IS_CROSSED = pl.col("is_sound"), pl.col("is_crossed")  # of a prepared chain
MARKET_PRICE = pl.col("market_price")

IS_CALL = pl.col("option_type") == "C"
IS_PUT = pl.col("option_type") == "P"
_NUMBERS = ("price", "iv", "delta", "volume", "open_interest")
_COLUMNS = pl.Schema(
    {
        **pl.Schema(OPTION_CHAIN),
        "expiry": pl.Datetime("us"),
        "underlying_expiry": pl.Datetime("us"),
        "multiplier": pl.Float64(),
        "underlying": pl.String(),
        "series": pl.String(),
        "cycle": pl.String(),
        "future_tick": pl.Float64(),
        "trading_to_close": pl.Float64(),
        "trading_to_expiry": pl.Float64(),
    }
)
_POSITIVE = [
    pl.when((pl.col(name) > 0) & pl.col(name).is_finite()).then(pl.col(name))
    for name in ("strike", "underlying_price")
]
_TURNED = 0.8  # correlation; real boards are near -0.9, prices in no order near 0
_FEWEST = 8  # prices; fewer do not show an order


def collect(plan: pl.LazyFrame) -> pl.DataFrame:
    """Run a plan over chains that are in memory already.

    Plans are written in the order in which they should run, and most run on a few hundred rows:
    optimising them took a fifth of their time. What is named twice is still computed once.
    """
    return collect_few(plan, shares=True)


def prepare_chain(chain: pl.LazyFrame) -> pl.LazyFrame:
    """Return a prepared chain: every column of OPTION_CHAIN and what is known of its series.

    `expiry` is when trading of the option ends (datetime, KST; see `black76.years`),
    `underlying_expiry` when trading of the future ends whose price is `underlying_price`, NULL if
    that is the index's; `multiplier` is KRW per index point, `underlying` the name of the index,
    `series` that of the option series (`engine.market.products.SERIES`), `cycle` monthly or weekly,
    `future_tick` the smallest step of the future's price, index points; `trading_to_close` and
    `trading_to_expiry` are the minutes of day sessions until the close of the day and until trading
    of the option ends. Columns that the chain lacks are added as NULL, others are kept. A strike or
    underlying_price that is not a positive number becomes NULL. Columns tell what many functions
    ask: those of `row_findings`, `is_sound` (the row has none of them), `is_crossed` and
    `market_price`.
    """
    have = chain.collect_schema()
    lacking = {name: pl.lit(None, dtype) for name, dtype in _COLUMNS.items() if name not in have}
    whole = chain.with_columns(**lacking) if lacking else chain
    found = row_findings() | {"is_crossed": is_crossed(), "market_price": market_price()}
    return whole.with_columns(_POSITIVE).with_columns(**found).with_columns(is_sound=_is_sound())


@cache
def row_findings() -> dict[str, pl.Expr]:
    """Return, by flag, what makes a row of a prepared chain unusable as a whole."""
    says_call = is_call(pl.col("symbol")) | (pl.col("delta") > 0)
    says_put = is_put(pl.col("symbol")) | (pl.col("delta") < 0)
    found = {
        "no_strike": pl.col("strike").is_null(),
        "unknown_side": ~(IS_CALL | IS_PUT).fill_null(value=False),
        "wrong_side": (IS_PUT & says_call) | (IS_CALL & says_put),
        "all_zero": pl.all_horizontal(pl.col(name) == 0 for name in _NUMBERS),
        "stale": pl.col("quoted_at") < pl.col("timestamp") - STALE_AFTER,
    }
    return {flag: is_so.fill_null(value=False) for flag, is_so in found.items()}


@cache
def _is_sound() -> pl.Expr:
    return ~pl.any_horizontal(*row_findings())


@cache
def is_crossed() -> pl.Expr:
    """Return whether the best bid is above the best ask; 0 means that there is no bid or no ask."""
    return ((pl.col("bid") > pl.col("ask")) & (pl.col("ask") > 0)).fill_null(value=False)


@cache
def is_stale_price() -> pl.Expr:
    """Return whether the last price is of an earlier day; NULL without a price or a known volume.

    KIS keeps the old price until the option trades (docs/kis.md#option-board). False also if there
    are both a bid and an ask: these say what the option is worth now, which one alone does not.
    """
    bid, ask = pl.col("bid"), pl.col("ask")
    has_quotes = ((bid > 0) & (ask > 0)).fill_null(value=False)
    return pl.when(pl.col("price") > 0).then((pl.col("volume") == 0) & ~has_quotes)


@cache
def market_price() -> pl.Expr:
    """Return what an option is worth now, index points: its last price, moved into its quotes.

    A last price outside the best bid and ask could not be traded again; the quote nearest to it
    could. An option that did not trade today is worth the middle of its quotes, NULL if it lacks
    one. A bid, ask or price of 0 counts as missing; an option of unknown volume, as traded.
    """
    bid, ask, price = (
        pl.when(pl.col(name) > 0).then(pl.col(name)) for name in ("bid", "ask", "price")
    )
    last = pl.when((pl.col("volume") != 0).fill_null(value=True)).then(price)
    value = pl.coalesce(last, (bid + ask) / 2)
    return pl.when(value.is_not_null()).then(pl.max_horizontal(pl.min_horizontal(value, ask), bid))


@cache
def strikes_above_atm() -> pl.Expr:
    """Return, within a snapshot, how many listed strikes a row is above ATM; NULL without ATM.

    ATM is the strike nearest to the `forward`, the lower of two equally near.
    """
    strike = pl.col("strike")
    distance = (strike - pl.col("forward")).abs()
    rank = strike.rank("dense").cast(pl.Int32)
    return rank - rank.filter(distance == distance.min()).min()


def has_twin(names: Sequence[str]) -> pl.Expr:
    """Return whether a row of a frame sorted by these columns has the same values as another one.

    A NULL is not the same as another one.
    """
    same = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in names)
    same = same.fill_null(value=False)
    return same | same.shift(-1, fill_value=False)


def snapshot_measures(out: pl.Expr, price: pl.Expr) -> dict[str, pl.Expr]:
    """Return what `snapshot_findings` needs of a group: one snapshot's rows around the money.

    The group has the columns near_strike (NULL where a row is not around the money) and forward.
    `out` is how many strikes a row is out of the money (below 0: in the money), `price` its price,
    both NULL where the row is not near or not sound.
    """
    strike, forward = pl.col("near_strike"), pl.col("forward")
    return {
        "lowest_strike": strike.min(),
        "highest_strike": strike.max(),
        "near_strikes": strike.drop_nulls().n_unique(),
        "lowest_forward": forward.min(),
        "highest_forward": forward.max(),
        "turned": pl.corr(out, price),
        "near_prices": price.count(),
    }


@cache
def snapshot_findings() -> dict[str, pl.Expr]:
    """Return, by flag, what makes a snapshot unusable, from its `snapshot_measures`.

    It is swapped if prices rise the further options are out of the money, almost in proportion.
    """
    forward, low = pl.col("lowest_forward"), pl.col("lowest_strike")
    high = pl.col("highest_strike")
    half_step = (high - low) / (pl.col("near_strikes") - 1).clip(lower_bound=1) / 2
    within = forward.is_between(low - half_step, high + half_step)
    turned = pl.col("turned").is_between(_TURNED, 1.1) & (pl.col("near_prices") >= _FEWEST)
    return {
        "no_forward": ~(forward == pl.col("highest_forward")).fill_null(value=False),
        "no_atm": ~within.fill_null(value=True),
        "swapped": (turned & within).fill_null(value=False),
    }
