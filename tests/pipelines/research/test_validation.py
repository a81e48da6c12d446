"""Validation for readers, who write nothing."""

from __future__ import annotations

from datetime import date, datetime

import polars as pl
import pytest

from engine.clock import VirtualClock
from engine.errors import InputError
from engine.history.scan import query
from engine.store import Store
from pipelines.history.check_inputs import Part, check_relations
from pipelines.read_only import reader_url
from pipelines.reports.environment import READER_SIMULATED, READER_URL
from pipelines.research import sources, validation
from pipelines.texts import Texts
from tests.pipelines.conftest import DAY, FUTURE, HOLE

BOOKS = "SELECT (SELECT count(*) FROM gaps) + (SELECT count(*) FROM kept_sessions) AS n"


def test_a_reader_sees_what_the_checks_find_and_leaves_no_trace(filled: str) -> None:
    found = validation.check(reader_url(filled), DAY, 1, simulated=True)
    rows = found.readable().filter(pl.col("check").str.contains("missing")).rows(named=True)
    assert [(row["symbol"], row["minutes"], row["bars"]) for row in rows] == [
        ("A01612", f"{HOLE[0]:%H:%M}-{HOLE[1]:%H:%M}", 2)
    ]
    assert found.explanations().keys() == set(found.findings["check"])
    assert set(found.targets["session"]) == {DAY}
    korean = validation.in_words(found.readable(), Texts("ko"))
    assert korean.columns == ["", "검사", "종목", "거래일", "시각", "건수", "내용"]
    assert not korean.filter(pl.col("내용").str.contains("[a-z]{3,} [a-z]{3,}")).height
    assert korean.filter(pl.col("검사") == "missing")["내용"].to_list() == ["저장된 것이 없음"]
    assert validation.meanings(found, Texts("en")) == found.explanations()
    assert "누락 장부" in validation.meanings(found, Texts("ko"))["missing"]
    assert query(filled, BOOKS).item() == 0


@pytest.mark.parametrize(("hour", "judged"), [(12, []), (18, [DAY])])
async def test_signals_are_judged_once_their_session_is_over(
    hour: int, judged: list[date], filled: str
) -> None:
    """In a session that is on, the signal of the last bar may be on its way."""
    clock = VirtualClock(datetime(2026, 11, 16, hour))
    store = Store(filled, clock)
    yesterday = date(2026, 11, 13)
    targets = pl.DataFrame({"symbol": FUTURE, "session": [yesterday, *judged]})
    found = await check_relations(store, Part(targets, yesterday, DAY), clock, keep=False)
    await store.close()
    assert found["signals"]["session"].unique().to_list() == judged


def test_where_nothing_is_stored_it_says_so(database_url: str) -> None:
    with pytest.raises(InputError, match="nothing to validate"):
        validation.check(database_url, date(2026, 11, 3), simulated=False)


def test_a_simulation_beside_credentials_is_not_taken_for_real(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KRT_APP_KEY", "key")
    monkeypatch.setenv("KRT_APP_SECRET", "secret")
    assert sources.default_kind() == "live"
    monkeypatch.setenv(READER_URL, "postgresql://somewhere")
    monkeypatch.setenv(READER_SIMULATED, "1")
    assert sources.default_kind() == "simulation"
