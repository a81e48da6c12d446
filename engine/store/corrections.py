"""What a merge corrected, logged in one line for each session instead of each bar."""

from __future__ import annotations

import logging
from datetime import datetime

from engine.store.connection import Cursor, fetch_frame
from engine.store.identifiers import literal
from engine.store.tables import BAR_TABLES, Table
from engine.text import counted

log = logging.getLogger(__name__)


def log_corrections(cursor: Cursor, table: Table, now: datetime) -> None:
    """Log the sessions that the merge at `now` corrected, and which of them are adjustments."""
    if table.name not in BAR_TABLES:
        return
    found = fetch_frame(
        cursor,
        "SELECT symbol, session, bars, kind, factor FROM corrections"
        f" WHERE table_name = {literal(table.name)} AND replaced_at = {literal(now)}"
        " ORDER BY symbol, session",
    )
    for symbol, session, bars, kind, factor in found.iter_rows():
        changed = counted(bars, "bar")
        if kind == "adjustment":
            log.warning(
                "⚠️ %s %s: adjustment for a corporate action, %d bars × %.6g",
                symbol,
                session,
                bars,
                factor,
            )
        elif kind == "feed":
            log.warning("⚠️ %s %s: REST replaced %s of the feed", symbol, session, changed)
        elif kind == "file":
            log.warning("⚠️ %s %s: of a file replaced: %s", symbol, session, changed)
        else:
            log.warning("⚠️ %s %s: KIS corrected %s", symbol, session, changed)
