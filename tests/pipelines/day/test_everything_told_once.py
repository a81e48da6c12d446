"""Days on which everything is collected that KIS tells only once, good ones and bad ones.

Whole days in the long tests, in two halves each, and ten minutes with both closing auctions;
else the end of a bad day.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from engine.history.completeness import LOST, read_minutes
from engine.market.expected import expected_stamps
from engine.market.sessions import Market
from engine.market.symbols import parse_chain
from engine.market.told_once import STREAMS
from engine.simulator.faults.scenario import load_scenario
from engine.simulator.market.recorded import RecordedMarket
from engine.simulator.quotations.auctions import expected_price
from engine.store import book_files
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.databases import LONG
from tests.paths import FUTURES_FILE, needs
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play
from tests.pipelines.day.test_told_once import (
    PARTS,
    assert_flows,
    assert_indices,
    assert_programmes,
    assert_states,
)
from tests.pipelines.simulated import Desk, desk

RECORDED_DAY, RECORDED_FUTURE = date(2025, 9, 1), "101W09"
PACE = 10  # calls a second
LONG_ONLY = pytest.mark.long
# Begin and end: whole days in two halves, what lies at the end of one in the other; and less.
HALVES = [
    pytest.param("08:10", "12:00:30", marks=LONG_ONLY),
    pytest.param("11:58", None, marks=LONG_ONLY),
]
SHORT_GOOD = pytest.param("15:27:30", "15:38:30", marks=LONG_ONLY)
SHORT_BAD = ("15:31:30", None)


def everything(future: str) -> Feed:
    """Return the stock, the future, all streams about them, and in the long tests a chain."""
    chains = (parse_chain("front"),) if LONG else ()
    return Feed((STOCK,), (future,), chains, streams=tuple(STREAMS))


def codes(future: str, day: date) -> list[str]:
    return [stream.code for stream in plan(everything(future), day).streams]


async def collect(
    at: Desk,
    url: str,
    folder: Path,
    *,
    future: str = FUTURE,
    day: date = DAY,
    until: datetime | None = None,
) -> pl.DataFrame:
    """Collect from now on; return MINUTES of all that is told once, as the database has them.

    Each expected minute has a row, or stands in the ledger with a reason: none is both. It is lost
    there, unless the collector was ended by hand while KIS's answers still reached back to it.
    """
    start = at.clock.now()
    played = await play(
        at,
        url,
        folder,
        feed=everything(future),
        day=day,
        stream=True,
        pace=PACE,
        until=until,
    )
    assert played.error is None
    minutes = await read_minutes(at.store, codes(future, day), day, at.clock.now())
    if until is None:
        sessions = pl.DataFrame({"symbol": codes(future, day), "session": day})
        assert minutes.height == expected_stamps(sessions).height
    first = at_time("00:00", day) if until is None else start + timedelta(minutes=1)
    minutes = minutes.filter(pl.col("stamp").is_between(first, at.clock.now()))
    # Ended by hand, what an answer to the next run would still reach back to is open.
    missing = minutes.filter(pl.col("state") != "stored")
    streams = plan(everything(future), day).streams
    reaches = {stream.code: stream.symbol.reach for stream in streams}
    for symbol, stamp, state in missing.select("symbol", "stamp", "state").iter_rows():
        may_come = until is not None and stamp + reaches[symbol] >= until
        assert state in (("open",) if may_come else LOST), (symbol, stamp, state)
    rows = await at.frame(
        "SELECT symbol, first_stamp, last_stamp, stamps, state, reason FROM gaps"
        f" WHERE session = '{day}' AND state <> 'filled'"
    )
    ledger = rows.filter(pl.col("symbol").is_in(codes(future, day)))
    for symbol, stamp, state in missing.select("symbol", "stamp", "state").iter_rows():
        told = ledger.filter(
            pl.col("first_stamp") <= stamp, pl.col("last_stamp") >= stamp, symbol=symbol
        )
        assert told["state"].to_list() == [state], (symbol, stamp)
        assert told["reason"].item(), (symbol, stamp)
    if until is None:
        assert ledger["stamps"].sum() == missing.height
    return minutes.filter(pl.col("stamp") > start + timedelta(minutes=1))


@pytest.mark.parametrize(("begin", "end"), [*HALVES, SHORT_GOOD])
@pytest.mark.parametrize(
    "is_recorded",
    [pytest.param(False, marks=LONG_ONLY), pytest.param(True, marks=needs(FUTURES_FILE))],
)
async def test_of_a_good_day_every_stream_is_complete_and_what_the_market_holds(
    database_url: str, tmp_path: Path, is_recorded: bool, begin: str, end: str | None
) -> None:
    """Everything at ten calls a second; in the long tests whole days, in two halves."""
    future, day = (RECORDED_FUTURE, RECORDED_DAY) if is_recorded else (FUTURE, DAY)
    market = RecordedMarket(FUTURES_FILE) if is_recorded else None
    async with desk(database_url, tmp_path, at_time(begin, day), market) as at:
        until = at_time(end, day) if end else None
        minutes = await collect(at, database_url, tmp_path, future=future, day=day, until=until)
        missing = minutes.filter(pl.col("state") != "stored")
        assert missing.is_empty(), missing.group_by("symbol", "reason").len()
        held_now = {c for c in codes(future, day) if end is None or not c.startswith("AUCTIONS")}
        assert held_now <= set(minutes["symbol"])
        exchange = at.simulator.exchange
        await assert_flows(at, exchange, day)
        await assert_programmes(at, exchange, day)
        await assert_indices(at, exchange, day)
        await assert_states(at, exchange, future)
        for row in (await at.frame("SELECT * FROM expected_prices")).iter_rows(named=True):
            market_of = Market.STOCKS if row["symbol"] == STOCK else Market.DERIVATIVES
            held = expected_price(exchange, row["symbol"], market_of, row["said_at"])
            assert (row["price"], row["size"] or held.volume) == held, row
        counted = await at.frame("SELECT sum(updates)::bigint AS updates FROM book_minutes")
    book = book_files.scan_files(tmp_path / "book").collect()
    assert book.height == counted["updates"].item() > 100
    assert (book["bid1"] < book["ask1"]).all()


@pytest.mark.parametrize(("begin", "end"), [*HALVES, SHORT_BAD])
@pytest.mark.parametrize(
    ("name", "is_recorded"),
    [
        ("rough", False),
        ("storm", False),
        pytest.param("rough", True, marks=needs(FUTURES_FILE)),
    ],
)
@LONG_ONLY
async def test_of_a_bad_day_the_ledger_has_each_missing_minute_and_no_row_contradicts_itself(
    database_url: str,
    tmp_path: Path,
    name: str,
    is_recorded: bool,
    begin: str,
    end: str | None,
    record_property: Callable[..., None],
) -> None:
    future, day = (RECORDED_FUTURE, RECORDED_DAY) if is_recorded else (FUTURE, DAY)
    market = RecordedMarket(FUTURES_FILE) if is_recorded else None
    async with desk(database_url, tmp_path, at_time(begin, day), market, load_scenario(name)) as at:
        until = at_time(end, day) if end else None
        minutes = await collect(at, database_url, tmp_path, future=future, day=day, until=until)
        flows = await at.frame("SELECT * FROM investor_flows")
        states = await at.frame("SELECT * FROM futures_state ORDER BY timestamp")
    missing = minutes.filter(pl.col("state") != "stored")
    counted = missing.group_by("symbol", "reason").len().sort("symbol", "reason").rows()
    record_property("missing", f"{missing.height} of {minutes.height}: {counted}")
    assert missing.height < 0.3 * minutes.height, missing.group_by("symbol", "reason").len()
    for unit in ("volume", "amount"):
        net = pl.col(f"bought_{unit}") - pl.col(f"sold_{unit}")
        assert flows.filter(net != pl.col(f"net_{unit}")).is_empty()
    whole = flows.filter(~pl.col("investor").is_in(PARTS)).group_by("symbol", "timestamp")
    sums = whole.agg(pl.len().alias("kinds"), pl.col("net_volume").sum()).filter(kinds=5)
    assert set(sums["net_volume"]) <= {0}
    known = states.drop_nulls(["open_interest", "day_volume"])
    opened = known["open_interest"].diff().drop_nulls().abs()
    assert (opened <= known["day_volume"].diff().drop_nulls()).all()
