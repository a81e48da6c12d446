"""A study's picture, with its title."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from engine.errors import InputError
from engine.settings import DataKind
from pipelines.evaluation.studies import Study
from pipelines.reports.charts.study import study_chart
from pipelines.reports.charts.style import credit, save, with_title
from pipelines.texts import Texts


def save_study(study: Study, out: Path, t: Texts, kind: DataKind) -> None:
    """Write the picture. Raises InputError if there is no sample to draw."""
    if study.samples.is_empty():
        raise InputError(f"there is nothing to draw: {study.conclusion}")
    first, last, count = study.samples.select(
        first=pl.col("session").min(),
        last=pl.col("session").max(),
        count=pl.col("session").n_unique(),
    ).row(0)
    picture = with_title(
        study_chart(study.table, t),
        t(f"study_{study.name}"),
        t("study_note", first=first, last=last, count=count),
        credit(t, kind),
    )
    save(picture, out)
