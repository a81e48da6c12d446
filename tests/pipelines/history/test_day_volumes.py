"""The day's volume that KIS gives for a stock proves nothing by itself, whatever it is.

`WholeMarket` with a KIS whose closing snapshot lies, or whose bars are not ready: a stock without a
trade is settled by two answers that agree, and by nothing less.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from engine.fetchers.market_snapshot import SnapshotFetcher
from engine.kis.stock_master import parse_stock_master
from engine.market.expected import expected_sessions
from engine.market.names import english_stock
from engine.market.sessions import Session
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.listed_stocks import stock_master_file
from engine.simulator.session_rows import SessionRows
from engine.store.listings import store_listings
from pipelines.history.market_sweep import Sweep, sweep
from tests.pipelines.history.test_market_sweep import CLOSED, COUNTS, DAY, MARKET, codes
from tests.pipelines.history.whole_market import PAGE, WholeMarket, fewest_calls
from tests.pipelines.simulated import Desk, desk

WANTED = codes(12)
TARGETS = expected_sessions(WANTED, DAY, DAY)
BARS = "FHKST03010230"  # the TR of a past day's bars
BUSY = "005930"  # it trades each minute
opened = partial(desk, calls_per_second=15)


class Played(WholeMarket):
    """The market in which BUSY trades in the last 240 minutes alone."""

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        bars = super()._bars(symbol, session)
        if symbol != BUSY:
            return bars
        return bars.filter(pl.col("label") <= session.last_stamp).tail(2 * PAGE)


def say(patch: pytest.MonkeyPatch, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change what each answer of the closing snapshot says."""
    read = SnapshotFetcher._read

    def changed(*args: Any) -> pl.DataFrame:
        return change(read(*args))

    patch.setattr(SnapshotFetcher, "_read", changed)


