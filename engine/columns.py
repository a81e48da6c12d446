"""The columns that modules share, and the frames that they hand to each other.

`engine.schemas` has what is stored; this has what passes between reading, planning, the ledger and
the checks. Times are KST without zone. It imports nothing of ours, so that even features may use
it; engine.market, which may not, has the frames of what must exist (`engine.market.expected`).

| column           | meaning                                                                     |
|------------------|-----------------------------------------------------------------------------|
| symbol           | code of a stock or contract, or the underlying_symbol of an option chain    |
| session          | date on which the session begins, of a night the evening                    |
| stamp            | time of a bar: the end of its minute (of a closing auction, its own time)   |
| timestamp        | the same as a column of the tables                                          |
| index_in_session | number of the stamp among those that its session expects, from 0            |
| grid             | number of a set of hours; sessions with the same hours share it             |
| minute           | whole minutes since the session's midnight                                  |
"""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

TIME = pl.Datetime("us")
_EPOCH = datetime(1970, 1, 1)


def literal_time(moment: datetime) -> pl.Expr:
    """Return a moment as a constant of type TIME, in a seventh of the 50 µs that `pl.lit` takes."""
    return pl.lit((moment - _EPOCH) // timedelta(microseconds=1), pl.Int64).cast(TIME)


PRICES = ("open", "high", "low", "close")  # index points; of stocks KRW

# Keys: what one row is about.
SESSION = ["symbol", "session"]  # one session of one symbol
STAMP = [*SESSION, "stamp"]  # one bar or snapshot, be it expected, stored, missing or asked for

# Frames.
STAMPS = pl.Schema(  # bars or snapshots, without their values
    [("symbol", pl.String()), ("session", pl.Date()), ("stamp", TIME)]
)
BARS = pl.Schema(  # minute bars, as strategies, checks and comparisons with KIS take them
    [
        ("timestamp", TIME),
        ("symbol", pl.String()),
        *((price, pl.Float64()) for price in PRICES),
        ("volume", pl.Int64()),  # contracts or shares
    ]
)
