"""What a plan costs in calls, and that more than KIS's pace is refused with the reason."""

from __future__ import annotations

from datetime import date

import pytest
from pydantic import SecretStr

from engine.errors import InputError
from engine.market.symbols import parse_chain
from engine.settings import AppKey, KisSettings
from pipelines.day.costs import calls_a_minute, costs_text, require_pace
from pipelines.feed import Feed, plan

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


def test_more_than_the_pace_is_refused_but_never_bars_and_chains_alone() -> None:
    slow = KisSettings(app_keys=(KEY,), calls_per_second=1)
    with pytest.raises(InputError, match="78 of 60 calls a minute; take something out of"):
        require_pace(EVERYTHING, slow)
    alone = plan(Feed((), ("A01",), (parse_chain("front"),), streams=("state",)), DAY)
    require_pace(alone, slow)
