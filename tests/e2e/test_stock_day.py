"""A day of twenty stocks, thin ones among them: every bar that KIS has, and no false gap."""

from datetime import date

import polars as pl

from tests.e2e.conftest import Desk
from tests.e2e.recorded import BARS, recorded
from tests.paths import STOCKS_FILE, needs
from tests.stamps import stamps_between

DAY = date(2025, 10, 20)
STOCKS_AT_ONCE = 20
pytestmark = needs(STOCKS_FILE)


def test_stocks_are_stored_as_recorded(desk: Desk):
    file = recorded(STOCKS_FILE, DAY, "15:30")
    symbols = file["symbol"].unique().sort().to_list()[:STOCKS_AT_ONCE]
    chosen = [word for symbol in symbols for word in ("--stock", symbol)]
    summary = desk.live("--recorded", str(STOCKS_FILE), "--date", f"{DAY}", *chosen)
    stored = desk.ask(f"SELECT {', '.join(BARS)} FROM stocks_1m WHERE timestamp::date = '{DAY}'")
    owed = stamps_between(symbols, DAY, DAY)
    truth = file.join(
        owed, left_on=["symbol", "timestamp"], right_on=["symbol", "stamp"], how="semi"
    )
    assert stored.sort("symbol", "timestamp").equals(truth.sort("symbol", "timestamp"))
    assert summary["bars"] == truth.height
    assert summary["gaps"] == 0
    assert summary["no_trade"] == owed.height - truth.height
    stamped = stored.group_by("symbol", "timestamp").len()
    assert stamped.filter(pl.col("len") > 1).is_empty()
