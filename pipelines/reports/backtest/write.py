"""Write the report of a backtest into a folder."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.errors import InputError
from engine.files import write_atomically
from pipelines.reports.backtest.page import page
from pipelines.reports.backtest.picture import picture
from pipelines.reports.backtest.subject import Subject
from pipelines.reports.charts.style import save
from pipelines.reports.evaluation_tables import without_noise
from pipelines.texts import Texts

log = logging.getLogger(__name__)


def write_report(t: Texts, subject: Subject, folder: Path) -> list[Path]:
    """Write report.html, report.png, trades.csv, daily.csv, equity.csv; log and return the files.

    equity.csv is the equity curve by bar. Raises InputError for a folder that cannot be written to.
    """
    files = [folder / f"report.{kind}" for kind in ("html", "png")]
    files += [folder / f"{table}.csv" for table in ("trades", "daily", "equity")]
    html, png, *tables = files
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(html, page(t, subject).encode())
        for file in tables:
            write_atomically(file, _csv(subject, file.stem))
    except OSError as error:
        raise InputError(f"{folder} cannot be written to: {error.strerror or error}") from None
    save(picture(t, subject), png)
    for file in files:
        log.info("✅ %s", file)
    return files


def _csv(subject: Subject, table: str) -> bytes:
    return without_noise(getattr(subject.result, table)).write_csv().encode()
