"""`just import`: the bars of a file become part of the history."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from engine.log import setup_logging
from engine.settings import load_settings
from pipelines.commands.options import BarTimesOption, DatabaseOption
from pipelines.databases import open_database, run_with_store
from pipelines.history.importing import import_bars
from pipelines.reports.history_tables import print_import
from pipelines.reports.terminal import progress_bar


def import_(
    file: Path,
    *,
    bar_times: BarTimesOption = None,
    json: bool = False,
    database: DatabaseOption = None,
) -> int:
    """Store the bars of a file; bars that KIS gave stay as they are. May be repeated at any time.

    Ends with 1 if rows were refused: they are in `rejected_rows`, each with its reason.

    Parameters
    ----------
    file
        bars with symbol, timestamp, open, high, low, close, volume (Parquet, CSV)
    json
        print the outcome as one JSON object
    """
    settings = load_settings()
    setup_logging(level=settings.log_level, secrets=settings.secrets())
    with (
        open_database(database, settings=settings, collects=True) as opened,
        progress_bar("bars") as on_stored,
    ):
        job = partial(import_bars, path=file, times=bar_times, on_stored=on_stored)
        report = run_with_store(opened.url, job, component="import")
    print_import(report, as_json=json)
    return 1 if report.refused else 0
