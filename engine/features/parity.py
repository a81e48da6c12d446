"""The line of call less put over the strikes of each snapshot, in numpy behind one expression.

`engine.features.forward` says what it means and which strikes have a part. As stages of a plan
(group the rows by strike, compare, sort, join back) it took four times as long for a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.features.black76 import Floats, years
from engine.features.chain import IS_CALL, SNAPSHOT, WEEKLY

CLOSEST_STRIKES = 5  # the median of five is right even if two prices are wrong
OUTLIER = 4.0  # errors
RATE_KNOWN = 0.01  # per year
_NAMES = ("_parity", "_pairs", "_slope", "_slope_error", "_left")
LINE = pl.Struct({name: pl.Int64() if name == "_pairs" else pl.Float64() for name in _NAMES})
Ints = NDArray[np.int64]


@cache
def parity_line(rate: float) -> pl.Expr:
    """Return LINE for each row of a chain with FRESH_PRICES: that of its snapshot.

    `_parity` is the forward, `_pairs` the number of strikes, `_slope` that of exp(rate T) (call -
    put) by the strikes alone, with its sign turned (1 if the rate is right), `_slope_error` its
    standard error, `_left` the time to expiry in years. NULL for a snapshot without a strike that
    has both prices; a strike of which two rows of one side give different prices has no part.
    Without time left there is no interest, and the slope is 1.
    """
    untraded = (pl.col("cycle") == WEEKLY) & (pl.col("volume") == 0)
    price = pl.when(~untraded.fill_null(value=False)).then(pl.col("fresh"))
    left = years().fill_null(0.0)
    named = (pl.col(name) for name in (*SNAPSHOT, "strike"))
    columns = [*named, IS_CALL, price, pl.col("fresh_error"), left, (left * rate).exp()]
    return pl.map_batches(columns, _lines, LINE).alias("_line")


def _lines(columns: Sequence[pl.Series]) -> pl.Series:
    snapshot, count = _snapshots(*columns[:2])
    strike, call, price, error, left, growth = (
        column.cast(pl.Float64).to_numpy() for column in columns[2:]
    )
    usable = np.flatnonzero(np.isfinite(price))
    rows = usable[np.lexsort((strike[usable], snapshot[usable]))]
    found = np.full((len(_NAMES), count), np.nan)
    if len(rows):
        parts = (part[rows] for part in (strike, call, price, error))
        first, gap, off = _pairs(snapshot[rows], *parts)
        rows = rows[first]
        gap, off = gap * growth[rows], off * growth[rows]
        # From the one nearest to the money on.
        order = np.lexsort((strike[rows], np.abs(gap), snapshot[rows]))
        rows, gap, off = rows[order], gap[order], off[order]
        starts = _starts(snapshot[rows])
        found[:, snapshot[rows[starts]]] = _regression(
            strike[rows], gap, off, left[rows[starts]], starts
        )
    # Row by row from here on: Polars divides by one value for all rows in another way than by a
    # column, and the last digit would depend on how many snapshots there are.
    lines = pl.DataFrame(dict(zip(_NAMES, found[:, snapshot], strict=True)), nan_to_null=True)
    return lines.with_columns(pl.col("_pairs").cast(pl.Int64)).to_struct("_line")


def _snapshots(timestamp: pl.Series, symbol: pl.Series) -> tuple[Ints, int]:
    """Return the number of each row's snapshot, and how many there are."""
    new = np.ones(len(timestamp), dtype=bool)
    new[1:] = (timestamp[1:] != timestamp[:-1]) | (symbol[1:] != symbol[:-1])
    run = np.cumsum(new) - 1
    if not len(run) or run[-1] == 0:
        return run, 1
    runs = pl.DataFrame([timestamp, symbol]).filter(pl.Series(new))
    number = runs.select(pl.struct(pl.all()).rank("dense")).to_series().to_numpy() - 1
    return number[run].astype(np.int64), int(number.max()) + 1


def _starts(*parts: Floats | Ints) -> Ints:
    """Return where any of sorted columns changes, the first row among them."""
    new = np.zeros(len(parts[0]), dtype=bool)
    new[:1] = True
    for part in parts:
        new[1:] |= part[1:] != part[:-1]
    return np.flatnonzero(new)


def _pairs(
    snapshot: Ints, strike: Floats, call: Floats, price: Floats, error: Floats
) -> tuple[Ints, Floats, Floats]:
    """Return each strike with both prices: its first row, call less put, and the error of that.

    Rows are sorted by snapshot and strike.
    """
    starts = _starts(snapshot, strike)
    gap = np.zeros(len(starts))
    square = np.zeros(len(starts))
    agreed = np.ones(len(starts), dtype=bool)
    for is_side, sign in ((call > 0, 1.0), (call == 0, -1.0)):
        low = np.minimum.reduceat(np.where(is_side, price, np.inf), starts)
        high = np.maximum.reduceat(np.where(is_side, price, -np.inf), starts)
        agreed &= low == high  # never so without a row of the side
        gap += sign * np.where(agreed, low, 0.0)
        square += np.square(np.maximum.reduceat(np.where(is_side, error, 0.0), starts))
    return starts[agreed], gap[agreed], np.sqrt(square[agreed])


def _regression(strike: Floats, y: Floats, error: Floats, left: Floats, starts: Ints) -> Floats:
    """Return the fields of LINE for groups that begin at `starts`; shape (fields, groups).

    No group has a strike twice, and each begins with those nearest to the money; `left` is the time
    of each group in years.
    """
    number = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(strike)))
    seed = _medians(strike + y, starts, number)
    x = strike - seed[number]
    weight = np.where(np.abs(x + y) <= OUTLIER * error, 1 / np.square(error), 0.0)

    def sums(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, starts))

    pairs = sums((weight > 0).astype(float))
    with np.errstate(all="ignore"):  # a group of which no strike is left
        total = sums(weight)
        x_mean, y_mean = sums(weight * x) / total, sums(weight * y) / total
        x, y = x - x_mean[number], y - y_mean[number]
        sxx, sxy = sums(weight * x * x), sums(weight * x * y)
        known = 1 / np.square(RATE_KNOWN * left)  # as many quotes as this are on a slope of 1
        held = np.where(np.isfinite(known), (known - sxy) / (sxx + known), 1.0)
        several = (sxx > 0) & (left > 0)
        line = (
            seed + (y_mean / held + x_mean),
            pairs,
            np.where(several, -sxy / sxx, np.nan),
            np.where(several, 1 / np.sqrt(sxx), np.nan),
            left,
        )
    return np.where(pairs > 0, np.stack(line), np.nan)


def _medians(values: Floats, starts: Ints, number: Ints) -> Floats:
    """Return the median of the first CLOSEST_STRIKES of each group."""
    place = np.arange(len(values)) - starts[number]
    first = place < CLOSEST_STRIKES
    closest = np.full((len(starts), CLOSEST_STRIKES), np.inf)
    closest[number[first], place[first]] = values[first]
    closest.sort(axis=1)
    count = np.isfinite(closest).sum(axis=1)
    rows = np.arange(len(starts))
    low, high = closest[rows, (count - 1) // 2], closest[rows, count // 2]
    return np.asarray((low + high) / 2)
