"""Frames as the commands print them with `--json`."""

from __future__ import annotations

from datetime import date
from typing import Any

import polars as pl


def json_rows(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as objects that `json` can write; dates and times as ISO 8601 text, KST."""
    return [
        {k: v.isoformat() if isinstance(v, date) else v for k, v in row.items()}
        for row in frame.iter_rows(named=True)
    ]
