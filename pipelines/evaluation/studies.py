"""Whether figures read off options say anything of what follows: with sample sizes and intervals.

Nothing is fitted to the sessions that are judged: what a session is compared with (usual ranges,
usual moves) is taken from the sessions before it. Intervals are by bootstrap over sessions (Efron,
"Better bootstrap confidence intervals", 1987, percentiles), since the hours of one session are not
independent of each other; the draws are always the same. Costs are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine.history.session_columns import with_session_hours
from engine.market.hours import MINUTE

Floats = NDArray[np.float64]

HOUR = timedelta(hours=1)
FRESH = timedelta(minutes=5)  # what is known of options at a moment is not older
USUAL, FEWEST_USUAL = 20, 5  # sessions that a session is compared with; fewer: no sample
ENOUGH = 20  # sessions in each group, before anything is concluded
DRAWS = 2_000
LEVEL = 0.95
GROUPS = {"gamma": ("positive", "negative"), "premium": ("dear", "cheap")}
FIGURES = {
    "gamma": ("range", "relative_range", "reversal"),
    "premium": ("expected", "realised", "premium", "exceeded"),
}
_ENTRY = timedelta(minutes=30)  # after the open: quotes are there


@dataclass(frozen=True)
class Study:
    """A study's outcome.

    Attributes:
        name: gamma or premium.
        samples: One row each: session, timestamp, group and the FIGURES.
        table: One row a figure and group (and their difference): figure, group, samples, sessions,
            mean, low, high (the interval of the mean; NULL with one session).
        conclusion: What can be said, in a sentence or two.
    """

    name: str
    samples: pl.DataFrame
    table: pl.DataFrame
    conclusion: str


def gamma_study(bars: pl.LazyFrame, surface: pl.LazyFrame) -> Study:
    """Compare the hours that follow positive and negative gamma exposure.

    `bars` are minutes of one series (`front_series`), `surface` has timestamp, gamma_exposure of
    one row a minute. At each full hour of a session's continuous trading, what is known then (not
    older than FRESH) gives the group; the hour after it gives

    - range: highest less lowest price, % of the price
    - relative_range: that over the mean range at this time of day in up to USUAL sessions before
    - reversal: the hour's return against the sign of the return of the hour before, %; above 0 it
      turned back. Dealers who are long gamma sell into rises: less range, more reversal.

    Hours do not overlap; the last one ends with continuous trading at the latest.
    """
    hours = _hours(bars)
    known = _known(surface, "gamma_exposure")
    seen = hours.join_asof(known, on="timestamp", tolerance=FRESH, strategy="backward")
    usual = pl.col("range").shift().rolling_mean(USUAL, min_samples=FEWEST_USUAL).over("clock")
    samples = (
        seen.with_columns(relative_range=pl.col("range") / usual)
        .filter(pl.col("gamma_exposure") != 0)
        .with_columns(
            group=pl.when(pl.col("gamma_exposure") > 0)
            .then(pl.lit("positive"))
            .otherwise(pl.lit("negative"))
        )
        .select("session", "timestamp", "group", *FIGURES["gamma"])
    )
    return _study("gamma", samples, "relative_range")


def premium_study(bars: pl.LazyFrame, surface: pl.LazyFrame) -> Study:
    """Compare what a straddle costs until the close with how far the market moved.

    `surface` has timestamp and expected_move_close (index points; over all maturities that of the
    nearest). Half an hour after each open: expected is that, realised the distance from the price
    then to the last one of the session, both % of the price; premium is expected less realised (of
    the move by the close; not what a seller who hedges earns), exceeded whether the market moved
    further. A session is dear where expected is above the mean realised move of the USUAL sessions
    before it, else cheap.
    """
    moves = _moves(bars)
    column = "expected_move_close"
    known = _known(surface, column)
    samples = (
        moves.join_asof(known, on="timestamp", tolerance=FRESH, strategy="backward")
        .with_columns(
            expected=pl.col(column) / pl.col("price") * 100,
            usual=pl.col("realised").shift().rolling_mean(USUAL, min_samples=FEWEST_USUAL),
        )
        .drop_nulls(["expected", "usual"])
        .with_columns(
            premium=pl.col("expected") - pl.col("realised"),
            exceeded=(pl.col("realised") > pl.col("expected")).cast(pl.Float64),
            group=pl.when(pl.col("expected") > pl.col("usual"))
            .then(pl.lit("dear"))
            .otherwise(pl.lit("cheap")),
        )
        .select("session", "timestamp", "group", *FIGURES["premium"])
    )
    return _study("premium", samples, "premium")


def _known(surface: pl.LazyFrame, column: str) -> pl.DataFrame:
    """Return a column of the surface by the moment at which it was known.

    The snapshot of minute 10:00 is taken within the minute after it: at 10:00 it is of the future.
    """
    return (
        surface.select(pl.col("timestamp") + MINUTE, column)
        .drop_nulls()
        .sort("timestamp")
        .collect()
    )


def _hours(bars: pl.LazyFrame) -> pl.DataFrame:
    """Return the whole hours of continuous trading that have one before them, in order."""
    hour = ((pl.col("timestamp") - pl.col("opens")).dt.total_microseconds() - 1).floordiv(
        HOUR // timedelta(microseconds=1)
    )
    begin = pl.col("opens") + hour * HOUR
    change = (pl.col("close") / pl.col("open")).log() * 100
    return (
        with_session_hours(bars)
        .filter(pl.col("timestamp") <= pl.col("continuous_end"))
        .with_columns(timestamp=begin, stamp=pl.col("timestamp"), whole=begin + HOUR)
        .filter(pl.col("whole") <= pl.col("continuous_end"))
        .sort("stamp")
        .group_by("session", "timestamp", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("opens").first(),
        )
        .with_columns(
            change=change,
            range=(pl.col("high") - pl.col("low")) / pl.col("open") * 100,
            clock=pl.col("timestamp") - pl.col("opens"),
        )
        .with_columns(
            reversal=-pl.col("change").shift().over("session").sign() * pl.col("change"),
            follows=pl.col("timestamp").diff().over("session") == HOUR,
        )
        .filter("follows")
        .sort("timestamp")
        .collect()
    )


def _moves(bars: pl.LazyFrame) -> pl.DataFrame:
    """Return session, timestamp (half an hour after the open), price then and realised move, %."""
    entry = pl.col("opens") + _ENTRY
    until = pl.col("timestamp") <= entry
    return (
        with_session_hours(bars)
        .sort("timestamp")
        .group_by("session", maintain_order=True)
        .agg(
            timestamp=entry.first(),
            price=pl.col("close").filter(until).last(),
            last=pl.col("close").filter(~until).last(),
        )
        .drop_nulls()
        .with_columns(realised=(pl.col("last") / pl.col("price") - 1).abs() * 100)
        .sort("timestamp")
        .collect()
    )


def _study(name: str, samples: pl.DataFrame, deciding: str) -> Study:
    rows = [row for figure in FIGURES[name] for row in _rows(samples, figure, GROUPS[name])]
    schema = pl.Schema(
        {
            "figure": pl.String(),
            "group": pl.String(),
            "samples": pl.Int64(),
            "sessions": pl.Int64(),
            "mean": pl.Float64(),
            "low": pl.Float64(),
            "high": pl.Float64(),
        }
    )
    table = pl.DataFrame(rows, schema, orient="row")
    return Study(name, samples, table, _conclusion(table, samples, deciding, GROUPS[name]))


def _rows(samples: pl.DataFrame, figure: str, groups: tuple[str, str]) -> list[tuple[object, ...]]:
    """Return the rows of the table about one figure: each group, all, and the difference."""
    known = samples.drop_nulls(figure)
    sessions, number = _numbered(known["session"])
    values = known[figure].to_numpy()
    member = [(known["group"] == group).to_numpy() for group in groups]
    everything = np.ones(len(values), dtype=bool)
    drawn = _draws(sessions)
    means = [_means(values, number, mask, drawn) for mask in (*member, everything)]
    rows: list[tuple[object, ...]] = [
        (figure, group, int(mask.sum()), len(set(number[mask])), *_interval(*mean))
        for group, mask, mean in zip((*groups, "all"), (*member, everything), means, strict=True)
    ]
    difference = means[0][0] - means[1][0], means[0][1] - means[1][1]
    rows.append((figure, "difference", len(values), sessions, *_interval(*difference)))
    return rows


def _numbered(session: pl.Series) -> tuple[int, NDArray[np.int64]]:
    number = session.rank("dense").cast(pl.Int64).to_numpy() - 1
    return int(number.max(initial=-1)) + 1, number


def _draws(sessions: int) -> Floats:
    """Return how often each session is in each draw, shape (DRAWS, sessions)."""
    if not sessions:
        return np.zeros((DRAWS, 0))
    rng = np.random.default_rng(20)
    return rng.multinomial(sessions, np.full(sessions, 1 / sessions), DRAWS).astype(float)


def _means(
    values: Floats, number: NDArray[np.int64], mask: NDArray[np.bool_], drawn: Floats
) -> tuple[float, Floats]:
    """Return the mean of a group, and in each draw of whole sessions."""
    size = drawn.shape[1]
    counts = np.bincount(number[mask], minlength=size).astype(float)
    totals = np.bincount(number[mask], values[mask], minlength=size)
    with np.errstate(all="ignore"):  # a draw without the group, or nothing at all
        return float(totals.sum() / counts.sum()), (drawn @ totals) / (drawn @ counts)


def _interval(mean: float, draws: Floats) -> tuple[float | None, float | None, float | None]:
    """Return the mean and its interval; None where there is nothing, or no spread to judge by."""
    if not np.isfinite(mean):
        return None, None, None
    known = draws[np.isfinite(draws)]
    if len(known) < DRAWS / 2 or np.ptp(known) == 0:
        return mean, None, None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return mean, float(low), float(high)


def _conclusion(
    table: pl.DataFrame, samples: pl.DataFrame, deciding: str, groups: tuple[str, str]
) -> str:
    rows = {row["group"]: row for row in table.filter(figure=deciding).to_dicts()}
    counts = [rows[group]["sessions"] for group in groups]
    if min(counts) < ENOUGH:
        having = " and ".join(f"{n} {group}" for n, group in zip(counts, groups, strict=True))
        return (
            f"Too few days to say anything: {samples['session'].n_unique()} sessions with a sample,"
            f" of {deciding} {having}; {ENOUGH} of each are the least."
        )
    gap = rows["difference"]
    between = f"{gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})"
    sure = gap["low"] is not None and (gap["low"] > 0 or gap["high"] < 0)
    said = "differs from 0" if sure else "is within chance"
    return (
        f"{deciding}: {groups[0]} less {groups[1]} is {between} at {LEVEL:.0%}, which {said};"
        f" {counts[0]} and {counts[1]} sessions."
    )