def nothing(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with zeros, as if none of the stocks had traded."""
    zero = dict.fromkeys(("turnover", "open", "high", "low"), pl.lit(0.0))
    return rows.with_columns(volume=pl.lit(0, pl.Int64), **zero)


async def run(at: Desk, symbols: list[str] = WANTED) -> Sweep:
    return await sweep(at.context, expected_sessions(symbols, DAY, DAY), DAY)


async def bars_of(at: Desk) -> dict[str, int]:
    return dict((await at.frame(COUNTS)).iter_rows())


def served(at: Desk, symbols: list[str] = WANTED) -> dict[str, int]:
    return {code: bars for code in symbols if (bars := at.served(code, DAY).height)}


async def open_minutes(at: Desk) -> dict[str, int]:
    found = await at.frame("SELECT symbol, open FROM kept_sessions WHERE open > 0")
    return dict(found.iter_rows())


async def test_zeros_of_a_whole_call_do_not_hide_a_bar(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    say(monkeypatch, nothing)
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        done = await run(at)
        assert await bars_of(at) == served(at)
        assert done.contradicted == len(served(at))
        left = await open_minutes(at)
        await sweep(await at.next_run(), TARGETS, DAY)
        assert await open_minutes(at) == {}
    assert "is too low for its bars or its prices" in caplog.text
    assert left.keys() < served(at).keys()  # what turnover does not prove; those without are done


@pytest.mark.parametrize("answers", ["empty", "of the day before"])
async def test_zeros_are_not_believed_while_bars_are_not_there(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: str
) -> None:
    """Both of KIS's answers are wrong, as in an evening in which it has not caught up yet."""
    faults = Scenario.model_validate({"rule": [{"what": "empty_answer", "endpoint": BARS}]})
    with pytest.MonkeyPatch.context() as lies:
        say(lies, nothing)
        if answers != "empty":
            leave_out_today(lies)
        once = faults if answers == "empty" else None
        async with opened(database_url, tmp_path, CLOSED, MARKET, once) as at:
            await run(at)
            before = await open_minutes(at), await bars_of(at)
    assert before == (dict.fromkeys(WANTED, 381), {})
    later = CLOSED.replace(hour=19)
    async with opened(database_url, tmp_path, later, MARKET) as at:
        await run(at)
        assert await bars_of(at) == served(at)


def leave_out_today(patch: pytest.MonkeyPatch) -> None:
    """Have KIS answer as if it had no minute of the day yet, but those of the days before."""
    visible = SessionRows.visible

    def of_days_before(self: SessionRows, until: Any, now: Any, count: int) -> list[bytes]:
        return [] if self.served_date == DAY else visible(self, until, now, count)

    patch.setattr(SessionRows, "visible", of_days_before)


async def test_a_stock_without_a_trade_takes_one_call_that_agrees(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        halted = sorted(MARKET._halted(DAY))[:5]
        wanted = sorted({*WANTED[:8], *halted})
        done = await run(at, wanted)
        counts = await bars_of(at)
        reasons = await at.frame(
            "SELECT DISTINCT state, reason FROM gaps WHERE symbol IN"
            f" ({', '.join(f'{code!r}' for code in halted)})"
        )
        assert await open_minutes(at) == {}
        rejected = await at.frame("SELECT count(*) FROM rejected_rows")
    assert not counts.keys() & set(halted)
    assert reasons.rows() == [("no_trade", "KIS has no bar there")]
    fewest = sum(fewest_calls(counts.get(code, 0)) for code in wanted)
    assert done.calls == fewest + 1  # the closing snapshot
    assert rejected.item() == 0


async def test_only_stocks_without_a_trade_wait_for_a_second_answer(
    database_url: str, tmp_path: Path
) -> None:
    """Of no other stock KIS gave a bar: nothing says that it has bars of the day at all."""
    halted = sorted(MARKET._halted(DAY))[:3]
    targets = expected_sessions(halted, DAY, DAY)
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        await run(at, halted)
        assert await open_minutes(at) == dict.fromkeys(halted, 381)
        await sweep(await at.next_run(), targets, DAY)
        assert await open_minutes(at) == {}


@pytest.mark.parametrize("listed", [False, True])
async def test_an_answer_without_a_row_agrees_with_the_master_file_alone(
    database_url: str, tmp_path: Path, *, listed: bool
) -> None:
    """A stock that has been halted for so long that KIS has no bar of it at all."""
    silent = min(MARKET._halted(DAY))
    wanted = [*WANTED[:5], silent]
    rule = {"what": "empty_answer", "endpoint": BARS, "symbol": silent}
    faults = Scenario.model_validate({"rule": [rule]})
    async with opened(database_url, tmp_path, CLOSED, MARKET, faults) as at:
        if listed:
            await store_listings(at.store, halted_listing(silent), DAY)
        await run(at, wanted)
        assert await open_minutes(at) == ({} if listed else {silent: 381})


def halted_listing(symbol: str) -> pl.DataFrame:
    master = parse_stock_master(stock_master_file(MARKET, "KOSPI", DAY), "KOSPI")
    return master.listings.head(1).with_columns(symbol=pl.lit(symbol), halted=pl.lit(value=True))


async def test_trades_after_the_session_alone_are_no_bars_that_are_missing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the closing price, after it, whether or not KIS counts that in the day's volume."""
    halted = sorted(MARKET._halted(DAY))[:2]

    def traded_after(rows: pl.DataFrame) -> pl.DataFrame:
        late = pl.col("symbol") == halted[0]
        return rows.with_columns(
            volume=pl.when(late).then(700).otherwise("volume"),
            turnover=pl.when(late).then(7e6).otherwise("turnover"),
        )

    say(monkeypatch, traded_after)
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        done = await run(at, [*WANTED[:5], *halted])
        assert await open_minutes(at) == {}
    assert (done.contradicted, done.less) == (0, 1)
    assert done.calls <= 5 * 4 + 2 + 1


async def test_a_volume_with_trades_after_the_session_costs_no_call_more(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """Then no volume agrees with its bars: they are whole all the same, and some minutes wait."""
    caplog.set_level(logging.INFO)
    more = pl.when(pl.col("volume") > 0).then(pl.col("volume") + 10).otherwise("volume")
    say(monkeypatch, lambda rows: rows.with_columns(volume=more))
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        done = await run(at)
        counts = await bars_of(at)
        assert counts == served(at)
        await sweep(await at.next_run(), TARGETS, DAY)
        assert await open_minutes(at) == {}
    waiting = sum(1 for code in WANTED if 0 < counts.get(code, 0) < 381)
    assert done.calls <= 1 + sum(fewest_calls(counts.get(code, 0)) for code in WANTED) + 2 * waiting
    assert (done.contradicted, done.less) == (0, len(counts))
    assert f"{len(counts)} stocks have a larger volume" in caplog.text


@pytest.mark.parametrize("page", [1, 2])
async def test_a_volume_that_is_just_that_of_a_page_ends_nothing(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """KIS says of a stock what was traded of it since noon: the older bars come all the same."""
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        newest = at.served(BUSY, DAY).tail(PAGE * page)
        volume = pl.lit(newest["volume"].sum())
        say(monkeypatch, lambda rows: rows.with_columns(volume=volume))
        done = await run(at, [BUSY])
        assert await bars_of(at) == {BUSY: 381}
    assert done.contradicted == 1


async def test_bars_to_the_last_place_of_an_answer_take_one_call_more(
    database_url: str, tmp_path: Path
) -> None:
    async with opened(database_url, tmp_path, CLOSED, Played(5)) as at:
        done = await run(at, [BUSY])
        assert await bars_of(at) == {BUSY: 240}
        assert await open_minutes(at) == {}
    assert done.calls == 2 + 1 + 1  # the closing snapshot


async def test_a_stock_that_the_snapshot_leaves_out_is_asked_for_and_named(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    say(monkeypatch, lambda rows: rows.filter(pl.col("symbol") != WANTED[2]))
    async with opened(database_url, tmp_path, CLOSED, MARKET) as at:
        await run(at)
        assert await bars_of(at) == served(at)
    assert f"KIS gives no volume of {DAY} for 1 stocks: {english_stock(WANTED[2])}" in caplog.text


async def test_a_day_that_is_over_is_swept_without_volumes(
    database_url: str, tmp_path: Path
) -> None:
    """KIS tells volumes on the day alone: a stock without a bar then waits for a second answer."""
    halted = min(MARKET._halted(DAY))
    symbols = [*WANTED[:4], halted]
    next_day = CLOSED + timedelta(days=1)
    async with opened(database_url, tmp_path, next_day, MARKET) as at:
        done = await run(at, symbols)
        assert await bars_of(at) == served(at, symbols)
        waiting = await open_minutes(at)
    assert waiting[halted] == 381
    assert done.open == sum(waiting.values())
