"""The database with a short day in it, as researchers' functions find it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipelines.reports.environment import READER_URL
from pipelines.research import sources


@pytest.fixture
def reading(filled: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the database that `scan` reads, by its environment variable."""
    monkeypatch.setenv(READER_URL, filled)
    sources.database_url.cache_clear()
    yield filled
    sources.database_url.cache_clear()
