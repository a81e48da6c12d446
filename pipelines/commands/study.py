"""`just study`: does gamma exposure, does the price of a straddle say anything?"""

from __future__ import annotations

import json as json_text
import logging
import sys
from pathlib import Path
from typing import Literal

import polars as pl

from engine.errors import InputError
from engine.history.front import front_series
from engine.history.scan import scan
from engine.log import setup_logging
from engine.market.symbols import FrontMonth, parse
from engine.schemas import ALL_MATURITIES
from pipelines.commands.options import DatabaseOption, FirstSession, LastSession, OpenOption
from pipelines.databases import open_reader
from pipelines.evaluation.studies import Study, gamma_study, premium_study
from pipelines.reports.evaluation_tables import print_study
from pipelines.reports.screen import has_screen, open_file
from pipelines.reports.study import save_study
from pipelines.texts import texts_for

log = logging.getLogger(__name__)

_STUDIES = {"gamma": gamma_study, "premium": premium_study}


def study(
    what: Literal["gamma", "premium"],
    /,
    *,
    out: Path | None = None,
    symbol: str = "A01",
    start: FirstSession = None,
    end: LastSession = None,
    json: bool = False,
    open: OpenOption = None,  # noqa: A002
    database: DatabaseOption = None,
) -> int:
    """Test on the stored sessions whether figures read off options say anything of what follows.

    Parameters
    ----------
    what
        gamma: range and reversal of the next hour by the sign of gamma exposure; premium: the
        straddle's price until the close against the move (docs/options.md)
    out
        a picture of it; its name ends in .png or .svg
    symbol
        a futures product, whose front month is meant
    json
        print the table as JSON
    """
    setup_logging()
    front = parse(symbol)
    if not isinstance(front, FrontMonth):
        raise InputError(f"{symbol!r} is not a futures product, such as A01")
    with open_reader(database) as opened:
        found = _study(opened.url, what, front, start, end)
        kind, t = opened.kind, texts_for(opened.settings.language)
    if json:
        report = {"study": what, "conclusion": found.conclusion, "table": found.table.to_dicts()}
        sys.stdout.write(json_text.dumps(report) + "\n")
    else:
        print_study(found)
    if out:
        save_study(found, out, t, kind)
        log.info("✅ %s", out)
        if has_screen() if open is None else open:
            open_file(out)
    return 0


def _study(url: str, what: str, front: FrontMonth, start: FirstSession, end: LastSession) -> Study:
    day = pl.col("timestamp").dt.date()
    wanted = [day >= start] if start else []
    wanted += [day <= end] if end else []
    whole = f"{ALL_MATURITIES}{front.product.underlying}"
    columns = ("timestamp", "gamma_exposure", "expected_move_close")
    surface = scan("option_surface", url).filter(pl.col("underlying_symbol") == whole, *wanted)
    bars = scan(front.table, url).filter(*wanted) if wanted else scan(front.table, url)
    series = front_series(bars.collect().lazy(), front.code)
    return _STUDIES[what](series, surface.select(columns).collect().lazy())
