"""A recorded day, replayed through the whole system: what is stored is what was recorded."""

import asyncio
from datetime import date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.clock import VirtualClock
from engine.market import sessions
from engine.schemas import METRICS
from engine.settings import KisSettings
from engine.store import embedded_server
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.simulation import recorded_day, simulated_kis
from tests.databases import LONG
from tests.e2e.conftest import Desk, started_at
from tests.e2e.recorded import recorded as of_file
from tests.paths import FUTURES_FILE, needs

DAY = date(2025, 9, 1)
pytestmark = needs(FUTURES_FILE)
RECORDED = ("--recorded", str(FUTURES_FILE), "--date", f"{DAY}")
COUNTED = ("volume", "turnover", "open_interest")
BARS = ["timestamp", "open", "high", "low", "close", "volume"]
FIRST = time(8, 46) if LONG else time(15, 34)  # snapshot: those before the start are lost
AGAIN, SNAPSHOTS_AGAIN = (time(15, 20), 26) if LONG else (time(15, 34), 12)
SNAPSHOTS = 420 if LONG else 12


@pytest.fixture(scope="module")
def summary(desk: Desk):
    found = desk.live(*RECORDED, "--fresh", *started_at("15:34"))
    with desk.serving():
        yield found


def recorded(day: date) -> pl.DataFrame:
    """Return the file's bars of a day, stamped as we store them."""
    return of_file(FUTURES_FILE, day, "15:45").select(BARS)


def test_every_bar_of_the_day_is_stored_as_recorded(desk, summary):
    stored = desk.ask(f"SELECT {', '.join(BARS)} FROM futures_101 WHERE timestamp::date = '{DAY}'")
    assert stored.sort("timestamp").equals(recorded(DAY))
    assert (summary["bars"], summary["gaps"], stored.height) == (411, 420 - SNAPSHOTS, 411)


def test_the_warm_up_sessions_are_there_and_as_recorded(desk, summary):
    stored = desk.ask(f"SELECT {', '.join(BARS)} FROM futures_101 ORDER BY timestamp")
    for day in sessions.previous_sessions(sessions.Market.DERIVATIVES, DAY, 5):
        assert stored.filter(pl.col("timestamp").dt.date() == day).equals(recorded(day))


def test_each_minute_has_a_matrix_of_every_metric(desk, summary):
    stored = desk.ask("SELECT timestamp, metric_type FROM option_matrices_202509_kospi200")
    minutes = stored.group_by("timestamp").agg(pl.col("metric_type"))
    first, last = datetime.combine(DAY, FIRST), datetime(2025, 9, 1, 15, 45)
    assert set(minutes["timestamp"]) == {first + timedelta(minutes=n) for n in range(SNAPSHOTS)}
    assert max(minutes["timestamp"]) == last
    assert all(set(METRICS) <= set(metrics) for metrics in minutes["metric_type"])
    assert summary["snapshots"] == SNAPSHOTS


def test_the_matrix_is_centred_on_the_recorded_future(desk, summary):
    stored = desk.ask(
        "SELECT DISTINCT timestamp, underlying_price, underlying_source FROM option_chain_raw"
    )
    bars = recorded(DAY)
    day = (bars["low"].min(), bars["high"].max())
    assert stored["underlying_price"].is_between(*day).all()
    assert set(stored["underlying_source"]) == {"future:101W09"}


def test_matrices_and_summaries_are_what_the_stored_chain_gives(desk, summary):
    chain = desk.ask("SELECT * FROM option_chain_raw").select(schemas.OPTION_CHAIN.names)
    with_greeks = chain_with_greeks(chain)
    for table, schema, computed, key in (
        (
            "option_matrices",
            schemas.OPTION_MATRIX,
            chain_matrix(with_greeks),
            ["timestamp", "metric_type"],
        ),
        (
            "option_summary",
            schemas.OPTION_SUMMARY,
            chain_summary(chain_figures(with_greeks), chain_surface(with_greeks)),
            ["timestamp"],
        ),
    ):
        stored = desk.ask(f"SELECT * FROM {table}").select(schema.names)
        assert_frame_equal(stored.sort(key), computed.sort(key), rel_tol=1e-6)
    models = desk.ask(
        """SELECT count(DISTINCT timestamp) AS minutes FROM option_matrices
           WHERE metric_type = 'model_iv' AND c_atm > 0 AND p_atm > 0"""
    )
    assert models.item() == SNAPSHOTS


def test_every_bar_has_a_signal_with_bands(desk, summary):
    signals = desk.ask("SELECT * FROM dolpha1_signal ORDER BY timestamp")
    assert signals["timestamp"].equals(recorded(DAY)["timestamp"])
    assert signals.select(pl.col("ub", "lb", "sigma_open").null_count()).row(0) == (0, 0, 0)
    assert set(signals["monitor_signal"]) <= {-1, 0, 1}
    observed = signals.filter(pl.col("timestamp").dt.minute() % 5 != 0)
    assert (observed["trade_signal"] == 0).all()


def test_a_signal_is_committed_within_the_minute_after_its_bar(desk, summary):
    late = desk.ask(
        f"""SELECT count(*) AS late FROM dolpha1_signal
           WHERE timestamp > '{datetime.combine(DAY, FIRST)}'
             AND created_at > timestamp + interval '65 seconds'"""
    )
    assert late.item() == 0


def test_the_same_day_again_changes_no_row(desk, summary):
    """All bars again, and the chain of the last minutes: a whole one costs minutes."""
    before = contents(desk)
    with embedded_server(desk.folder / "simulation") as url:
        again = asyncio.run(the_end_of_the_day(url, desk.folder))
    assert (again.bars, again.snapshots, again.corrections) == (411, SNAPSHOTS_AGAIN, 0)
    assert contents(desk).equals(before)


async def the_end_of_the_day(url: str, folder: Path) -> DayStatistics:
    """Collect the day like a collector that is started late in it."""
    simulated = recorded_day(FUTURES_FILE, DAY)
    clock = VirtualClock(datetime.combine(DAY, AGAIN))
    stats = DayStatistics(plan(simulated.feed, DAY), simulated=True)
    paths = DayPaths(url, folder / "spool", folder / "kis")
    async with simulated_kis(simulated.market, clock, KisSettings()) as (settings, _):
        await run_day(stats.plan, settings, clock, paths, stats)
    return stats


def contents(desk: Desk) -> pl.DataFrame:
    """Return every row of every table, without heartbeats and times of fetching.

    Strikes far from the money have no price, and are counted when a collector comes to it: what
    they traded so far, and the sums with it, are those of another moment in another run.
    """
    tables = ["futures_1m", "option_chain_raw", "option_matrices", "option_summary"]
    tables += ["dolpha1_signal", "replaced_bars", "signal_corrections", "gaps", "rejected_rows"]
    sums = ("zero_gamma", "gamma_exposure", *(f"put_call_{counted}_ratio" for counted in COUNTED))
    less = {"option_summary": "".join(f" - '{name}'" for name in sums)}
    priced = {"option_chain_raw": "WHERE price > 0"}
    rows = " UNION ALL ".join(
        f"""SELECT '{table}' AS name, (to_jsonb(t) - 'fetched_at' - 'committed_at' - 'quoted_at'
            - 'created_at' - 'updated_at' - 'times' - 'received_at'{less.get(table, "")})::text
            AS content FROM {table} AS t {priced.get(table, "")}"""
        for table in tables
    )
    return desk.ask(f"SELECT name, content FROM ({rows}) AS r ORDER BY name, content")
