"""A study's picture, with its title."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from engine.errors import InputError
from pipelines.evaluation.studies import Study
from pipelines.reports.charts.study import study_chart
from pipelines.reports.charts.style import save, with_title

_TITLES = {
    "gamma": "감마 익스포저의 부호와 다음 1시간",
    "premium": "스트래들 프리미엄과 실현된 이동",
}


def save_study(study: Study, out: Path, source: str) -> None:
    """Write the picture. Raises InputError if there is no sample to draw."""
    if study.samples.is_empty():
        raise InputError(f"there is nothing to draw: {study.conclusion}")
    first, last, count = study.samples.select(
        first=pl.col("session").min(),
        last=pl.col("session").max(),
        count=pl.col("session").n_unique(),
    ).row(0)
    picture = with_title(
        study_chart(study.table),
        _TITLES[study.name],
        f"{first} ~ {last}, {count}개 세션 · 점: 평균, 막대: 95% 신뢰구간"
        " (세션 단위 부트스트랩) · 거래비용 제외",
        source,
    )
    save(picture, out)
