"""A database that is away, locked or cut off does not end a day, from its start to its end."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.errors import InputError, StoreError, StoreUnreachable
from engine.store import migrate
from engine.store.spool import Spool
from pipelines.databases import record_data_kind
from pipelines.day import before_open
from pipelines.history.signal_inputs import computed_signals
from strategies.comparison import differences
from strategies.registry import STRATEGIES
from tests.engine.store.outage import away
from tests.pipelines.day.playing import (
    DAY,
    FEED,
    FUTURE,
    STOCK,
    at_time,
    expected,
    play,
    statuses,
    stored,
)
from tests.pipelines.day.troubles import end_connections, locked
from tests.pipelines.simulated import Desk, desk

EARLY, OPENED = at_time("08:34"), at_time("09:04:30")


@pytest.mark.parametrize(
    "step",
    [
        "finish_earlier",
        "store_collected_symbols",
        "fill_before_open",
        "read_stamps",
        "open_windows",
    ],
)
async def test_a_connection_that_is_cut_before_the_open_does_not_end_the_day(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    original = getattr(before_open, step)
    cuts = iter([True])

    async def cut_off(*given: Any, **named: Any) -> Any:
        if next(cuts, False):
            end_connections(database_url)
        return await original(*given, **named)

    monkeypatch.setattr(before_open, step, cut_off)
    async with desk(database_url, tmp_path, EARLY) as at:
        played = await play(at, database_url, tmp_path, until=OPENED)
        assert played.error is None
        assert next(cuts, None) is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:04"))
        assert await statuses(at) == {"collector": "stopped", "kis": "stopped", "spool": "stopped"}


@pytest.mark.parametrize("table", ["gaps", "stocks_1m", "collected_symbols", "system_status"])
async def test_a_locked_table_before_the_open_does_not_end_the_day(
    database_url: str, tmp_path: Path, table: str
) -> None:
    """As long as 75 s and more, in which one statement gives up."""

    async def trouble(at: Desk) -> None:
        with locked(database_url, table):
            await at.clock.sleep_until(at_time("08:36:15"))

    async with desk(database_url, tmp_path, EARLY) as at:
        played = await play(at, database_url, tmp_path, until=OPENED, trouble=trouble)
        assert played.error is None
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("09:04"))


async def test_a_database_away_from_the_start_gets_everything_when_it_is_back(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every bar and every signal; the log says it once, not at each try."""
    async with desk(database_url, tmp_path, EARLY) as at:
        with ExitStack() as outage:
            outage.enter_context(away(database_url))

            async def trouble(at: Desk) -> None:
                await at.clock.sleep_until(at_time("09:02:30"))
                assert not Spool(tmp_path / "live").empty
                outage.close()

            played = await play(
                at,
                database_url,
                tmp_path,
                until=OPENED,
                trouble=trouble,
                prepare=lambda: migrate(database_url),
                feed=FEED,
            )
        assert played.error is None
        for symbol, table in ((STOCK, "stocks_1m"), (FUTURE, "futures_1m")):
            assert await stored(at, symbol, table) == expected(at, symbol, at_time("09:04"))
        session = pl.DataFrame({"symbol": [FUTURE], "session": [DAY]})
        for strategy in STRATEGIES.values():
            given = await at.frame(f"SELECT * FROM {strategy.table}")
            computed = await computed_signals(at.store, strategy, session)
            assert given.height == len(expected(at, FUTURE, at_time("09:04")))
            assert differences(computed, given.drop("created_at")).is_empty()
        assert Spool(tmp_path / "live").empty
    lines = [record.getMessage() for record in caplog.records]
    assert sum("the check of the database waits" in line for line in lines) == 1


