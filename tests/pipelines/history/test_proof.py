"""No answer, no clock and no spool settles a minute for which KIS has a bar."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.history import evidence
from engine.simulator import bar_answers
from engine.simulator.faults.scenario import Scenario
from engine.store import connection
from engine.store.metadata import roles_sql
from pipelines.history.backfill import Report, backfill, plan_backfill
from pipelines.history.reconcile import fill_before_open, reconcile
from pipelines.history.validate import validate
from tests.databases import long, run_script
from tests.pipelines.simulated import Desk, Thin, desk

DAY = date(2025, 9, 2)
EVENING = datetime(2025, 9, 2, 18)
CONTRACT, BUSY, THIN = "101W09", "005930", "000020"
BOTH = [CONTRACT, BUSY]
MISSING = 411 + 381


def scenario(**rule: object) -> Scenario:
    return Scenario.model_validate({"rule": [rule]})


async def assert_whole(at: Desk) -> None:
    """Check that every bar is stored as KIS serves it."""
    assert_frame_equal(await at.bars(), at.served(CONTRACT, DAY))
    assert_frame_equal(await at.bars("stocks_1m"), at.served(BUSY, DAY))


async def test_an_evening_of_empty_answers_settles_nothing(
    database_url: str, tmp_path: Path
) -> None:
    """792 minutes were settled in 18 calls, and an honest KIS was never asked again."""
    empty = scenario(what="empty_answer", endpoint="bars", to="19:00")
    async with desk(database_url, tmp_path, EVENING, faults=empty) as at:
        report = await backfill(at.context, BOTH, DAY, DAY)
        assert (report.open, report.no_trade, report.exit_code) == (MISSING, 0, 1)
        assert dict(await reasons_by_symbol(at)) == {
            CONTRACT: evidence.FRONT_MONTH,
            BUSY: evidence.DOUBTFUL,
        }
        honest = await backfill(await at.next_run(), BOTH, DAY, DAY)
        assert (honest.open, honest.stored, honest.exit_code) == (0, MISSING, 0)
        await assert_whole(at)


async def test_an_expired_contract_is_not_given_up_for_an_afternoon_of_empty_answers(
    database_url: str, tmp_path: Path
) -> None:
    """KIS serves it for half a year more: the day after its last one it has not dropped it."""
    last = date(2025, 9, 11)
    empty = scenario(what="empty_answer", endpoint="bars", to="19:00")
    async with desk(database_url, tmp_path, datetime(2025, 9, 12, 15), faults=empty) as at:
        for hours in (0, 3):
            report = await backfill(await at.next_run(hours), [CONTRACT], last, last)
            assert (report.open, report.unavailable) == (395, 0)
        honest = await backfill(await at.next_run(), [CONTRACT], last, last)
        assert (honest.stored, honest.exit_code) == (395, 0)


async def reasons_by_symbol(at: Desk) -> list[tuple[str, str]]:
    return (await at.frame("SELECT DISTINCT symbol, reason FROM gaps WHERE state = 'open'")).rows()


async def test_whole_sessions_of_what_trades_stay_open_however_often_kis_shows_nothing(
    database_url: str, tmp_path: Path
) -> None:
    """A front month, and a stock that traded the session before; validate finds both."""
    empty = scenario(what="empty_answer", endpoint="bars", to="23:59:59")
    async with desk(database_url, tmp_path, datetime(2025, 9, 1, 18)) as at:
        await backfill(at.context, [BUSY], date(2025, 9, 1), date(2025, 9, 1))
    async with desk(database_url, tmp_path, EVENING, faults=empty) as at:
        report = Report()
        for _ in range(3):
            report = await backfill(await at.next_run(1.5), BOTH, DAY, DAY)
        assert (report.open, report.no_trade) == (MISSING, 0)
        assert set(await reasons_by_symbol(at)) == {
            (CONTRACT, evidence.FRONT_MONTH),
            (BUSY, evidence.TRADED),
        }
        found = await validate(at.store, at.clock, BOTH, DAY, DAY)
        missing = found.findings.filter(pl.col("check") == "missing")
        assert missing.select("symbol", "bars").rows() == [(BUSY, 381), (CONTRACT, 411)]


ODD_ROWS = {
    "null": b"null",
    "objects": b"{}",
    "strings": b'"a row"',
    "lists": b"[1, 2]",
}


@contextmanager
def rows_become(what: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the simulator send something else in place of each row."""

    def answer(output1: object, rows: list[bytes]) -> bytes:
        changed = [_negative(row) if what == "negative" else ODD_ROWS[what] for row in rows]
        return original(output1, changed)  # type: ignore[arg-type]

    original = bar_answers.rows_answer
    with monkeypatch.context() as patch:
        patch.setattr(bar_answers, "rows_answer", answer)
        yield


