"""Backfill from the simulator: what KIS has is stored, the rest has a reason, no call is wasted."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.errors import KisKeyRefused
from engine.history import evidence
from engine.market.symbols import parse
from engine.simulator import bar_answers
from engine.simulator.faults.scenario import Scenario
from pipelines.history.backfill import CONCURRENT_SESSIONS, REFUSALS, backfill, plan_backfill
from pipelines.history.request import Window, request_window, why_gone
from pipelines.history.validate import validate
from tests.pipelines.simulated import Thin, desk

EVENING = datetime(2025, 9, 2, 18)
DAYS = date(2025, 9, 1), date(2025, 9, 2)
CONTRACT = "101W09"
BUSY = "005930"
THIN = "000020"
HALTED = "000040"


def scenario(*rules: dict) -> Scenario:
    return Scenario.model_validate({"rule": rules})


async def test_what_kis_has_is_stored_and_the_rest_is_explained(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING, Thin(3)) as at:
        symbols = [CONTRACT, BUSY, THIN, HALTED]
        first = await backfill(at.context, symbols, *DAYS)
        # nothing is before the thin stock's first bar, and nothing around the halted one's minutes
        assert (first.open, first.exit_code) == (2 * (5 + 381), 1)
        report = await backfill(await at.next_run(), symbols, *DAYS)
        assert (report.owed, report.open, report.exit_code) == (2 * (411 + 3 * 381), 0, 0)
        assert report.stored + report.no_trade == report.owed
        for symbol, table in ((CONTRACT, "futures_1m"), (THIN, "stocks_1m")):
            served = pl.concat([at.served(symbol, day) for day in DAYS])
            stored = (await at.bars(table)).filter(pl.col("symbol") == symbol)
            assert_frame_equal(stored, served)
        kept = await at.frame("SELECT symbol, owed, stored, open FROM kept_sessions ORDER BY 1")
        assert kept.height == 8
        assert kept["open"].sum() == 0
        assert kept.filter(pl.col("symbol") == HALTED)["stored"].sum() == 0


async def test_kis_is_asked_by_two_runs_about_a_minute_and_by_no_third(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING, Thin(3)) as at:
        await backfill(at.context, [THIN, HALTED], *DAYS)
        await backfill(await at.next_run(), [THIN, HALTED], *DAYS)
        calls = at.calls
        attempts = await at.frame("SELECT max(attempts) AS most FROM gaps")
        assert attempts["most"].item() == 2
        again = await backfill(await at.next_run(), [THIN, HALTED], *DAYS)
        assert (again.planned, at.calls) == (0, calls)


async def test_a_hole_of_ten_minutes_is_one_call(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, [CONTRACT], *DAYS)
        whole = await at.bars()
        calls = at.calls
        span = "timestamp BETWEEN '2025-09-01 10:00' AND '2025-09-01 10:09'"
        await at.store.execute(f"DELETE FROM futures_1m WHERE {span}")
        report = await backfill(at.context, [CONTRACT], *DAYS)
        assert (report.calls, at.calls - calls) == (1, 1)
        assert_frame_equal(await at.bars(), whole)


async def test_a_plan_fetches_and_writes_nothing(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        calls = await plan_backfill(at.store, [CONTRACT], *DAYS)
        assert (calls.height, calls["missing"].sum(), at.calls) == (10, 822, 0)
        assert await at.ledger() == []
        assert calls["session"][0] == DAYS[1]  # newest first


async def test_an_interrupted_backfill_continues_where_it_stopped(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        symbols = [CONTRACT, "101W12", BUSY]
        planned = (await plan_backfill(at.store, symbols, *DAYS)).height
        for _ in range(3):
            running = asyncio.create_task(backfill(at.context, symbols, *DAYS))
            until = at.clock.now() + timedelta(seconds=1.5)
            await at.clock.sleep_until(until)
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        await backfill(at.context, symbols, *DAYS)
        # a stop costs no more than the calls under way
        assert at.calls <= planned + 3 * 8
        report = await backfill(await at.next_run(), symbols, *DAYS)
        assert report.exit_code == 0
        stored = (await at.bars()).filter(pl.col("symbol") == CONTRACT)
        assert_frame_equal(stored, pl.concat([at.served(CONTRACT, day) for day in DAYS]))


async def test_what_was_opened_again_is_asked_for_even_if_the_process_died_right_after(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the commit of the ledger and that of the session's status."""
    async with desk(database_url, tmp_path, EVENING, Thin(3)) as at:
        for _ in range(2):
            await backfill(await at.next_run(), [THIN], DAYS[1], DAYS[1])
        settled = await at.ledger()
        assert {state for state, _, _ in settled} == {"filled", "no_trade"}

        async def die(*_: object) -> None:
            raise asyncio.CancelledError

        with monkeypatch.context() as patch:
            patch.setattr("pipelines.history.survey.store_status", die)
            with pytest.raises(asyncio.CancelledError):
                await backfill(await at.next_run(), [THIN], DAYS[1], DAYS[1], again=True)
        assert {state for state, _, _ in await at.ledger()} == {"filled", "open"}
        for _ in range(2):
            await backfill(await at.next_run(), [THIN], DAYS[1], DAYS[1])
        assert await at.ledger() == settled


