"""`just plot`: pictures for reports, without a browser and without a network."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine.clock import WallClock
from engine.history.scan import query
from engine.log import setup_logging
from pipelines.commands.options import DatabaseOption, Day, OpenOption, time_of_day
from pipelines.databases import open_reader
from pipelines.reports.charts.style import save
from pipelines.reports.pictures import COVERAGE_SESSIONS, Choice, What, draw
from pipelines.reports.screen import has_screen, open_file
from pipelines.reports.standing import present_moment
from pipelines.texts import texts_for
from strategies.registry import DEFAULT_STRATEGY

log = logging.getLogger(__name__)


def plot(
    what: What,
    /,
    *,
    out: Path,
    date: Day = None,
    symbol: str | None = None,
    strategy: str = DEFAULT_STRATEGY,
    series: str = "KOSPI200",
    metric: str = "iv",
    minute: str | None = None,
    sessions: int = COVERAGE_SESSIONS,
    open: OpenOption = None,  # noqa: A002
    database: DatabaseOption = None,
) -> int:
    """Draw a picture of what is stored: a day, a smile, a matrix, or which sessions there are.

    Parameters
    ----------
    what
        day (bars, bands, signals), smile (and term structure), matrix (a metric through the day),
        summary (maximum pain, gamma exposure), flows (price against investors' flows, open
        interest, basis), coverage (symbols and sessions), or of options (docs/options.md) surface
        (smiles over their quotes), exposure (gamma by strike), term (term structure, volatility
        index), flow (who buys, open interest by strike), volatility (implied and realised)
    out
        the picture; its name ends in .png or .svg
    date
        the session; the newest one by default
    symbol
        of day, flows and volatility: a code, or a product (its front month); A01 by default
    strategy
        of day: whose bands and signals are drawn
    series
        of what shows options: KOSPI200, MINI_KOSPI200, KOSDAQ150 …
    metric
        of matrix: iv, delta, price, volume, model_iv …
    minute
        of smile, surface, exposure and term: HH:MM, the day's last by default
    sessions
        of coverage and volatility: how many, up to the date
    """
    setup_logging()
    at = time_of_day("--minute", minute) if minute else None
    choice = Choice(date, symbol, series, metric, at, sessions, strategy=strategy)
    with open_reader(database) as opened:
        now = present_moment(
            partial(query, opened.url), WallClock(), simulated=opened.kind == "simulation"
        )
        choice = replace(choice, now=now)
        t = texts_for(opened.settings.language)
        picture = draw(opened.url, what, choice, t, opened.kind)
    save(picture, out)
    log.info("✅ %s", out)
    if has_screen() if open is None else open:
        open_file(out)
    return 0
