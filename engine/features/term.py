"""Volatility by time: constant maturities, the volatility index, and moves in trading time.

Between two maturities total variance (volatility^2 x time, calendar days / 365) is linear in time.

- Constant maturities (7, 30, 60 days) are at the money. Before the nearest maturity its volatility
  holds (a total variance of 0 now); beyond the last it is not known.
- Our VKOSPI has Cboe's form: the variance swaps (`engine.features.strip`) of the near and the next
  month, at 30 days. The near month is the first monthly with more than ROLL left, as at Cboe while
  its index took months; where both lie on one side of 30 days, the line is extended.
- Its weekly variant is the same at 7 days, between the maturities just before and after, weekly or
  monthly, without those that end within LAST_DAY.
- Over all maturities, volatility at the money and in the wings is that at 30 days; if all
  maturities are shorter or all are longer, that of the nearest.

Days are calendar days of 24 hours, to the microsecond, as in `engine.features.black76`. Our index
is not KRX's: theirs is computed from the quotes of listed options, ours from the smile.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.features.black76 import Floats
from engine.features.chain import MONTHLY, collect

DAY = 1 / 365  # years
CONSTANT = (7, 30, 60)  # days
ROLL = 7 * DAY
LAST_DAY = 1 * DAY
WINGS = ("call_25d", "put_25d", "call_10d", "put_10d")  # volatilities of a smile, % per year
TERMS = (
    *("atm_volatility", "risk_reversal_25d", "butterfly_25d", "risk_reversal_10d"),
    *("butterfly_10d", *(f"atm_{days}d" for days in CONSTANT), "vkospi", "vkospi_weekly"),
)
MOVES = ("expected_move_close", "expected_move_expiry")
Ints = NDArray[np.int64]
_MINUTE = ("timestamp", "underlying")
_MEASURED = ("atm_volatility", *WINGS, "swap_volatility")


def term_structure(smiles: pl.DataFrame) -> pl.DataFrame:
    """Return timestamp, underlying, MOVES and TERMS, one row a minute; volatilities % per year.

    `smiles` has one row for each minute and maturity, with timestamp, underlying, years, cycle,
    quotes, atm_volatility, WINGS, swap_volatility and MOVES. The MOVES returned are those of the
    nearest maturity. Of several smiles with one expiry (the mini options beside the others) the one
    with the most quotes counts.
    """
    known = (
        smiles.lazy()
        .filter(pl.col("atm_volatility").is_not_null())
        .sort(*_MINUTE, "years", "quotes", descending=[False, False, False, True])
        .unique([*_MINUTE, "years"], keep="first", maintain_order=True)
        .with_columns(_place())
        .pipe(collect)
    )
    place = known["place"].to_numpy()
    minutes = known[[*_MINUTE, *MOVES]].filter(known["place"] == 0)
    at = np.cumsum(place == 0) - 1, place
    shape = (minutes.height, int(place.max(initial=0)) + 1)
    years = _padded(known["years"], at, shape)
    variance = {
        name: np.square(_padded(known[name], at, shape) / 100) * years for name in _MEASURED
    }
    monthly = np.zeros(shape, dtype=bool)
    monthly[at] = (known["cycle"] == MONTHLY).fill_null(value=False).to_numpy()
    return minutes.hstack(pl.DataFrame(_terms(years, variance, monthly), nan_to_null=True))


@cache
def _place() -> pl.Expr:
    return pl.int_range(pl.len()).over(_MINUTE).alias("place")


@cache
def expected_moves() -> tuple[pl.Expr, pl.Expr]:
    """Return expected_move_close and expected_move_expiry, index points.

    The mean size of the move, which is what the straddle at the money costs: 2 F (2 N(sqrt(w) / 2)
    - 1), with w the smile's total variance at the money. For the move until the close, w is
    multiplied by `trading_to_close` / `trading_to_expiry` (minutes of day sessions): time runs only
    while the market is open.
    """
    left, until_expiry = pl.col("trading_to_close"), pl.col("trading_to_expiry")
    share = pl.when(until_expiry > 0).then(left / until_expiry)
    moves = (
        pl.col("smile_theta") * share.clip(upper_bound=1.0),
        pl.col("smile_theta"),
    )
    return tuple(  # type: ignore[return-value]
        (pl.col("forward") * 2 * _inside(variance.sqrt() / 2)).alias(name)
        for name, variance in zip(MOVES, moves, strict=True)
    )


def _inside(x: pl.Expr) -> pl.Expr:
    """Return 2 N(x) - 1."""
    return 1 - (x * math.sqrt(0.5)).erfc()


def _padded(values: pl.Series, at: tuple[Ints, Ints], shape: tuple[int, int]) -> Floats:
    found = np.full(shape, np.nan)
    found[at] = values.to_numpy()
    return found


def _terms(
    years: Floats, variance: dict[str, Floats], monthly: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Return TERMS; `years` and each `variance` (total) have shape (minutes, maturities)."""
    month = 30 * DAY
    within = np.clip(month, np.nanmin(years, axis=1), np.nanmax(years, axis=1))
    measured = np.stack([variance[name] for name in ("atm_volatility", *WINGS)])
    atm, calls, puts, far_calls, far_puts = _volatility(between(years, measured, within), within)
    swap = variance["swap_volatility"]
    months = np.where(monthly & (years > ROLL), years, np.nan)
    near, after = first_two(months)
    lasting = np.where(years > LAST_DAY, years, np.nan)
    week = 7 * DAY
    weekly = np.where(
        (lasting <= week).any(axis=1), between(lasting, swap, np.full(len(years), week)), np.nan
    )
    return {
        "atm_volatility": atm,
        "risk_reversal_25d": calls - puts,
        "butterfly_25d": (calls + puts) / 2 - atm,
        "risk_reversal_10d": far_calls - far_puts,
        "butterfly_10d": (far_calls + far_puts) / 2 - atm,
        **{
            f"atm_{days}d": _volatility(
                between(years, variance["atm_volatility"], np.full(len(years), days * DAY)),
                days * DAY,
            )
            for days in CONSTANT
        },
        "vkospi": _volatility(_on_the_line(months, swap, near, after, month), month),
        "vkospi_weekly": _volatility(weekly, week),
    }


