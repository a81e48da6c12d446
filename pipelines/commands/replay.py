"""`just replay`: the signals of history once more, compared with those that were given."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipelines.commands.options import DatabaseOption, End, ParamTexts, Start, Symbols
from pipelines.console import PlainConsole
from pipelines.databases import open_database, open_reader, run_with_store
from pipelines.evaluation.backtest import parse_params
from pipelines.evaluation.replay import replay_signals, store_signals
from pipelines.reports.evaluation_tables import print_replay
from strategies.registry import strategy_named


def replay(
    *,
    strategy: str = "dolpha1",
    symbol: Symbols = (),
    param: ParamTexts = (),
    start: Start = None,
    end: End = None,
    store: bool = False,
    lake: Path | None = None,
    ray: str | None = None,
    json: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Compute signals again over stored bars and compare them with those that are stored.

    Sessions that have signals are compared. With --from and --to so are those in between in which a
    stock has bars or a contract was in front; with --symbol as well, all in between that have bars.
    So --store can add signals that were never given. Ends with 1 if any differ.

    Parameters
    ----------
    strategy
        its name
    symbol
        a code; by default every symbol that has signals
    param
        a parameter of the strategy, name=value; may be repeated
    start
        the first session; by default the first that has signals
    end
        the last session; by default the last that has signals
    store
        store the rows that are missing or differ; what was given before is kept
    lake
        folder that `just export` wrote, whose bars are taken instead of the database's; with --ray
    ray
        address of a Ray cluster whose workers compute some symbols each: auto, local …
    json
        print one JSON object for each difference
    """
    chosen = strategy_named(strategy)
    params = parse_params(chosen.params, param)
    with open_database(database) if store else open_reader(database) as opened:
        result = replay_signals(
            opened.url,
            chosen,
            params,
            symbols=symbol,
            start=start,
            end=end,
            lake=lake,
            ray=ray,
        )
        if store:
            job = partial(store_signals, strategy=chosen, computed=result.computed)
            counts = run_with_store(opened.url, job, component="replay")
            PlainConsole(stderr=True).print(
                f"✅ {counts.inserted} rows added, {counts.changed} corrected"
            )
    print_replay(result, chosen.name, as_json=json)
    return 0 if result.is_clean else 1
