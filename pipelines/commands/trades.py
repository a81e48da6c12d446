"""`just trades`: what the signals of a session would have traded and earned."""

from __future__ import annotations

from functools import partial
from typing import Literal

import polars as pl

from engine.clock import WallClock
from engine.history.listings import NAMES, learn_names
from engine.history.scan import query
from pipelines.commands.options import DatabaseOption, Day, Format, Symbols
from pipelines.databases import open_reader
from pipelines.evaluation.backtest import validate_model
from pipelines.evaluation.standing import read_positions, read_session_signals
from pipelines.reports.signal_tables import NUMBERS, readable_trades
from pipelines.reports.standing import present_moment
from pipelines.reports.terminal import print_frame
from pipelines.texts import texts_for
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.standing import trades_so_far
from strategies.registry import strategy_named


def trades(
    *,
    strategy: str | None = None,
    date: Day = None,
    symbol: Symbols = (),
    exit: Literal["opposite", "inside"] = "opposite",  # noqa: A002
    contracts: int = 1,
    commission: float = 0.25,
    slippage: float = 1.0,
    format: Format = "table",  # noqa: A002
    database: DatabaseOption = None,
) -> int:
    """List the trades that the stored signals of a session make, by the rules of `just backtest`.

    A signal is filled at the open of the next bar; amounts are KRW after costs. A position that is
    not left yet is `open`, valued at the last close. No orders are placed.

    Parameters
    ----------
    strategy
        its name; by default all of them
    date
        the session, or `today`; by default the newest that has signals
    symbol
        a code; by default all of them; may be repeated
    exit
        leave a position at the opposite signal only, or also when back inside the bands
    contracts
        contracts (or shares) of a position
    commission
        ticks for each contract and side
    slippage
        ticks for each contract and side
    format
        table, json or csv
    """
    rules = validate_model(
        BacktestRules,
        {
            "exit": exit,
            "contracts": contracts,
            "commission_ticks": commission,
            "slippage_ticks": slippage,
        },
    )
    with open_reader(database) as opened:
        ask = partial(query, opened.url)
        learn_names(ask(NAMES))
        names = texts_for(opened.settings.language).name_of
        now = present_moment(ask, WallClock(), simulated=opened.kind == "simulation")
        day, given = read_session_signals(ask, now, strategy, date, symbol)
        positions = {
            name: read_positions(ask, rows, strategy_named(name), now, rules)
            for name, rows in given.items()
        }
    found = pl.concat(
        trades_so_far(rows, rules).select(
            pl.lit(name).alias("strategy"), pl.exclude("session", "gross", "cost")
        )
        for name, rows in positions.items()
    ).sort("entered", "strategy", "symbol")
    net = found["net"].sum()
    title = f"{day}: {found.height:,} trades, net {net:+,.0f} KRW after costs"
    shown = readable_trades(found) if format == "table" else found
    print_frame(shown, format, title, names=names, numbers=NUMBERS)
    return 0
