"""Write KRX's closed weekdays out of exchange-calendars into engine/market/closed_days.csv.

Importing exchange-calendars and building its XKRX calendar takes seconds and pulls in pandas, for a
set of some 190 dates. So that set is a file (date, name), which is reviewed like code; a test holds
that it is what the package says. What the package misses stands in engine/market/calendar.toml.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import exchange_calendars
import holidays
import polars as pl

from engine.market.trading_days import rules

FILE = Path(__file__).resolve().parent.parent / "engine" / "market" / "closed_days.csv"


def from_libraries(first: date, last: date) -> pl.DataFrame:
    """Ask exchange-calendars for the closed weekdays and `holidays` for their names."""
    calendar = exchange_calendars.get_calendar("XKRX", start=str(first), end=str(last))
    years = range(first.year, last.year + 1)
    names = holidays.financial_holidays("KRX", years=years, language="en_US")  # wherever we are
    days = pl.DataFrame({"date": pl.date_range(first, last, eager=True)})
    sessions = pl.Series("date", [session.date() for session in calendar.sessions])
    closed = days.filter(
        pl.col("date").dt.weekday() <= 5, ~pl.col("date").is_in(sessions.implode())
    )
    named = pl.DataFrame({"date": list(names.keys()), "name": list(names.values())})
    return closed.join(named, on="date", how="left").sort("date")


if __name__ == "__main__":
    from_libraries(rules()["first_day"], rules()["last_day"]).write_csv(FILE)
