"""The base of the calendar: KRX's closed weekdays, written out from exchange-calendars.

Importing exchange-calendars and building its XKRX calendar takes seconds and pulls in pandas, for a
set of some 190 dates. So `python -m engine.closed_days` writes that set to `closed_days.csv`
(date, name), a file that is reviewed like code; a test holds that it is what the package says.
What the package misses stands in `sessions.toml`.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl

FILE = Path(__file__).with_name("closed_days.csv")


def load() -> pl.DataFrame:
    """Return date and name of every weekday on which exchange-calendars knows KRX closed."""
    return pl.read_csv(FILE, schema={"date": pl.Date, "name": pl.String})


def from_libraries(first: date, last: date) -> pl.DataFrame:
    """Ask exchange-calendars for the closed weekdays and `holidays` for their names (dev only)."""
    import exchange_calendars  # noqa: PLC0415  (slow, and not installed where krt only runs)
    import holidays  # noqa: PLC0415

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
    from engine.trading_days import rules

    from_libraries(rules()["first_day"], rules()["last_day"]).write_csv(FILE)
