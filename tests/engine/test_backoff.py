"""Waits between tries double up to a limit, and chance takes off no more than it may."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backoff import Backoff

SECONDS = st.floats(0.001, 1000)


@given(SECONDS, SECONDS, st.integers(1, 100))
def test_a_wait_is_the_first_or_twice_the_one_before_or_the_longest(first, longest, failures):
    backoff = Backoff(first, longest)
    assert backoff.wait_after(1) == min(first, longest)
    before, after = backoff.wait_after(failures), backoff.wait_after(failures + 1)
    assert after == pytest.approx(min(2 * before, longest))


@given(SECONDS, SECONDS, st.floats(0, 1), st.integers(1, 10_000), st.integers())
def test_chance_takes_off_no_more_than_the_jitter(first, longest, jitter, failures, seed):
    backoff = Backoff(first, longest, jitter)
    whole = backoff.wait_after(failures)
    assert 0 < whole <= longest
    chances = [random.Random(seed) for _ in range(2)]  # noqa: S311
    waits = [backoff.wait_after(failures, chance) for chance in chances]
    assert waits[0] == waits[1], "a seeded wait repeats exactly"
    assert whole * (1 - jitter) * (1 - 1e-9) <= waits[0] <= whole * (1 + 1e-9)


def test_a_try_that_fails_for_days_goes_on_waiting_the_longest():
    assert Backoff(0.5, 8.0).wait_after(1_000_000) == 8.0


def test_jitter_spreads_those_who_failed_together():
    chance = random.Random(1)  # noqa: S311
    waits = [Backoff(1.0, 8.0, jitter=0.5).wait_after(3, chance) for _ in range(100)]
    assert len(set(waits)) == 100
