"""KIS's holidays, page by page and once a day; its list of maturities."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from engine.kis.holidays import learn_opening_days, load_kis_days, opening_days, store_kis_days
from engine.market.trading_days import is_trading_day, learn_closed_days
from tests.engine.kis.stub_kis import ReceivedRequest, StubKis, StubReply, fine, open_client

START = date(2026, 11, 20)
CLOSED = {date(2026, 12, 25), date(2026, 12, 31), date(2027, 1, 1)}


@pytest.fixture(autouse=True)
def built_in_calendar() -> Iterator[None]:
    """Remove the days that the test taught the calendar."""
    yield
    learn_closed_days({})


def is_open(day: date) -> bool:
    return day.weekday() < 5 and day not in CLOSED


def pages(asked: ReceivedRequest) -> StubReply:
    """Answer 24 days a page; the key of the next page is the last day, padded with spaces."""
    key = asked.query["CTX_AREA_NK"]
    assert not key or (len(key) == 20 and asked.query["CTX_AREA_FK"] == "20261120".ljust(20))
    first = date.fromisoformat(key.strip()) + timedelta(1) if key else START
    days = [first + timedelta(n) for n in range(24)]
    rows = [{"bass_dt": f"{day:%Y%m%d}", "opnd_yn": "NY"[is_open(day)]} for day in days]
    return fine(
        output=rows, ctx_area_nk=f"{days[-1]:%Y%m%d}".ljust(20), ctx_area_fk="20261120".ljust(20)
    )


async def test_pages_are_followed_until_the_day_wanted(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = pages
    async with open_client(kis, tmp_path) as client:
        days = await opening_days(client, START, date(2027, 1, 5))
    assert days == {day: is_open(day) for day in (START + timedelta(n) for n in range(47))}
    assert len(kis.asked) == 2


async def test_a_key_that_leads_to_no_new_page_ends_the_paging(
    kis: StubKis, tmp_path: Path
) -> None:
    rows = [{"bass_dt": "20261120", "opnd_yn": "Y"}]
    kis.answer = lambda _asked: fine(output=rows, ctx_area_nk="again", ctx_area_fk="again")
    async with open_client(kis, tmp_path) as client:
        assert await opening_days(client, START, date(2027, 1, 5)) == {START: True}
    assert len(kis.asked) == 2


async def test_days_that_cannot_be_read_are_left_out(kis: StubKis, tmp_path: Path) -> None:
    rows = [
        {"bass_dt": "20261120", "opnd_yn": "Y"},
        {"bass_dt": "2026-11-21", "opnd_yn": "Y"},
        {"bass_dt": "20261122", "opnd_yn": ""},
        None,
        {"bass_dt": "20261123", "opnd_yn": "N "},
    ]
    kis.answer = lambda _asked: fine(output=rows, ctx_area_nk=" " * 20)
    async with open_client(kis, tmp_path) as client:
        days = await opening_days(client, START, date(2027, 1, 5))
    assert days == {date(2026, 11, 20): True, date(2026, 11, 23): False}


async def test_kis_is_asked_once_a_day_even_when_it_fails(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = pages
    file = tmp_path / "kis_days.json"
    async with open_client(kis, tmp_path / "state") as client:
        asked = [await learn_opening_days(client, file) for _ in range(3)]
        await kis.clock.sleep(86_400)
        asked.append(await learn_opening_days(client, file))
    assert asked == [True, False, False, True]
    assert '"2026-12-25": false' in file.read_text()


async def test_the_days_of_kis_are_known_after_a_restart(kis: StubKis, tmp_path: Path) -> None:
    file, declared = tmp_path / "kis_days.json", date(2026, 12, 2)
    rows = [{"bass_dt": f"{declared:%Y%m%d}", "opnd_yn": "N"}]
    kis.answer = lambda _asked: fine(output=rows, ctx_area_nk=" " * 20)
    async with open_client(kis, tmp_path / "state") as client:
        await learn_opening_days(client, file)
        learn_closed_days({})  # as a process that has just started
        assert is_trading_day(declared)
        assert not await learn_opening_days(client, file)
    assert not is_trading_day(declared)


def test_kis_days_add_up_over_several_answers_and_a_later_one_wins(tmp_path: Path) -> None:
    path = tmp_path / "kis.json"
    store_kis_days(path, {date(2026, 11, 24): False, date(2026, 11, 25): False})
    store_kis_days(path, {date(2026, 11, 25): True})
    assert load_kis_days(path) == [date(2026, 11, 24)]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"soon": true}', '{"2026-11-24": "Y"}', "\xff"])
def test_an_unreadable_file_of_kis_days_is_logged_and_replaced(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "kis.json"
    path.write_bytes(text.encode("latin-1"))
    assert load_kis_days(path) == []
    assert "kis.json cannot be read" in caplog.text
    store_kis_days(path, {date(2026, 11, 24): False})
    assert load_kis_days(path) == [date(2026, 11, 24)]