async def test_without_a_database_the_day_ends_two_hours_after_the_close(
    database_url: str, tmp_path: Path
) -> None:
    """The next start finds everything in the spool, and the day to be finished."""
    async with desk(database_url, tmp_path, at_time("15:40")) as at:
        with away(database_url):
            played = await play(at, database_url, tmp_path, feed=FEED)
            assert isinstance(played.error, StoreUnreachable)
            assert "had no database until" in str(played.error)
            assert played.ended_at - at_time("15:45") < timedelta(hours=2, minutes=30)
        waiting = Spool(tmp_path / "live")
        assert {entry.table for entry in waiting.entries()} >= {"futures_1m", "system_status"}
        again = await play(at, database_url, tmp_path, feed=FEED)
        assert again.error is None
        assert waiting.empty
        for symbol, table in ((STOCK, "stocks_1m"), (FUTURE, "futures_1m")):
            assert await stored(at, symbol, table) == expected(at, symbol, at_time("16:00"))


async def test_what_is_spooled_at_the_close_is_merged_before_the_comparison(
    database_url: str, tmp_path: Path
) -> None:
    """Bars that wait on disk are not missing: nothing of them stands in the ledger."""

    async def trouble(at: Desk) -> None:
        await at.clock.sleep_until(at_time("15:18:30"))
        with away(database_url):
            await at.clock.sleep_until(at_time("15:37"))
            assert not Spool(tmp_path / "live").empty

    async with desk(database_url, tmp_path, at_time("15:15")) as at:
        played = await play(at, database_url, tmp_path, trouble=trouble)
        assert played.error is None
        assert played.stats.complete
        assert await stored(at, STOCK, "stocks_1m") == expected(at, STOCK, at_time("16:00"))
        found = await at.frame(
            f"SELECT state FROM gaps WHERE session = '{DAY}' AND last_stamp > '{DAY} 15:18'"
        )
        assert set(found["state"]) <= {"filled", "no_trade"}
        assert Spool(tmp_path / "live").empty


@pytest.mark.parametrize("refusal", [InputError("real data"), StoreError("permission denied")])
async def test_a_refusal_that_no_patience_heals_ends_the_day_at_once(
    database_url: str, tmp_path: Path, refusal: Exception
) -> None:
    def prepare() -> None:
        raise refusal

    async with desk(database_url, tmp_path, EARLY) as at:
        played = await play(at, database_url, tmp_path, prepare=prepare)
        assert played.error is refusal
        assert played.ended_at == EARLY


async def test_bars_that_came_meanwhile_never_reach_a_database_of_another_kind(
    empty_database_url: str, tmp_path: Path
) -> None:
    record_data_kind(empty_database_url, "simulation")
    async with desk(empty_database_url, tmp_path, EARLY) as at:
        with ExitStack() as outage:
            outage.enter_context(away(empty_database_url))

            async def trouble(at: Desk) -> None:
                await at.clock.sleep_until(at_time("09:02:30"))
                outage.close()

            played = await play(
                at,
                empty_database_url,
                tmp_path,
                trouble=trouble,
                prepare=lambda: record_data_kind(empty_database_url, "live"),
                feed=FEED,
            )
        assert isinstance(played.error, InputError)
        assert "holds simulated data" in str(played.error)
        assert (await at.bars("stocks_1m")).is_empty()
        assert await statuses(at) == {}
    kept = {entry.table for entry in Spool(tmp_path / "live").entries()}
    assert kept >= {"stocks_1m", "futures_1m"}


def test_the_server_says_that_the_password_is_wrong() -> None:
    """What waits and what does not is told by the server's words."""
    from engine.store.reachability import is_refusal

    for text in (
        'password authentication failed for user "krt"',
        '사용자 "krt"의 password 인증을 실패했습니다',
        'role "krt" does not exist',
        'database "krt" does not exist',
        'no pg_hba.conf entry for host "10.0.0.7", user "krt", database "krt", no encryption',
    ):
        assert is_refusal(text), text
    for text in (
        "the database system is starting up",
        "sorry, too many clients already",
        'database "day" is not currently accepting connections',
        "terminating connection due to administrator command",
    ):
        assert not is_refusal(text), text
