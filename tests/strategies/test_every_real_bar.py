"""No look-ahead on the real file: what stands at a bar was known when the bar closed.

Proven for each strategy with its own parameters, all columns, bit for bit:

- **The row of every bar of the file** comes out again from bars at or before it alone, a few of its
  prefix (`fewest_bars`): those of its session, the hundred before it, and of each of `REACH`
  earlier sessions the first bar, the last bar and the bar of the same minute. Had the row anything
  from a later bar, it could not. Without a warm-up (opening_range) its session will do. So the long
  tests prove it; each other run takes every third session.
- **Every prefix that ends in one of seven sessions** gives in that session the rows of the whole;
  these prefixes begin `REACH` sessions earlier.
- **Every session** has the rows of the whole with all that came before and nothing after, and with
  its warm-up and nothing else: where a prefix begins makes no difference.

Random histories, in which each prefix has all of its bars, are in `test_no_lookahead`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from strategies.base import ENGINE, Strategy
from strategies.dolpha1.strategy import Dolpha1
from strategies.registry import STRATEGIES
from tests.databases import LONG
from tests.strategies.histories import needs_real_file, real_bars
from tests.strategies.prefixes import CODES, Evaluate, by_session, fewest_bars, prefixes, rows_of

pytestmark = needs_real_file
on_each_strategy = pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
Sessions = Sequence[pl.DataFrame]
REACH = 6  # the five sessions of dolpha1's mean and one for the expiry, which ends ten bars early
EVERY_FOURTEENTH = range(0, 87, 14)  # the first session and the one after the expiry among them
EACH = 1 if LONG else 3  # a session of so many
AT_ONCE = 6  # sessions whose bars are laid out in one frame: a matter of memory


@pytest.fixture(scope="module")
def sessions() -> Sessions:
    return by_session(real_bars())


def with_its_own(strategy: Strategy[Any]) -> Evaluate:
    return partial(strategy.evaluate, params=strategy.params())


def reach_of(strategy: Strategy[Any]) -> int:
    return min(REACH, strategy.warm_up_sessions(strategy.params()))


def rows_of_the_whole(evaluate: Evaluate, sessions: Sessions) -> pl.DataFrame:
    bars = pl.concat(sessions).with_columns(symbol=pl.lit("A01_FRONT"))
    rows = evaluate(bars.lazy()).drop("symbol").collect(engine=ENGINE)
    return rows.with_row_index("number")


def assert_rows_follow_from_few(
    evaluate: Evaluate, sessions: Sessions, ends: Sequence[int], reach: int
) -> None:
    """The fewest bars of each bar of the sessions `ends` must give the row that the whole has."""
    whole = rows_of_the_whole(evaluate, sessions)
    for some in (ends[n : n + AT_ONCE] for n in range(0, len(ends), AT_ONCE)):
        bars = pl.concat([fewest_bars(sessions[max(0, end - reach) : end + 1]) for end in some])
        last = rows_of(evaluate, bars).group_by("number", maintain_order=True).last()
        expected = whole.filter(pl.col("number").is_in(last["number"].implode()))
        assert last.height == sum(sessions[end].height for end in some)
        assert_frame_equal(last, expected, check_exact=True)


def assert_prefixes_have_the_rows_of_the_whole(
    evaluate: Evaluate, sessions: Sessions, ends: Sequence[int], reach: int
) -> None:
    """Every prefix that ends in the sessions `ends` must have all rows of its last session."""
    whole = rows_of_the_whole(evaluate, sessions).drop("number")
    for end in ends:
        own = sessions[end]
        seen = rows_of(evaluate, prefixes(sessions[max(0, end - reach) : end + 1]))
        seen = seen.filter(pl.col("timestamp") >= own["timestamp"][0]).drop("number")
        expected = seen.select("timestamp").join(whole, on="timestamp", maintain_order="left")
        assert seen.height == own.height * (own.height + 1) // 2
        assert_frame_equal(seen.select(expected.columns), expected, check_exact=True)


@on_each_strategy
def test_the_row_of_every_bar_follows_from_the_bars_until_it(
    strategy: Strategy[Any], sessions: Sessions
) -> None:
    evaluate, reach = with_its_own(strategy), reach_of(strategy)
    assert_rows_follow_from_few(evaluate, sessions, range(0, len(sessions), EACH), reach)


@on_each_strategy
def test_every_prefix_that_ends_in_a_session_has_the_rows_of_the_whole(
    strategy: Strategy[Any], sessions: Sessions
) -> None:
    evaluate, reach = with_its_own(strategy), reach_of(strategy)
    assert_prefixes_have_the_rows_of_the_whole(evaluate, sessions, EVERY_FOURTEENTH, reach)


@on_each_strategy
@pytest.mark.parametrize("all_before", [True, False], ids=["all before", "warm-up only"])
def test_every_session_has_the_rows_of_the_whole(
    strategy: Strategy[Any], sessions: Sessions, all_before: bool
) -> None:
    evaluate = with_its_own(strategy)
    reach = len(sessions) if all_before else strategy.warm_up_sessions(strategy.params())
    laid = [
        pl.concat(sessions[max(0, end - reach) : end + 1]).with_columns(
            symbol=pl.lit(CODES[own["number"][-1]])
        )
        for end, own in enumerate(sessions)
    ]
    own = pl.col("timestamp").dt.date() == pl.col("timestamp").dt.date().max().over("number")
    seen = rows_of(evaluate, pl.concat(laid)).filter(own)
    whole = rows_of_the_whole(evaluate, sessions)
    assert_frame_equal(seen.drop("number"), whole.drop("number"), check_exact=True)


def test_a_strategy_that_peeks_one_bar_ahead_would_be_caught(sessions: Sessions) -> None:
    honest = with_its_own(Dolpha1())

    def peeking(bars: pl.LazyFrame) -> pl.LazyFrame:
        ahead = pl.col("high").shift(-1).over("symbol", pl.col("timestamp").dt.date())
        known = bars.sort("symbol", "timestamp").with_columns(ahead.fill_null(pl.col("high")))
        return honest(known)

    with pytest.raises(AssertionError):
        assert_rows_follow_from_few(peeking, sessions, [40], REACH)
    with pytest.raises(AssertionError):
        assert_prefixes_have_the_rows_of_the_whole(peeking, sessions, [40], REACH)
