"""Validation and repair of bars, chains and signals in a real database."""

from __future__ import annotations

import json
from datetime import date, datetime, time
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from syrupy.assertion import SnapshotAssertion

from engine.errors import InputError
from engine.market.expected import expected_stamps
from engine.market.sessions import Session
from engine.market.symbols import parse
from engine.simulator import bar_answers
from engine.simulator.market.recorded import RecordedMarket
from pipelines.history.backfill import backfill
from pipelines.history.plan import plan_calls
from pipelines.history.reconcile import fill_before_open, fill_today, reconcile
from pipelines.history.repair import validate_and_fix
from pipelines.history.session_status import validated_sessions
from pipelines.history.validate import Validation, validate
from tests.databases import LONG
from tests.paths import REAL_DATA, needs
from tests.pipelines.history.damage import apply_damage, plan_damage
from tests.pipelines.history.findings import CHAIN, CONTRACT, DAYS, EVENING, checks, stamps_found
from tests.pipelines.simulated import Thin, desk


@needs(REAL_DATA)
async def test_the_real_futures_file_is_restored_from_any_damage(
    database_url: str, tmp_path: Path
) -> None:
    """The sessions are filled; then every damage is found, nothing else is, and all is repaired."""
    first, sessions = (date(2025, 6, 25), 87) if LONG else (date(2025, 9, 8), 14)
    last = date(2025, 10, 31) if LONG else date(2025, 9, 25)
    market = RecordedMarket(REAL_DATA / "k200_futures_1min.parquet")
    async with desk(database_url, tmp_path, datetime.combine(last, time(18)), market) as at:
        report = await backfill(at.context, ["A01"], first, last)
        # five calls of 102 rows a session, four on the expiry, whose 395 bars need no more
        owed = (sessions - 1) * 411 + 395
        assert (report.owed, report.stored, report.calls) == (owed, owed, (sessions - 1) * 5 + 4)
        whole = await validate(at.store, at.clock, [])
        assert (whole.exit_code, whole.targets.height) == (0, sessions)
        truth = await at.bars()
        assert truth.filter(pl.col("timestamp").dt.date() == date(2025, 9, 11)).height == 395

        # Without LONG a seed that lets no price of the first session leave its limits: nothing is
        # known there of the day before.
        damage = plan_damage(truth, seed=11 if LONG else 18, of_each=6)
        await apply_damage(at.store, damage)
        calls = at.calls
        fixed = await validate_and_fix(at.context, [])
        assert stamps_found(fixed.before) == damage.expected
        assert fixed.exit_code == 0
        assert_frame_equal(await at.bars(), truth)
        assert at.calls - calls <= 1.1 * fewest_calls(fixed.before)


def fewest_calls(found: Validation) -> int:
    """Return how few calls cover the stamps to fetch, by the planner, which its tests prove."""
    stamps = expected_stamps(found.targets)
    wanted = found.findings.filter(pl.col("fix") == "fetch")
    holes = (
        stamps.join(wanted, on=["symbol", "session"])
        .filter(pl.col("stamp").is_between("first_stamp", "last_stamp"))
        .select("symbol", "session", "stamp")
        .unique()
    )
    return plan_calls(holes, stamps, stamps, holes.clear()).height


@needs(REAL_DATA)
async def test_thin_stocks_of_the_real_file_have_no_false_gap_and_are_restored(
    database_url: str, tmp_path: Path
) -> None:
    market = RecordedMarket(REAL_DATA / "krx_stocks_1min.parquet")
    symbols = ["084110", "003160", "139260"]
    days = date(2025, 10, 20), date(2025, 10, 24)
    async with desk(database_url, tmp_path, datetime(2025, 10, 24, 18), market) as at:
        await reconcile(at.context, symbols, days[1])
        await backfill(at.context, symbols, *days)
        await backfill(await at.next_run(), symbols, *days)
        # 139260 was halted on the 22nd: the first session without a bar stays open, the next do not
        found = stamps_found(await validate(at.store, at.clock, symbols, *days))
        session = parse("139260").session(date(2025, 10, 22))
        assert session is not None
        halted = {("missing", "139260", stamp) for stamp in session.stamps()}
        assert found == halted
        served = pl.concat([at.served(s, d) for s in sorted(symbols) for d in every_day(*days)])
        assert_frame_equal(await at.bars("stocks_1m"), served)

        damage = plan_damage(served, seed=5, of_each=4, table="stocks_1m")
        await apply_damage(at.store, damage)
        fixed = await validate_and_fix(await at.next_run(), symbols)
        assert stamps_found(fixed.before) == damage.expected | halted
        assert stamps_found(fixed.after) == halted
        assert_frame_equal(await at.bars("stocks_1m"), served)


def every_day(first: date, last: date) -> list[date]:
    return pl.date_range(first, last, eager=True).to_list()


