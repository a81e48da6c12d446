"""The notebook runs from top to bottom, on a day and on nothing."""

from __future__ import annotations

import re
from datetime import date, datetime

import altair as alt
import polars as pl
import pytest

from engine import schemas
from engine.store import Store
from pipelines.commands.research import NOTEBOOK
from pipelines.reports import queries
from pipelines.reports.environment import READER_URL
from pipelines.research import sources
from pipelines.research.notebook import app
from tests.pipelines.conftest import DAY, FUTURE, HOLE


def test_the_notebook_shows_every_picture(reading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRT_LANGUAGE", "ko")
    outputs, defined = app.run()
    assert defined["url"] == reading
    pictures = [o for o in outputs if isinstance(o, alt.TopLevelMixin)]
    assert len(pictures) == 6  # coverage, day, flows, smile, matrix, summary
    sharp_at_any_width = {"embedOptions": {"renderer": "svg"}}
    assert all(picture.usermeta == sharp_at_any_width for picture in pictures)
    found = defined["checked"].findings
    assert defined["checked"].targets["session"].max() == DAY
    holes = found.filter(pl.col("check").str.contains("missing"), symbol=FUTURE)
    assert (holes["first_stamp"].item(), holes["bars"].item()) == (HOLE[0], 2)
    said = "\n".join(str(getattr(output, "text", "")) for output in outputs)
    assert f"점검 결과 {found.height}건" in said
    assert "누락 장부에 사유도 없음" in said  # what a check looks for
    assert "neither stored nor explained" not in said
    assert defined["pick_day"].value == DAY
    assert not any("⚠️ the" in str(getattr(output, "text", "")) for output in outputs)


def test_in_english_no_korean_is_left(reading: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KRT_LANGUAGE", "en")
    outputs, _ = app.run()
    for output in outputs:
        picture = isinstance(output, alt.TopLevelMixin)
        shown = output.to_json(ensure_ascii=False) if picture else str(getattr(output, "text", ""))
        shown = re.sub(r"<style.*?</style>", "", shown, flags=re.DOTALL)
        assert not re.search("[가-힣]", shown.replace("삼성전자", "")), shown[:300]


def test_what_is_code_is_hidden_and_the_first_thing_shown_is_a_chart(reading: str) -> None:
    cells = NOTEBOOK.read_text("utf-8").split("@app.cell")[1:]
    assert [cell.startswith("(hide_code=True)") for cell in cells] == [True] * (len(cells) - 1) + [
        False
    ]  # the last one is the example to change
    outputs, _ = app.run()
    shown = [o for o in outputs if o is not None and "<style" not in str(getattr(o, "text", ""))]
    assert "krt-controls" in shown[0].text
    assert isinstance(shown[1], alt.TopLevelMixin)


async def test_the_day_is_the_newest_with_options(store: Store, database_url: str) -> None:
    """After `just backfill` there are bars of a day of whose options nothing is known."""
    rows = {"timestamp": datetime(2026, 11, 13, 10), "underlying_symbol": "202612_KOSPI200"}
    known = pl.DataFrame([rows]).with_columns(
        pl.lit(None).alias(name) for name in schemas.OPTION_SUMMARY.names if name not in rows
    )
    with_time = known.with_columns(fetched_at=pl.lit(datetime(2026, 11, 13, 10)))
    bar = dict.fromkeys(("open", "high", "low", "close"), 1050.0) | {"volume": 1}
    bars = pl.DataFrame([{"timestamp": datetime(2026, 11, 16, 10), "symbol": FUTURE, **bar}])
    of_rest = bars.with_columns(fetched_at=pl.col("timestamp"), source=pl.lit(schemas.REST))
    await store.merge("futures_1m", schemas.conform(of_rest, schemas.FUTURES_BARS))
    assert queries.newest_whole_day(database_url) == date(2026, 11, 16)
    await store.merge("option_summary", schemas.conform(with_time, schemas.OPTION_SUMMARY))
    assert queries.newest_day(database_url) == date(2026, 11, 16)
    assert queries.newest_whole_day(database_url) == date(2026, 11, 13)


async def test_on_an_empty_database_it_says_what_to_do(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(READER_URL, database_url)
    sources.database_url.cache_clear()
    outputs, _ = app.run()
    sources.database_url.cache_clear()
    assert any("just live" in str(getattr(output, "text", "")) for output in outputs)
