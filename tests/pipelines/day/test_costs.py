"""What a plan costs in calls, and that more than KIS's pace is refused with the reason."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from engine.clock import Clock
from engine.errors import InputError
from engine.market.symbols import FrontChain, parse_chain
from engine.settings import AppKey, KisSettings
from pipelines.day.costs import calls_a_minute, costs_text, require_pace
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.pipelines.day.playing import FUTURE, STOCK, at_time, play
from tests.pipelines.simulated import desk

NEARLY_ALL = timedelta(seconds=57)  # of a minute: at its end what waits gives up
DAY = date(2026, 11, 18)
KEY = AppKey(app_key=SecretStr("key"), app_secret=SecretStr("secret"))
EVERYTHING = plan(
    Feed(
        ("005930",),
        ("A01",),
        (parse_chain("front"),),
        streams=("state", "flows", "programme", "index"),
    ),
    DAY,
)


def test_the_costs_of_each_part_are_told() -> None:
    assert calls_a_minute(EVERYTHING) == {
        "bars": 2,
        "chains": 62,
        "state": 0,
        "flows": 9,
        "programme": 2,
        "index": 3,
    }
    settings = KisSettings(app_keys=(KEY,), calls_per_second=5)
    require_pace(EVERYTHING, settings)
    assert costs_text(EVERYTHING, settings) == (
        "bars 2, chains 62, state 0, flows 9, programme 2, index 3: 78 of 300 calls a minute"
    )


def test_a_chain_at_night_has_a_call_for_every_option() -> None:
    tonight = plan(Feed((), ("A01",), (parse_chain("front"),), night=True), DAY).tonight
    assert tonight
    assert calls_a_minute(tonight) == {"bars": 1, "chains": 2 * 41 + 1}


def test_more_than_the_pace_is_refused_but_never_bars_and_chains_alone() -> None:
    slow = KisSettings(app_keys=(KEY,), calls_per_second=1)
    with pytest.raises(InputError, match="78 of 60 calls a minute; take something out of"):
        require_pace(EVERYTHING, slow)
    alone = plan(Feed((), ("A01",), (parse_chain("front"),), streams=("state",)), DAY)
    require_pace(alone, slow)


class Noted(Counter[str]):
    """Counts of calls that remember in which order they came, and when."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.order: list[tuple[datetime, str]] = []

    def __setitem__(self, tr_id: str, count: int) -> None:
        self.order.append((self.clock.now(), tr_id))
        super().__setitem__(tr_id, count)


RANKS = {  # bars, flows, the rest
    "FHKIF03020200": 0,
    "FHKST03010200": 0,
    "FHPIF05030100": 1,
    "FHMIF10000000": 1,
    "FHPTJ04030000": 2,
    "FHPPG04600101": 3,
    "FHKUP03500200": 3,
}


@pytest.mark.parametrize(
    ("chains", "pace", "ranks"),
    [((), 0.25, {0, 2, 3}), ((parse_chain("front"),), 0.5, {0, 1})],
)
async def test_at_a_slow_kis_bars_come_first_then_chains_then_flows_then_the_rest(
    database_url: str,
    tmp_path: Path,
    chains: tuple[FrontChain, ...],
    pace: float,
    ranks: set[int],
) -> None:
    """Fifteen calls a minute where 17 are wanted, and thirty where a chain alone wants more."""
    feed = Feed((STOCK,), (FUTURE,), chains, streams=("flows", "programme", "index"))
    async with desk(database_url, tmp_path, at_time("10:00:30")) as at:
        at.simulator.counts.calls = noted = Noted(at.clock)
        await play(at, database_url, tmp_path, feed=feed, until=at_time("10:05:30"), pace=pace)
    asked = [(moment, RANKS[tr_id]) for moment, tr_id in noted.order if tr_id in RANKS]
    seen = set()
    for minute in range(2, 5):
        begins = at_time(f"10:{minute:02d}:02")
        within = [rank for moment, rank in asked if timedelta() <= moment - begins < NEARLY_ALL]
        first = within.index(0)
        assert first <= 1, minute  # a call of the minute before may have got its turn already
        behind = [rank for rank in within[first:] if rank]
        assert within[first : first + 2] == [0, 0], minute  # a late bar is asked for again
        assert behind == sorted(behind), minute
        seen |= {*within}
    assert ranks <= seen