async def test_findings_as_json(
    database_url: str, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    async with desk(database_url, tmp_path, EVENING, Thin(3)) as at:
        symbols = [CONTRACT, "000020"]
        await backfill(at.context, symbols, *DAYS)
        await backfill(await at.next_run(), symbols, *DAYS)
        span = "timestamp BETWEEN '2025-09-01 10:00' AND '2025-09-01 10:09'"
        await at.store.execute(f"DELETE FROM futures_1m WHERE {span}")
        await at.store.execute(
            "UPDATE stocks_1m SET volume = -5 WHERE timestamp = '2025-09-02 11:00'"
        )
        found = await validate(at.store, at.clock, symbols)
        assert found.exit_code == 1
        assert json.loads(json.dumps(found.as_json())) == snapshot
        # the missing stamps are in the ledger now, and the sessions are not validated
        assert ("open", "not collected", 10) in await at.ledger()
        good = await validated_sessions(at.store)
        assert good.rows() == [("000020", DAYS[0]), (CONTRACT, DAYS[1])]


async def test_bars_shifted_out_of_all_sessions_are_found_wherever_they_went(
    database_url: str, tmp_path: Path
) -> None:
    """Into the night, a Sunday, another century, an uncollected session, after the expiry."""
    stamps = [
        "2025-09-01 03:10",
        "2025-08-31 12:00",
        "1970-01-01 09:30",
        "2025-08-29 10:00",
        "2035-01-02 10:00",
    ]
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, [CONTRACT], *DAYS)
        truth = await at.bars()
        for minute, stamp in enumerate(stamps):
            await at.store.execute(
                f"UPDATE futures_1m SET timestamp = '{stamp}'"
                f" WHERE timestamp = '2025-09-01 11:0{minute}'"
            )
        fixed = await validate_and_fix(at.context, [])
        rows = fixed.before.findings.select("check", "bars").rows()
        wrong = [check for check, _ in rows if check != "missing"]
        assert set(wrong) == {"unexpected", "dead_contract"}
        assert (len(wrong), ("missing", 5) in rows, fixed.exit_code) == (5, True, 0)
        assert_frame_equal(await at.bars(), truth)