def _negative(row: bytes) -> bytes:
    prices = ("prpr", "oprc", "hgpr", "lwpr")
    values = orjson.loads(row)
    return orjson.dumps({k: f"-{v}" if k.endswith(prices) else v for k, v in values.items()})


@pytest.mark.parametrize(
    "what", ["null", "negative", *(long(what) for what in ODD_ROWS if what != "null")]
)
async def test_rows_that_are_no_bars_settle_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Null, objects, strings, negative prices as rows: once settled as "no trade"."""
    async with desk(database_url, tmp_path, EVENING) as at:
        with rows_become(what, monkeypatch):
            await backfill(at.context, BOTH, DAY, DAY)
            report = await backfill(await at.next_run(), BOTH, DAY, DAY)
        assert (report.no_trade, report.stored) == (0, 0)
        states = {(state, why) for state, why, _ in await at.ledger()}
        if what == "negative":  # the rows tell their minute: KIS refuses to give a bar for it
            assert ("refused", "price not above zero") in states
            assert report.refused + report.open == MISSING
            found = await validate(at.store, at.clock, BOTH, DAY, DAY)
            assert "refused" in set(found.findings["check"])
        else:
            assert states == {("open", evidence.UNREADABLE)}
        honest = await backfill(await at.next_run(0), BOTH, DAY, DAY)
        assert (honest.open, honest.refused, honest.exit_code) == (0, 0, 0)
        await assert_whole(at)


@pytest.mark.parametrize(
    ("kis", "ahead"),
    [
        (datetime(2025, 9, 2, 12, 0, 30), timedelta(hours=6)),
        (datetime(2025, 9, 2, 9, 30, 30), timedelta(hours=9)),
        (datetime(2025, 9, 2, 15, 44, 30), timedelta(minutes=8)),
    ],
)
async def test_a_clock_that_is_ahead_settles_nothing_and_stores_no_half_bar(
    database_url: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kis: datetime,
    ahead: timedelta,
) -> None:
    """Half bars were stored and minutes of the future settled, the auction lost for good."""
    async with desk(database_url, tmp_path, kis, ahead=ahead) as at:
        report = await reconcile(at.context, BOTH, DAY)
        assert (report.no_trade, report.refused) == (0, 0)
        finished = pl.col("timestamp") <= kis
        assert_frame_equal(await at.bars(), at.served(CONTRACT, DAY).filter(finished))
        assert {state for state, _, _ in await at.ledger()} <= {"open", "filled"}
        loud = [r.message for r in caplog.records if r.levelno == logging.ERROR]
        assert any("clock" in line and "ahead of KIS's" in line for line in loud)
        await at.clock.sleep_until(datetime(2025, 9, 3, 8, 0))  # the clock is right from midnight
        later = await backfill(await at.next_run(0), BOTH, DAY, DAY)
        assert (later.open, later.no_trade) == (0, 0)
        await assert_whole(at)


async def assert_spooled_bars_are_open(at: Desk, report: Report) -> None:
    """Check that nothing is settled of what waits in the spool, and that the run is not whole."""
    waiting = await at.context.writer.waiting_bars()
    assert waiting is not None
    assert set(waiting["symbol"]) == set(BOTH)  # one table's wait, and those behind them
    assert report.spooled > 0
    assert (report.no_trade, report.unavailable, report.exit_code) == (0, 0, 1)
    found = await at.frame("SELECT DISTINCT symbol, state FROM gaps WHERE state <> 'filled'")
    assert set(found.rows()) == {(symbol, "open") for symbol in BOTH}


async def assert_they_come_in(at: Desk) -> None:
    """Check that nothing is missing once the database takes what is spooled."""
    await at.context.writer.drain()
    await assert_whole(at)
    calls = at.calls
    report = await backfill(await at.next_run(0), BOTH, DAY, DAY)
    assert (report.open, report.no_trade, report.spooled, report.exit_code) == (0, 0, 0, 0)
    assert at.calls == calls


@pytest.mark.long
async def test_bars_of_a_writer_without_a_connection_are_never_settled(
    database_url: str, tmp_path: Path, narrow_role: str
) -> None:
    """A role with CONNECTION LIMIT 1: the ledger has the connection, the writer gets none."""
    async with desk(database_url.replace("postgres@", f"{narrow_role}@"), tmp_path, EVENING) as at:
        await at.frame("SELECT 1 AS one")
        run_script(database_url, f"ALTER ROLE {narrow_role} CONNECTION LIMIT 1")
        for _ in range(2):
            report = await backfill(await at.next_run(), BOTH, DAY, DAY)
            await assert_spooled_bars_are_open(at, report)
        run_script(database_url, f"ALTER ROLE {narrow_role} CONNECTION LIMIT -1")
        await assert_they_come_in(at)


@pytest.fixture
def narrow_role(database_url: str) -> Iterator[str]:
    name = f"narrow_{uuid.uuid4().hex[:12]}"
    run_script(database_url, roles_sql())
    run_script(database_url, f"CREATE ROLE {name} LOGIN IN ROLE krt_writer")
    yield name
    run_script(database_url, f"DROP ROLE {name}")


async def test_bars_behind_a_lock_over_the_close_are_never_settled(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A SHARE lock, as REINDEX takes it: the table can be read and not written."""
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", "5ms")
    owner = connection.Connection(database_url, "owner")
    async with desk(database_url, tmp_path, EVENING) as at:
        with owner.transaction() as cursor:
            cursor.execute("LOCK TABLE stocks_1m IN SHARE MODE")
            for _ in range(2):
                report = await reconcile(await at.next_run(), BOTH, DAY)
                await assert_spooled_bars_are_open(at, report)
        await assert_they_come_in(at)
    owner.close()


