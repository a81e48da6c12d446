"""The whole market each minute, and what all of it costs: by the plan, and by KIS's count."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from pydantic import SecretStr

from engine.history.breadth import breadth, turnover_leaders
from engine.history.scan import scan
from engine.settings import AppKey, KisSettings
from engine.simulator.market.listed_stocks import listed_stocks
from pipelines.day.budget import budget_of
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play
from tests.pipelines.history.whole_market import WholeMarket
from tests.pipelines.simulated import Desk, desk

MARKET = WholeMarket(5)
MINUTES = 6
BEGIN, END = at_time("09:05:30"), at_time("09:05:30") + timedelta(minutes=MINUTES)
KEYS = (AppKey(app_key=SecretStr("key"), app_secret=SecretStr("secret")),)


def some_codes(count: int) -> tuple[str, ...]:
    return tuple(listed_stocks(MARKET, "KOSDAQ", DAY)["code"].sort()[:count])


async def test_rounds_are_stored_and_cost_what_the_plan_says(
    database_url: str, tmp_path: Path
) -> None:
    feed = Feed((STOCK,), (FUTURE,), streams=("programme",), snapshot=some_codes(61))
    counted: list[Counter[str]] = []

    async def count(at: Desk) -> None:
        for moment in (BEGIN, END):
            await at.clock.sleep_until(moment)
            counted.append(at.simulator.counts.calls.copy())

    async with desk(database_url, tmp_path, at_time("08:55"), MARKET) as at:
        await play(at, database_url, tmp_path, feed=feed, until=END, trouble=count)
        closing = at.served(feed.snapshot[0], DAY)
    costs = budget_of(plan(feed, DAY), KisSettings(app_keys=KEYS), 0, len(feed.snapshot))
    made = counted[1] - counted[0]
    assert made.total() == costs.calls * MINUTES, made
    assert not costs.troubles

    rows = scan("market_snapshot", database_url).collect()
    per_round = rows.group_by("timestamp").len().sort("timestamp")
    assert per_round["timestamp"].to_list() == [at_time(f"09:{m:02}") for m in range(1, 12)]
    assert set(per_round["len"]) == {61}
    last = rows.filter(pl.col("timestamp") == at_time("09:11"))
    volume = dict(last.select("symbol", "volume").iter_rows())[feed.snapshot[0]]
    assert volume == closing.filter(pl.col("timestamp") <= at_time("09:11"))["volume"].sum()

    of_market = breadth(rows.lazy()).collect()
    known = of_market.filter(pl.col("timestamp") == at_time("09:11")).row(0, named=True)
    assert known["advancing"] + known["declining"] + known["unchanged"] == known["stocks"] == 61
    assert known["advancing"] == (last["price"] > last["base_price"]).sum()
    assert known["turnover"] == pytest.approx(last["turnover"].sum())
    leaders = turnover_leaders(last.lazy(), 3).collect()
    assert leaders["symbol"].to_list() == last.sort("turnover")["symbol"].to_list()[:-4:-1]
    assert leaders["rank"].to_list() == [1, 2, 3]


def test_what_does_not_fit_is_said() -> None:
    slow = KisSettings(app_keys=KEYS, calls_per_second=1)
    day = plan(Feed((STOCK,), (FUTURE,), sweep=("all",), snapshot=("all",)), DAY)
    found = budget_of(day, slow, 20_000, 2_700)
    assert found.calls == 92
    assert found.troubles == (
        "the snapshot does not fit into each minute: it comes every 2 minutes",
        "the sweep takes 1345 minutes and has 1000 minutes",
    )
    quick = budget_of(day, KisSettings(app_keys=KEYS, calls_per_second=15), 2_700, 2_700)
    assert (quick.sweep_calls, quick.troubles) == (10_890, ())
    many = plan(Feed(some_codes(61), (FUTURE,)), DAY)
    (trouble,) = budget_of(many, slow, 0, 0).troubles
    assert trouble.startswith("62 calls a minute are more than the 60 of the pace: follow fewer")