async def test_an_empty_database_cannot_be_validated(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        with pytest.raises(InputError, match="just backfill"):
            await validate(at.store, at.clock, [])
        named = await validate(at.store, at.clock, [CONTRACT], *DAYS)
        assert (named.exit_code, named.findings["bars"].sum()) == (1, 822)


async def test_a_bar_that_kis_does_not_have_is_removed_once_two_answers_lack_it(
    database_url: str, tmp_path: Path
) -> None:
    """The same evidence as for a minute without a trade: another run, two hours later or more."""
    async with desk(database_url, tmp_path, EVENING, Thin(3)) as at:
        await backfill(at.context, ["000020"], DAYS[1], DAYS[1])
        await backfill(await at.next_run(), ["000020"], DAYS[1], DAYS[1])
        before = await at.bars("stocks_1m")
        await at.store.execute(
            "INSERT INTO stocks_1m SELECT '2025-09-02 10:20', symbol, timeframe, 1.5, 1.5, 1.5,"
            " 1.5, 3, fetched_at, committed_at FROM stocks_1m WHERE timestamp = '2025-09-02 11:00'"
        )
        left = []
        for hours in (0.0, 0.5, 3.0):
            fixed = await validate_and_fix(await at.next_run(hours), ["000020"])
            assert checks(fixed.before) >= {"tick"}
            left.append((await at.bars("stocks_1m")).height - before.height)
        assert left == [1, 1, 0]
        assert_frame_equal(await at.bars("stocks_1m"), before)
        removed = await at.frame("SELECT reason, open FROM removed_bars")
        assert removed.rows() == [("KIS has no such bar", 1.5)]


class Wild(Thin):
    """KIS itself has a bar that looks wrong."""

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        at_noon = pl.col("label").dt.strftime("%H:%M") == "12:00"
        prices = [
            pl.when(at_noon).then(pl.col(p) + 12).otherwise(p).alias(p)
            for p in ("open", "high", "low", "close")
        ]
        return super()._bars(symbol, session).with_columns(prices)


async def test_a_bar_that_kis_confirms_is_not_found_again(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING, Wild(3)) as at:
        await backfill(at.context, [CONTRACT], DAYS[1], DAYS[1])
        before = await at.bars()
        fixed = await validate_and_fix(at.context, [CONTRACT])
        assert (checks(fixed.before), fixed.exit_code) == ({"jump"}, 0)
        assert_frame_equal(await at.bars(), before)


async def test_a_bar_that_another_answer_or_its_turnover_has_is_never_removed(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """KIS leaves the odd bar out of some answers, of which only one has a turnover that tells."""
    answers: list[tuple[set[bytes], bool]] = []  # of the next ones, the last for all after it

    def lacking(output1: object, rows: list[bytes]) -> bytes:
        labels, has_turnover = answers.pop(0) if len(answers) > 1 else answers[0]
        kept = [row for row in rows if not any(label in row for label in labels)]
        if not has_turnover:
            kept = [row.replace(b"acml_tr_pbmn", b"nothing") for row in kept]
        return rows_answer(output1, kept)  # type: ignore[arg-type]

    rows_answer = bar_answers.rows_answer
    monkeypatch.setattr(bar_answers, "rows_answer", lacking)
    monkeypatch.setattr(bar_answers, "FUTURES_LIMIT", 104)  # full without two rows as well
    noon, later = b'"120000"', b'"121900"'
    async with desk(database_url, tmp_path, EVENING, Wild(3)) as at:
        answers[:] = [(set(), True)]
        await backfill(at.context, [CONTRACT], DAYS[1], DAYS[1])
        before = await at.bars()
        for told in (False, True, False):
            answers[:] = [({noon}, told)]
            fixed = await validate_and_fix(await at.next_run(), [CONTRACT])
            assert checks(fixed.after) == {"jump"}
            assert_frame_equal(await at.bars(), before)
        await at.store.execute("DELETE FROM futures_1m WHERE timestamp = '2025-09-02 12:20'")
        answers[:] = [({noon, later}, False), ({later}, False)]
        await validate_and_fix(await at.next_run(), [CONTRACT])
        before = before.filter(pl.col("timestamp") != datetime(2025, 9, 2, 12, 20))
        assert_frame_equal(await at.bars(), before)
        assert (await at.frame("SELECT * FROM removed_bars")).is_empty()


async def test_an_odd_bar_is_a_warning_and_its_session_is_exported(
    database_url: str, tmp_path: Path
) -> None:
    """Also by a process whose clock is behind that of the process before."""
    async with desk(database_url, tmp_path, EVENING, Wild(3)) as at:
        await at.clock.sleep(60)
        await backfill(at.context, [CONTRACT], DAYS[1], DAYS[1])
    async with desk(database_url, tmp_path, EVENING, Wild(3)) as at:
        found = await validate(at.store, at.clock, [CONTRACT])
        assert found.findings.select("check", "severity").rows() == [("jump", "warning")]
        assert found.exit_code == 1
        assert (await validated_sessions(at.store)).rows() == [(CONTRACT, DAYS[1])]


async def test_what_a_repair_leaves_right_is_validated_at_once(
    database_url: str, tmp_path: Path
) -> None:
    """`validate --fix` alone: nothing but it has to be run before an export."""
    async with desk(database_url, tmp_path, EVENING, Wild(3)) as at:
        await at.clock.sleep(60)
        await backfill(at.context, [CONTRACT], *DAYS)
        await at.store.execute("DELETE FROM futures_1m WHERE timestamp::time = '11:00'")
    async with desk(database_url, tmp_path, EVENING, Wild(3)) as at:
        fixed = await validate_and_fix(at.context, [CONTRACT])
        assert (checks(fixed.before), fixed.exit_code) == ({"jump", "missing"}, 0)
        good = await validated_sessions(at.store)
        assert good.rows() == [(CONTRACT, DAYS[0]), (CONTRACT, DAYS[1])]


async def test_the_close_brings_corrections_and_late_bars(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING, Thin(3)) as at:
        await backfill(at.context, [CONTRACT, "000020"], DAYS[1], DAYS[1])
        await at.store.execute("UPDATE futures_1m SET close = close + 0.05 WHERE volume % 7 = 0")
        await at.store.execute("DELETE FROM futures_1m WHERE timestamp >= '2025-09-02 15:45'")
        # the first run has asked once about the minutes before the stock's first trade
        report = await reconcile(await at.next_run(), [CONTRACT, "000020", CHAIN], DAYS[1])
        assert report.rows.changed > 10
        assert (report.open, report.unavailable) == (0, 420)
        assert_frame_equal(await at.bars(), at.served(CONTRACT, DAYS[1]))
        kept = await at.frame("SELECT symbol, market, open FROM kept_sessions ORDER BY symbol")
        assert kept.rows() == [
            ("000020", "stocks", 0),
            (CONTRACT, "derivatives", 0),
            (CHAIN, "chain", 0),
        ]


async def test_after_a_restart_todays_minutes_so_far_are_fetched(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, datetime(2025, 9, 2, 11, 0, 30), Thin(3)) as at:
        report = await fill_today(at.context, [CONTRACT, "000020", CHAIN], DAYS[1])
        served = at.served(CONTRACT, DAYS[1]).filter(
            pl.col("timestamp") <= datetime(2025, 9, 2, 11)
        )
        assert_frame_equal(await at.bars(), served)
        # nothing is settled before the session is sealed: a late bar may still come
        assert report.no_trade == 0
        assert report.open > 0


async def test_before_the_open_yesterday_and_the_warm_up_are_filled(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, datetime(2025, 9, 3, 8, 30), Thin(3)) as at:
        symbols = [CONTRACT, "005930", CHAIN]
        await fill_before_open(at.context, symbols, date(2025, 9, 3), warm_up=3)
        days = "SELECT count(DISTINCT timestamp::date) AS days FROM {}"
        assert (await at.frame(days.format("futures_1m")))["days"].item() == 3
        assert (await at.frame(days.format("stocks_1m")))["days"].item() == 1
