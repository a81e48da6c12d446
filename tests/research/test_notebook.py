"""The notebook runs from top to bottom, on a day and on nothing."""

from __future__ import annotations

import altair as alt
import pytest

from pipelines.looking.reader import READER
from pipelines.research import sources
from pipelines.research.notebook import app


@pytest.fixture
def reading(filled: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(READER, filled)
    sources.database_url.cache_clear()
    yield filled
    sources.database_url.cache_clear()


def test_the_notebook_shows_every_picture(reading: str) -> None:
    outputs, defined = app.run()
    assert defined["url"] == reading
    pictures = [o for o in outputs if isinstance(o, alt.TopLevelMixin)]
    assert len(pictures) == 5  # coverage, day, smile, matrix, summary
    assert not any("⚠️" in str(getattr(output, "text", "")) for output in outputs)


async def test_on_an_empty_database_it_says_what_to_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READER, database_url)
    sources.database_url.cache_clear()
    outputs, _ = app.run()
    sources.database_url.cache_clear()
    assert any("just live" in str(getattr(output, "text", "")) for output in outputs)