async def test_what_kis_no_longer_serves_is_unavailable_without_a_call(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, datetime(2026, 9, 2, 18)) as at:
        report = await backfill(at.context, [BUSY], date(2025, 9, 1), date(2025, 9, 1))
        assert (report.unavailable, at.calls) == (381, 0)
        report = await backfill(at.context, [CONTRACT], date(2025, 9, 3), date(2025, 9, 3))
        assert (report.unavailable, at.calls) == (411, 0)
        reasons = [why for _, why, _ in await at.ledger()]
        assert "older than the year that KIS keeps" in reasons
        assert any("code of the old kind" in why for why in reasons)


async def test_a_contract_that_kis_has_dropped_is_unavailable(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, datetime(2026, 10, 7, 18)) as at:
        days = date(2026, 3, 3), date(2026, 3, 3)
        assert (await backfill(at.context, ["A01603"], *days)).open == 411
        report = await backfill(await at.next_run(), ["A01603"], *days)
        assert (report.unavailable, report.exit_code) == (411, 0)
        why = "A01603 has expired and KIS has dropped it"
        assert await at.ledger() == [("unavailable", why, 411)]


async def test_chains_have_no_history(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        report = await backfill(at.context, ["202509_KOSPI200"], DAYS[1], DAYS[1])
        assert (report.unavailable, at.calls) == (420, 0)
        assert await at.ledger() == [
            ("unavailable", why_gone("202509_KOSPI200", DAYS[1], DAYS[1]) or "", 420)
        ]


async def test_without_a_usable_answer_gaps_stay_open_with_the_reason(
    database_url: str, tmp_path: Path
) -> None:
    html = scenario({"what": "html", "symbol": CONTRACT, "from": "18:00", "to": "19:00"})
    async with desk(database_url, tmp_path, EVENING, faults=html) as at:
        report = await backfill(at.context, [CONTRACT, "101W12"], DAYS[1], DAYS[1])
        assert (report.open, report.exit_code) == (411, 1)
        assert report.stored + report.no_trade == 411  # the other contract is not held up
        ((_, why, _),) = [row for row in await at.ledger() if row[0] == "open"]
        assert why.startswith("KIS did not answer")
        await at.clock.sleep_until(datetime(2025, 9, 2, 19, 1))
        assert (await backfill(at.context, [CONTRACT], DAYS[1], DAYS[1])).exit_code == 0


async def test_bars_are_stored_although_the_last_pages_of_their_day_never_came(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the others are asked for again."""
    session = parse(BUSY).session(DAYS[1])
    assert session is not None
    window = Window(BUSY, DAYS[1], session.last_stamp, session.first_stamp, whole_day=True)
    good = iter([bar_answers.rows_answer] * 2)

    def answer(output1: dict[str, str], rows: list[bytes]) -> bytes:
        page = next(good, None)
        return page(output1, rows) if page else b"<html>"

    async with desk(database_url, tmp_path, EVENING) as at:
        with monkeypatch.context() as patch:
            patch.setattr(bar_answers, "rows_answer", answer)
            result = await request_window(at.context, window)
        assert result.failure is not None
        expected = at.served(BUSY, DAYS[1])
        assert_frame_equal(await at.bars("stocks_1m"), expected.tail(240))
        calls = at.calls
        report = await backfill(at.context, [BUSY], DAYS[1], DAYS[1])
        assert (report.open, at.calls - calls) == (0, 2)
        assert_frame_equal(await at.bars("stocks_1m"), expected)


@pytest.mark.parametrize("what", ["empty_answer", "wrong_date", "odd_values", "repeated_bars"])
async def test_a_wrong_answer_never_proves_a_minute_without_a_trade(
    database_url: str, tmp_path: Path, what: str
) -> None:
    """KIS has every bar, but every third answer is wrong."""
    wrong = scenario({"what": what, "endpoint": "bars", "every": 3})
    async with desk(database_url, tmp_path, EVENING, faults=wrong) as at:
        await backfill(at.context, [CONTRACT], *DAYS)
        report = await backfill(at.context, [CONTRACT], *DAYS)
        assert (report.no_trade, report.open) == (0, 0)
        assert_frame_equal(await at.bars(), pl.concat([at.served(CONTRACT, day) for day in DAYS]))


@pytest.mark.parametrize("symbol", [CONTRACT, BUSY])
async def test_a_bar_that_kis_leaves_out_and_its_turnover_has_is_never_settled(
    database_url: str, tmp_path: Path, symbol: str
) -> None:
    """A run's first call ends at the hole, so its answer shows bars on one side alone."""
    gone = scenario({"what": "missing_bar", "until": "never", "from": "10:00", "to": "10:02"})
    async with desk(database_url, tmp_path, EVENING, faults=gone) as at:
        for _ in range(4):
            report = await backfill(await at.next_run(), [symbol], DAYS[1], DAYS[1])
            assert (report.no_trade, report.open, report.exit_code) == (0, 2, 1)
            assert ("open", evidence.TURNOVER, 2) in await at.ledger()
        found = await validate(at.store, at.clock, [symbol], DAYS[1], DAYS[1])
        assert "missing" in set(found.findings["check"])


async def test_a_wrong_key_stops_a_backfill(database_url: str, tmp_path: Path) -> None:
    refusal = scenario({"what": "refuse", "endpoint": "bars", "code": "EGW00103", "status": 403})
    async with desk(database_url, tmp_path, EVENING, faults=refusal) as at:
        with pytest.raises(KisKeyRefused):
            await backfill(at.context, [CONTRACT], *DAYS)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0  # else the next Ctrl+C would end in a traceback


async def test_a_refused_symbol_does_not_stop_the_others(
    database_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A stock that KIS no longer knew once ended a whole collecting day."""
    refusal = scenario({"what": "refuse", "symbol": BUSY, "code": "MCA05918", "status": 200})
    async with desk(database_url, tmp_path, EVENING, faults=refusal) as at:
        report = await backfill(at.context, [CONTRACT, BUSY], *DAYS)
        assert report.open == sum(at.served(BUSY, day).height for day in DAYS)
        assert_frame_equal(await at.bars(), pl.concat([at.served(CONTRACT, day) for day in DAYS]))
        reasons = [why for state, why, _ in await at.ledger() if state == "open"]
        assert any(why.startswith("KIS refused: ") for why in reasons)
    assert caplog.text.count(f"{REFUSALS} times in a row") == 1
    assert caplog.text.count("MCA05918") < REFUSALS + CONCURRENT_SESSIONS
