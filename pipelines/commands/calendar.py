"""`just calendar`: the sessions of a year."""

from __future__ import annotations

import datetime as dt

from engine.clock import WallClock, today
from engine.errors import InputError
from engine.market import sessions
from engine.settings import load_settings
from pipelines.commands.options import Format
from pipelines.databases import load_kis_holidays
from pipelines.reports.terminal import print_frame


def calendar(year: int | None = None, *, format: Format = "table") -> int:  # noqa: A002
    """Show the day sessions of a year: hours, closed days, what is not ordinary about a day.

    Nights are not collected; an evening on which none begins has a note.

    Parameters
    ----------
    year
        this year by default
    format
        table, json (a list of objects) or csv
    """
    year = today(WallClock()).year if year is None else year
    load_kis_holidays(load_settings())
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise InputError(f"{year} is not a year")
    print_frame(sessions.calendar_year(year), format, f"KRX {year}")
    return 0
