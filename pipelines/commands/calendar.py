"""`just calendar`: the sessions of a year."""

from __future__ import annotations

import datetime as dt

import polars as pl

from engine.clock import WallClock, today
from engine.errors import InputError
from engine.market import sessions
from engine.settings import load_settings
from pipelines.commands.options import Format
from pipelines.databases import load_kis_holidays
from pipelines.reports.terminal import print_frame


def calendar(
    year: int | None = None,
    *,
    unusual: bool = False,
    coming: bool = False,
    format: Format = "table",  # noqa: A002
) -> int:
    """Show the day sessions of a year: hours, closed days, what is not ordinary about a day.

    Night sessions have no rows of their own; an evening on which none begins has a note.

    Parameters
    ----------
    year
        this year by default
    unusual
        only the days that are not ordinary: closed, other hours, a last trading day
    coming
        only from today on
    format
        table, json (a list of objects) or csv
    """
    year = today(WallClock()).year if year is None else year
    load_kis_holidays(load_settings())
    if not dt.MINYEAR <= year <= dt.MAXYEAR:
        raise InputError(f"{year} is not a year")
    days = sessions.calendar_year(year)
    if unusual:
        days = days.filter(pl.col("note").is_not_null())
    if coming:
        days = days.filter(pl.col("date") >= today(WallClock()))
    print_frame(days, format, f"KRX {year}")
    return 0
