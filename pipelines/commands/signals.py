"""`just signals`: when the strategies turned."""

from __future__ import annotations

from functools import partial

import polars as pl

from engine.clock import WallClock
from engine.history.listings import NAMES, learn_names
from engine.history.scan import query
from pipelines.commands.options import DatabaseOption, Day, Format, Symbols
from pipelines.databases import open_reader
from pipelines.evaluation.standing import read_session_signals
from pipelines.reports.signal_tables import NUMBERS, readable_signals
from pipelines.reports.standing import present_moment
from pipelines.reports.terminal import print_frame
from pipelines.texts import texts_for
from strategies.turns import turns


def signals(
    *,
    strategy: str | None = None,
    date: Day = None,
    symbol: Symbols = (),
    repeated: bool = False,
    format: Format = "table",  # noqa: A002
    database: DatabaseOption = None,
) -> int:
    """List the signals of a session at which a strategy turned, oldest first.

    A trade signal that repeats the one before it is left out, so each position is one line.

    Parameters
    ----------
    strategy
        its name; by default all of them
    date
        the session, or `today`; by default the newest that has signals
    symbol
        a code; by default all of them; may be repeated
    repeated
        also the trade signals that repeat the one before
    format
        table, json or csv
    """
    with open_reader(database) as opened:
        ask = partial(query, opened.url)
        learn_names(ask(NAMES))
        names = texts_for(opened.settings.language).name_of
        now = present_moment(ask, WallClock(), simulated=opened.kind == "simulation")
        day, given = read_session_signals(ask, now, strategy, date, symbol)
    parts = [
        (rows.filter(pl.col("trade_signal") != 0) if repeated else turns(rows)).select(
            "timestamp", pl.lit(name).alias("strategy"), "symbol", "trade_signal", "close", "reason"
        )
        for name, rows in given.items()
    ]
    found = pl.concat(parts).sort("timestamp", "strategy", "symbol")
    what = "trade signals" if repeated else "turns"
    title = f"{day}: {found.height:,} {what}"
    shown = readable_signals(found) if format == "table" else found
    print_frame(shown, format, title, names=names, numbers=NUMBERS)
    return 0
