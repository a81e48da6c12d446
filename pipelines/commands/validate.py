"""`just validate`: is the stored history whole?"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from engine.errors import InputError
from engine.store import Store
from engine.store.export import copies
from pipelines.commands.options import (
    BarTimesOption,
    DatabaseOption,
    End,
    RecordedFile,
    Start,
    Symbols,
    require_file,
)
from pipelines.history import repair
from pipelines.history import validate as checking
from pipelines.history.job import HistoryJob
from pipelines.history.request import BackfillContext
from pipelines.reports.history_tables import print_findings
from pipelines.reports.terminal import progress_bar


def validate(
    *,
    start: Start = None,
    end: End = None,
    symbol: Symbols = (),
    format: Literal["table", "json"] = "table",  # noqa: A002
    fix: bool = False,
    export: Path | None = None,
    recorded: RecordedFile = None,
    bar_times: BarTimesOption = None,
    database: DatabaseOption = None,
) -> int:
    """Check the stored history with DuckDB: 0 whole, 1 findings, 2 could not run.

    Parameters
    ----------
    start
        the first date; by default the first that is stored
    end
        the last date; by default the last that is stored
    symbol
        a code, a product or a chain; by default all that are stored; may be repeated
    format
        table or json
    fix
        ask KIS again about what was found, mend it, and validate once more
    export
        a folder that `just export` wrote; where it is current, bars are read from there; not with
        --fix, which reads what it mends
    """
    if fix and export:
        raise InputError("--export is for looking: --fix reads what it mends, the database")
    if export and not export.is_dir():
        raise InputError(
            f"--export {export} is not a folder; `just export --to {export}` writes one"
        )
    require_file("--recorded", recorded, bar_times)
    job = HistoryJob(recorded, database, symbol, collects=fix, bar_times=bar_times)

    async def check(store: Store) -> int:
        exported = await copies(store, export) if export else None
        with progress_bar("sessions") as on_session:
            found = await checking.validate(
                store,
                store.clock,
                list(symbol),
                start,
                end,
                copies=exported,
                on_checked=on_session,
            )
        print_findings(found, as_json=format == "json")
        return found.exit_code

    async def mend(context: BackfillContext) -> int:
        with progress_bar("sessions") as on_progress:
            fixed = await repair.validate_and_fix(
                context,
                list(symbol),
                start,
                end,
                on_checked=on_progress,
                on_fetched=on_progress,
            )
        print_findings(fixed.after, as_json=format == "json")
        return fixed.exit_code

    return job.collect(mend) if fix else job.read(check)