async def test_what_bars_surround_is_settled_at_the_close_and_the_rest_by_the_next_start(
    database_url: str, tmp_path: Path
) -> None:
    """A thin stock kept minutes open until somebody ran a backfill."""
    symbols = [CONTRACT, THIN]
    async with desk(database_url, tmp_path, datetime(2025, 9, 2, 15, 55), Thin(3)) as at:
        await reconcile(at.context, symbols, DAY)
        states = await at.frame(
            "SELECT first_stamp::time::text AS first, stamps, state FROM gaps"
            " WHERE state <> 'filled' ORDER BY 1"
        )
        assert states.rows() == [("09:01:00", 5, "open"), ("10:01:00", 31, "no_trade")]
        await at.clock.sleep_until(datetime(2025, 9, 3, 8, 35))
        report = await fill_before_open(await at.next_run(0), symbols, date(2025, 9, 3), 0)
        assert (report.open, report.no_trade) == (0, 36)


@pytest.mark.parametrize("start", [date(2025, 9, 3), date(2025, 9, 8)])
async def test_a_symbol_that_is_collected_no_longer_is_settled_by_the_next_start_as_well(
    database_url: str, tmp_path: Path, start: date
) -> None:
    """After a roll, or when a stock is taken out of the settings; also days later."""
    async with desk(database_url, tmp_path, datetime(2025, 9, 2, 15, 55), Thin(3)) as at:
        await reconcile(at.context, [CONTRACT, THIN], DAY)
        await at.clock.sleep_until(datetime.combine(start, time(8, 35)))
        await fill_before_open(await at.next_run(0), [BUSY], start, 0)
        assert [row for row in await at.ledger() if row[0] == "open"] == []


@pytest.mark.parametrize("state", ["no_trade", "refused", "unavailable"])
async def test_backfill_again_asks_for_what_was_settled(
    database_url: str, tmp_path: Path, state: str
) -> None:
    """What an older rule or a long lie has settled is asked for again, within the range."""
    days = date(2025, 9, 1), DAY
    first_hour = "timestamp::time < '10:00'"
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, BOTH, *days)
        for table in ("futures_1m", "stocks_1m"):
            await at.store.execute(f"DELETE FROM {table} WHERE {first_hour}")
        await validate(at.store, at.clock, BOTH, *days)
        await at.store.execute(f"UPDATE gaps SET state = '{state}' WHERE state = 'open'")
        await at.store.execute(
            f"UPDATE kept_sessions SET {state} = owed - stored, open = 0 WHERE stored < owed"
        )
        planned = await plan_backfill(at.store, BOTH, DAY, DAY)
        assert planned.is_empty() is (state != "refused")  # these are asked for again in any case
        planned = await plan_backfill(at.store, BOTH, DAY, DAY, again=True)
        assert planned["missing"].sum() == 74 + 59
        assert (await backfill(await at.next_run(), BOTH, *days)).open == 0
        assert (await at.frame(f"SELECT 1 FROM futures_1m WHERE {first_hour}")).is_empty() is (
            state != "refused"
        )
        report = await backfill(await at.next_run(), BOTH, DAY, DAY, again=True)
        assert (report.open, report.stored) == (0, MISSING)
        found = await at.frame(
            f"SELECT DISTINCT timestamp::date FROM futures_1m WHERE {first_hour}"
        )
        assert found.height == 2 if state == "refused" else 1
