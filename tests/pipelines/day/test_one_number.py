"""A day with a gap of each kind: everything that says what is missing says the same."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import partial
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr
from rich.console import Console

from engine.clock import WallClock
from engine.history.completeness import MISSING
from engine.history.delays import live_delays
from engine.history.scan import query
from engine.market.sessions import Session
from engine.market.symbols import parse, parse_chain
from engine.settings import AppKey, KisSettings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from engine.store import Store
from engine.store.identifiers import literal
from pipelines.day import view
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day.summary import summary
from pipelines.day_plan import plan
from pipelines.feed import Feed
from pipelines.history.validate import Validation, validate
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.queries import coverage
from pipelines.reports.sql_text import sql_text
from pipelines.reports.standing import Standing, present_moment, read_standing
from pipelines.texts import Texts
from tests.pipelines.simulated import KEY, SECRET, Thin, desk

DAY = date(2025, 11, 4)
LATE = datetime(
    2025, 11, 4, 15, 10, 20
)  # the snapshots before are lost: KIS has no history of them
NEVER_ANSWERED, THIN = "005930", "000020"  # open; without a trade in some minutes
FEED = Feed((NEVER_ANSWERED, THIN), ("A01",), (parse_chain("front"),))
SILENCE = {"what": "refuse", "endpoint": "stocks", "symbol": NEVER_ANSWERED, "from": "15:11"}


class Odd(Thin):
    """The future has a bar that cannot be one: its high is below its low."""

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        found = super()._bars(symbol, session)
        if parse(symbol).table != "futures_1m":
            return found
        odd = pl.col("label").dt.strftime("%H:%M") == "15:20"
        return found.with_columns(high=pl.when(odd).then(pl.col("low") - 1).otherwise("high"))


async def play(url: str, folder: Path) -> tuple[DayStatistics, Validation]:
    """Play the end of a day, then validate it."""
    faults = Scenario.model_validate({"rule": [SILENCE]})
    async with desk(url, folder, LATE, Odd(3), faults) as at:
        key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
        settings = KisSettings(
            base_url=at.simulator.base_url,
            master_url=at.simulator.base_url + MASTER_PATH,
            app_keys=(key,),
            calls_per_second=5,
        )
        stats = DayStatistics(plan(FEED, DAY), simulated=True)
        paths = DayPaths(url, folder / "live", folder / "kis")
        await run_day(stats.plan, settings, at.clock, paths, stats)
        return stats, await validate(at.store, at.clock, [], DAY, DAY, keep=False)


def stand(url: str) -> Standing:
    ask = partial(query, url)
    now = present_moment(ask, WallClock(), simulated=True)
    return read_standing(ask, now, simulated=True)


async def test_summary_status_page_validate_and_coverage_say_the_same(
    database_url: str, tmp_path: Path
) -> None:
    stats, validation = await play(database_url, tmp_path)
    told = stats.as_json()
    missing = told["minutes"]["missing"]
    assert told["minutes"]["open"] > 10
    assert told["minutes"]["unavailable"] > 300
    assert told["minutes"]["no_trade"] > 30
    assert told["minutes"]["refused"] == 1
    assert missing == sum(told["minutes"][state] for state in MISSING)
    assert (told["gaps"], told["complete"]) == (missing, False)

    console = Console(file=StringIO(), width=120)
    console.print(summary(stats, Texts("en")))
    assert f"{missing:,} minutes are missing" in console.file.getvalue()  # type: ignore[attr-defined]
    console.print(view.day_view(stats, WallClock().now(), view.LastLines(), Texts("en"), width=140))
    assert re.search(rf"missing {missing:,}\b", console.file.getvalue())  # type: ignore[attr-defined]

    standing = stand(database_url)
    assert standing.missing_today == missing
    shown = standing.today.drop("session").sum().row(0, named=True)
    assert {name: shown[name] for name in told["minutes"]} == told["minutes"]

    page = Viewer(database_url, simulated=True).read().html()
    assert re.search(rf'data-krt="missing"><b>[^<]*</b><span class="[^"]*">{missing:,}<', page)

    found = validation.findings
    named = found.filter(pl.col("check").is_in(["missing", "snapshots", "refused", "unavailable"]))
    assert named["bars"].sum() == missing
    assert set(named["check"]) == {"missing", "refused", "unavailable"}

    assert coverage(database_url, DAY, DAY)["missing"].sum() == missing
    shows_the_same_delay(database_url, stats)
    assert await ledger_sum(database_url) == missing


def shows_the_same_delay(url: str, stats: DayStatistics) -> None:
    """A day begun late is not late for what was over before: no page, no summary says so."""
    span = {"begin": literal(datetime(2025, 11, 4)), "now": literal(datetime(2025, 11, 5))}
    stored = live_delays(query(url, sql_text("dashboard", "live_bars.sql", **span)))
    # A minute that was over when the collector set out would be its slowest by far.
    assert stored["timestamp"].min() == datetime(2025, 11, 4, 15, 11)
    assert stats.slowest is not None
    assert stats.slowest[1] == pytest.approx(stored["delay"].max(), abs=1.0)
    assert min(stats.delays) == datetime(2025, 11, 4, 15, 11)


async def ledger_sum(url: str) -> int:
    store = Store(url, WallClock(), component="test")
    try:
        table = await store.query(
            "SELECT sum(stamps)::bigint AS n FROM gaps WHERE session = '2025-11-04'"
            " AND state IN ('open', 'unavailable', 'refused')"
        )
        return int(table["n"][0].as_py())
    finally:
        await store.close()
