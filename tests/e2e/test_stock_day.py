"""A day of twenty stocks, thin ones among them: every bar that KIS has, and no false gap."""

import json
from datetime import date

import polars as pl
import pytest

from tests.databases import LONG
from tests.e2e.conftest import Desk, started_at
from tests.e2e.recorded import BARS, recorded
from tests.paths import STOCKS_FILE, needs
from tests.stamps import stamps_between

DAY = date(2025, 10, 20)
STOCKS_AT_ONCE = 20 if LONG else 6
pytestmark = needs(STOCKS_FILE)


@pytest.mark.long
def test_stocks_are_stored_as_recorded(desk: Desk):
    file = recorded(STOCKS_FILE, DAY, "15:30")
    symbols = file["symbol"].unique().sort().to_list()[:STOCKS_AT_ONCE]
    chosen = [word for symbol in symbols for word in ("--stock", symbol)]
    summary = desk.live(
        "--recorded", str(STOCKS_FILE), "--date", f"{DAY}", *chosen, *started_at("15:20")
    )
    stored = desk.ask(f"SELECT {', '.join(BARS)} FROM stocks_1m WHERE timestamp::date = '{DAY}'")
    owed = stamps_between(symbols, DAY, DAY)
    truth = file.join(
        owed, left_on=["symbol", "timestamp"], right_on=["symbol", "stamp"], how="semi"
    )
    assert stored.sort("symbol", "timestamp").equals(truth.sort("symbol", "timestamp"))
    assert summary["bars"] == truth.height
    # What bars surround is settled at the close, if the turnover leaves no room for a trade; the
    # rest by another run, hours later.
    absent = owed.join(
        truth, left_on=["symbol", "stamp"], right_on=["symbol", "timestamp"], how="anti"
    )
    spans = truth.group_by("symbol").agg(pl.min("timestamp").alias("first"), pl.max("timestamp"))
    inside = absent.join(spans, on="symbol").filter(
        pl.col("stamp").is_between("first", "timestamp")
    )
    assert summary["no_trade"] + summary["gaps"] == absent.height
    assert 0 < summary["no_trade"] <= inside.height
    days = ("--from", f"{DAY}", "--to", f"{DAY}")
    named = [word for symbol in symbols for word in ("--symbol", symbol)]
    filled = desk.krt("backfill", "--recorded", str(STOCKS_FILE), *days, *named, "--json")
    report = json.loads(filled.stdout.splitlines()[-1])
    assert (report["no_trade"], report["open"]) == (absent.height, 0), filled.stderr[-2000:]
    stamped = stored.group_by("symbol", "timestamp").len()
    assert stamped.filter(pl.col("len") > 1).is_empty()