def between(years: Floats, variance: Floats, target: Floats) -> Floats:
    """Return total variance at `target` years, shape (…, n), linear between the two around it.

    Before the first it falls to 0 at no time left; beyond the last it is NaN. Rows of `years` are
    in any order, NaN where there is no maturity; `variance` has shape (…, n, maturities).
    """
    wanted = target[:, None]
    at_most = np.where(years <= wanted, years, -1.0)
    at_least = np.where(years >= wanted, years, np.inf)
    low, high = at_most.argmax(axis=1), at_least.argmin(axis=1)
    rows = np.arange(len(years))
    early, late = at_most[rows, low], at_least[rows, high]
    from_variance = np.where(early < 0, 0.0, variance[..., rows, low])
    early = np.maximum(early, 0.0)
    late = np.where(np.isfinite(late), late, np.nan)
    span = late - early
    share = np.where(span > 0, (target - early) / np.where(span > 0, span, 1.0), 0.0)
    share = np.where(np.isnan(span), np.nan, share)
    return np.asarray(from_variance + (variance[..., rows, high] - from_variance) * share)


def first_two(years: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the shortest and the second shortest time in each row; NaN come last."""
    order = np.argsort(years, axis=1)
    return order[:, 0], order[:, min(1, years.shape[1] - 1)]


def _on_the_line(
    years: Floats,
    variance: Floats,
    near: NDArray[np.int64],
    after: NDArray[np.int64],
    target: float,
) -> Floats:
    """Return total variance at the target on the line through two maturities; NaN without both."""
    rows = np.arange(len(years))
    early, late = years[rows, near], years[rows, after]
    apart = np.where(late > early, late - early, np.nan)
    first, second = variance[rows, near], variance[rows, after]
    return np.asarray(first + (second - first) * (target - early) / apart)


def _volatility(variance: Floats, years: Floats | float) -> Floats:
    return np.asarray(np.sqrt(np.where(variance > 0, variance, np.nan) / years) * 100)
