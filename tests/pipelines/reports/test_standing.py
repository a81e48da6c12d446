"""How things stand: in `just status`, its exit code, and the banner of the page."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, time, timedelta
from functools import partial

import polars as pl
import pytest

from engine import schemas
from engine.clock import VirtualClock, WallClock
from engine.history.completeness import FIGURES, MINUTES
from engine.history.scan import query
from engine.store import Store
from engine.store.metadata import store_collected_symbols
from pipelines.commands import status as status_command
from pipelines.commands.main import main
from pipelines.feed import Feed
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.standing import Standing, present_moment, read_standing
from pipelines.reports.status import feed_lines, print_status, sentences, status_json
from tests.heartbeats import record_heartbeat
from tests.pipelines.conftest import bars

FRIDAY, MONDAY = date(2026, 11, 13), date(2026, 11, 16)
FUTURE, STOCK = "A01612", "005930"
TEN = datetime(2026, 11, 16, 10, 0)
EVENING = datetime(2026, 11, 16, 18, 0)
UNTIL_TEN = (194 - 120) + 59  # bars of the future from 08:46, of the stock from 09:01, to 09:59


async def collect(store: Store, day: date, until: datetime | None = None) -> None:
    """Store a day, or the beginning of it, as a collector would."""
    await store_collected_symbols(store, day, [FUTURE, STOCK], datetime.combine(day, time(8)))
    future = bars([FUTURE], day, day, 1050.0)
    stock = bars([STOCK], day, day, 150_000.0).with_columns(timeframe=pl.lit("1m"))
    so_far = pl.col("timestamp") <= (until or datetime.combine(day, time.max))
    for table, frame, schema in (
        ("futures_1m", future, schemas.FUTURES_BARS),
        ("stocks_1m", stock, schemas.STOCK_BARS),
    ):
        await store.merge(table, schemas.conform(frame.filter(so_far), schema))


async def beat(url: str, status: str, at: datetime) -> None:
    store = Store(url, VirtualClock(at), component="test")
    await record_heartbeat(store, "collector", status)
    await store.close()


def collect_now(url: str, day: date, until: datetime | None = None) -> None:
    async def job() -> None:
        store = Store(url, WallClock(), component="test")
        await collect(store, day, until)
        await store.close()

    asyncio.run(job())


def stand(url: str, now: datetime, **options: object) -> Standing:
    given = {"simulated": False, **options}
    return read_standing(partial(query, url), now, **given)  # type: ignore[arg-type]


async def test_without_a_collector_during_a_session_nothing_looks_fine(
    store: Store, database_url: str
) -> None:
    """Missing was counted for symbols with bars today only, so nothing was missing."""
    await collect(store, FRIDAY)
    await beat(database_url, "done", datetime(2026, 11, 13, 15, 50))
    found = stand(database_url, TEN)
    assert (found.state, found.exit_code, found.lacks_collector) == ("amiss", 1, True)
    assert (found.missing_today, found.missing_since) == (UNTIL_TEN, datetime(2026, 11, 16, 8, 46))
    assert sentences(found)[0] == (
        "❌ no collector is running (the last heartbeat: done, 2026-11-13 15:50);"
        f" {UNTIL_TEN} minutes are missing since 08:46"
    )
    page = Viewer(database_url, simulated=False, clock=VirtualClock(TEN)).read().html()
    assert 'data-krt="banner"' in page
    assert f"08:46부터 누락 {UNTIL_TEN}분" in page
    assert "005930" in page  # although it has no bar today


@pytest.mark.parametrize(
    ("status", "at", "state"),
    [
        ("running", TEN - timedelta(seconds=61), "well"),
        ("running", TEN - timedelta(minutes=5), "amiss"),  # it died
        ("stopped", TEN - timedelta(seconds=1), "amiss"),
    ],
)
async def test_a_collector_is_running_if_its_heartbeat_is_young(
    store: Store, database_url: str, status: str, at: datetime, state: str
) -> None:
    await collect(store, FRIDAY)
    await collect(store, MONDAY, until=TEN)
    await beat(database_url, status, at)
    found = stand(database_url, TEN)
    assert (found.state, found.missing) == (state, 0)
    page = Viewer(database_url, simulated=False, clock=VirtualClock(TEN)).read().html()
    assert ('data-krt="banner"' in page) == (state == "amiss")


async def test_a_session_that_nobody_collected_is_amiss_after_the_close(
    store: Store, database_url: str
) -> None:
    await collect(store, FRIDAY)
    await beat(database_url, "done", datetime(2026, 11, 13, 15, 50))
    assert stand(database_url, datetime(2026, 11, 15, 12)).state == "well"  # a Sunday
    assert stand(database_url, datetime(2026, 11, 16, 8, 40)).state == "well"
    found = stand(database_url, EVENING)
    assert (found.state, found.nobody_collected, found.missing) == ("amiss", True, 411 + 381)
    assert "no collector has run today" in sentences(found)[0]
    page = Viewer(database_url, simulated=False, clock=VirtualClock(EVENING)).read().html()
    assert "수집한 수집기가 없습니다" in page
    assert stand(database_url, EVENING + timedelta(days=1)).missing == 2 * (411 + 381)


async def test_a_simulation_is_judged_by_its_own_time(store: Store, database_url: str) -> None:
    """Whatever the wall says: the simulated day was over when it ended."""
    await collect(store, FRIDAY)
    await beat(database_url, "done", datetime(2026, 11, 13, 15, 50))
    ask = partial(query, database_url)
    now = present_moment(ask, WallClock(), simulated=True)
    assert now == datetime(2026, 11, 13, 15, 50)
    assert stand(database_url, now, simulated=True).state == "well"
    await collect(store, MONDAY, until=TEN)
    await beat(database_url, "stopped", TEN)
    found = stand(database_url, present_moment(ask, WallClock(), simulated=True), simulated=True)
    assert (found.now, found.state, found.missing) == (TEN, "amiss", 0)
    await beat(database_url, "running", datetime(2026, 11, 13, 9, 30))  # Friday, once more
    assert present_moment(ask, WallClock(), simulated=True) == datetime(2026, 11, 13, 9, 30)


async def test_without_data_it_is_unknown_unless_the_settings_have_a_plan(
    database_url: str,
) -> None:
    assert stand(database_url, TEN).exit_code == 2
    assert sentences(stand(database_url, TEN))[0].startswith("⚠️ nothing has been collected")
    found = stand(database_url, TEN, feed=Feed(("005930",), ("A01",)))
    assert (found.state, found.missing) == ("amiss", UNTIL_TEN)
    assert "there was never a heartbeat" in sentences(found)[0]


def test_the_command_says_so_with_its_exit_code(
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setattr(status_command, "WallClock", lambda: VirtualClock(TEN))
    arguments = ["status", "--database", "live"]
    assert main(arguments) == 2
    capsys.readouterr()
    collect_now(database_url, FRIDAY)
    assert main(arguments) == 1
    assert f"{UNTIL_TEN} minutes are missing since 08:46" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["state"], said["missing"], said["open"]) == ("amiss", UNTIL_TEN, UNTIL_TEN)
    assert said["tables"]["Heartbeats"] == []
    collect_now(database_url, MONDAY, until=TEN)
    asyncio.run(beat(database_url, "running", TEN))
    assert main(arguments) == 0
    assert "✅ nothing is missing" in capsys.readouterr().out


async def test_each_figure_of_status_adds_up(store: Store, database_url: str) -> None:
    await collect(store, FRIDAY, until=datetime(2026, 11, 13, 12))
    found = stand(database_url, EVENING)
    figures = status_json(found, {})
    for row in (figures, *figures["sessions"], *figures["symbols"]):
        assert row["expected"] == row["stored"] + row["missing"] + row["no_trade"]
        assert row["missing"] == row["open"] + row["unavailable"] + row["refused"]
    assert sum(row["stamps"] for row in figures["gap_list"]) == figures["missing"]


async def test_which_symbols_come_by_feed_and_how_late_is_told_everywhere(
    store: Store, database_url: str
) -> None:
    await collect(store, MONDAY, until=TEN - timedelta(minutes=10))
    assert feed_lines(stand(database_url, TEN), stream=False) == [
        'no feed today: `"stream": false`, all bars are polled'
    ]
    assert 'data-krt="feed"' not in page_at(database_url)
    await bring_by_feed(database_url, STOCK, TEN - timedelta(minutes=9), seconds=1.0)
    await bring_by_feed(database_url, STOCK, TEN - timedelta(minutes=8), seconds=2.0)
    since = datetime(2026, 11, 16, 9, 30)
    rows = [
        (MONDAY, FUTURE, False, since, "another process has the connection"),
        (MONDAY, STOCK, True, since, None),
    ]
    states = pl.DataFrame(rows, pl.Schema(schemas.FEED_SYMBOLS), orient="row")
    await store.merge("feed_symbols", schemas.conform(states, schemas.FEED_SYMBOLS))
    found = stand(database_url, TEN)
    lines = [
        "1 of 2 symbols by feed, late by p50 1.5 s, p99 2.0 s, last 2.0 s",
        "A01612 is polled since 09:30: another process has the connection",
    ]
    assert feed_lines(found, stream=True) == lines
    told = status_json(found, {}, stream=True)["feed"]
    assert told["says"] == lines
    assert (told["p50"], told["last"]) == (1.5, 2.0)
    future, stock = told["symbols"]
    assert (future["by_feed"], future["since"]) == (False, "2026-11-16T09:30:00.000000")
    assert (stock["bars"], stock["p50"], stock["last"]) == (2, 1.5, 2.0)
    page = page_at(database_url)
    assert 'data-krt="feed"' in page
    assert "지연 p50 1.5 s · p99 2.0 s · 마지막 2.0 s" in page
    assert "another process has the connection" in page


async def bring_by_feed(url: str, symbol: str, stamp: datetime, seconds: float) -> None:
    """Store a bar as the feed brings it, so long after its minute."""
    at = Store(url, VirtualClock(stamp + timedelta(seconds=seconds)), component="test")
    frame = bars([symbol], MONDAY, MONDAY, 150_000.0).filter(pl.col("timestamp") == stamp)
    told = frame.with_columns(
        timeframe=pl.lit("1m"), source=pl.lit(schemas.FEED), fetched_at=pl.lit(at.now())
    )
    await at.merge("stocks_1m", schemas.conform(told, schemas.STOCK_BARS))
    await at.close()


def page_at(url: str) -> str:
    return Viewer(url, simulated=False, clock=VirtualClock(TEN)).read().html()


def test_a_database_that_is_away_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/krt")
    assert main(["status"]) == 2
    assert capsys.readouterr().err.startswith("❌ ")


def test_a_table_of_a_whole_market_says_how_many_rows_it_leaves_out(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bars = pl.DataFrame({"symbol": [f"{n:05}0" for n in range(2_700)], "close": 1.0})
    nothing = Standing(TEN, False, FIGURES.to_frame(), MINUTES.to_frame(), heartbeat=None)
    print_status(nothing, {"Last bar": bars}, "table")
    said = capsys.readouterr().out
    assert "… and 2,650 rows more, with `just status --format csv`" in said
    assert "000490" in said
    assert "000500" not in said
    print_status(nothing, {"Last bar": bars}, "csv")
    assert "026990" in capsys.readouterr().out
