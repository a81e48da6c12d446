"""Steps of the futures' price limits as events: told to the minute, once, with an end."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.fetchers.price_limits import read_limits
from engine.kis.answer import Answer
from engine.market.symbols import parse_derivative
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.price_limits import widened_at
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FUTURE, at_time, play
from tests.pipelines.simulated import Desk, desk

# The index falls by a tenth in three minutes, after the last minute in which a breaker may begin.
SCENARIO = Scenario.model_validate(
    {"move": [{"at": "14:52", "by": 0.0}, {"at": "14:55", "by": -0.1}, {"at": "15:45", "by": -0.1}]}
)
FEED = Feed((), (FUTURE,))


async def events(at: Desk) -> pl.DataFrame:
    return await at.frame(
        "SELECT symbol, started_at, ended_at, source, code FROM market_events"
        " WHERE kind = 'price_limit' ORDER BY started_at"
    )


async def test_a_widened_limit_is_an_event_from_the_first_answer_that_shows_it(
    database_url: str, tmp_path: Path
) -> None:
    """The collector is ended and begun again in between: it is the same event."""
    async with desk(database_url, tmp_path, at_time("14:50"), faults=SCENARIO) as at:
        rows = at.simulator.exchange.today(
            FUTURE, parse_derivative(FUTURE).market, at_time("15:45")
        )
        assert rows is not None
        found = parse_derivative(FUTURE)
        before = at.simulator.exchange.session_before(FUTURE, found.market, DAY)
        assert before is not None
        base = float(before.so_far["close"][-1])
        (widened,) = widened_at(rows.bars, base, found, rows.session)
        assert widened > at_time("14:55")
        later = widened + timedelta(minutes=4)
        await play(at, database_url, tmp_path, feed=FEED, until=later)
        (first,) = (await events(at)).rows()
        played = await play(at, database_url, tmp_path, feed=FEED)
        assert played.error is None
        (told,) = (await events(at)).rows()
    assert first[2] is None
    symbol, started_at, ended_at, source, code = told
    assert (symbol, source, code) == (FUTURE, "FHMIF10000000", "15")
    assert started_at == first[1]
    assert timedelta() <= started_at - widened < timedelta(minutes=1, seconds=5)
    assert ended_at == at_time("15:45")


def limits(**fields: str) -> tuple[int, bool] | None:
    record = {
        "futs_prdy_clpr": "1061.15",
        "futs_mxpr": "1146.00",
        "futs_llam": "976.30",
        "futs_hgpr": "1100.00",
        "futs_lwpr": "1000.00",
    }
    answer = Answer("X", FUTURE, {"output1": record | fields}, at_time("10:00"), at_time("10:00"))
    found = read_limits(answer, FUTURE)
    return (found.step, found.is_reached) if found else None


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (8, False)),  # KIS's own numbers, rounded inwards to the tick
        ({"futs_lwpr": "976.30"}, (8, True)),
        ({"futs_hgpr": "1146.00"}, (8, True)),
        ({"futs_mxpr": "1220.30", "futs_llam": "902.00"}, (15, False)),  # output1 may follow
        ({"crbr_aply_mxpr": "1220.30", "crbr_aply_llam": "902.00"}, (15, False)),
        ({"crbr_aply_mxpr": "0.00", "crbr_aply_llam": "0.00"}, (8, False)),
        ({"crbr_aply_mxpr": "1273.35", "crbr_aply_llam": "848.95"}, (20, False)),
        ({"futs_prdy_clpr": ""}, None),
        ({"futs_mxpr": "-"}, None),
        ({"futs_hgpr": "", "futs_lwpr": "0.00"}, (8, False)),  # nothing has traded yet
    ],
)
def test_limits_are_read_as_whole_per_cents_of_the_close_before(
    fields: dict[str, str], expected: tuple[int, bool] | None
) -> None:
    assert limits(**fields) == expected
