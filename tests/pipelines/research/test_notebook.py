"""The notebook runs from top to bottom, on a day and on nothing."""

from __future__ import annotations

import altair as alt
import polars as pl
import pytest

from pipelines.reports.environment import READER_URL
from pipelines.research import sources
from pipelines.research.notebook import app
from tests.pipelines.conftest import DAY, FUTURE, HOLE


@pytest.fixture
def reading(filled: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(READER_URL, filled)
    sources.database_url.cache_clear()
    yield filled
    sources.database_url.cache_clear()


def test_the_notebook_shows_every_picture(reading: str) -> None:
    outputs, defined = app.run()
    assert defined["url"] == reading
    pictures = [o for o in outputs if isinstance(o, alt.TopLevelMixin)]
    assert len(pictures) == 6  # coverage, day, flows, smile, matrix, summary
    found = defined["checked"].findings
    assert defined["checked"].targets["session"].max() == DAY
    holes = found.filter(pl.col("check").str.contains("missing"), symbol=FUTURE)
    assert (holes["first_stamp"].item(), holes["bars"].item()) == (HOLE[0], 2)
    assert any(f"점검 결과 {found.height}건" in str(getattr(o, "text", "")) for o in outputs)
    assert not any("⚠️ the" in str(getattr(output, "text", "")) for output in outputs)


async def test_on_an_empty_database_it_says_what_to_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READER_URL, database_url)
    sources.database_url.cache_clear()
    outputs, _ = app.run()
    sources.database_url.cache_clear()
    assert any("just live" in str(getattr(output, "text", "")) for output in outputs)
