"""Alerts: each is sent once, none delays the collecting, and no secret is shown."""

from __future__ import annotations

import asyncio
import logging
import threading
from datetime import date, datetime, timedelta

import polars as pl
import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from engine.clock import VirtualClock, WallClock
from engine.errors import InputError
from engine.market import names
from engine.settings import load_settings
from pipelines.day.alerts import (
    QUEUE_SIZE,
    Contact,
    Event,
    SignalNews,
    open_alerts,
    stopped_component,
    trouble_begun,
    unfillable_gap,
)
from pipelines.day.live import contact_of
from pipelines.day.machine import CERTIFICATE, CLOCK, DISK
from pipelines.texts import Texts

KO, EN = Texts("ko"), Texts("en")
NOON = datetime(2026, 11, 20, 12, 0)


def address(server: HTTPServer) -> SecretStr:
    return SecretStr(f"json://user:very-secret@{server.host}:{server.port}/hook")


def event(number: int = 0) -> Event:
    return Event(("test", number), f"title {number}", "body")


async def test_each_event_is_told_once_to_each_service(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")
    gap = unfillable_gap(EN, "A01612", date(2026, 11, 20), NOON, "KIS keeps a year")
    async with open_alerts(Contact([address(httpserver)] * 2), WallClock()) as alerts:
        for _ in range(3):
            alerts.tell(gap)
            alerts.tell(stopped_component(EN, "collector", NOON, "KisRefused"))
    said = [request.get_json()["title"] for request, _ in httpserver.log]
    assert said == [gap.title] * 2 + ["❌ collector stopped"] * 2


async def test_what_was_told_just_before_a_crash_is_sent(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/hook").respond_with_data("")

    async def crash() -> None:
        async with open_alerts(Contact([address(httpserver)]), WallClock()) as alerts:
            alerts.tell(stopped_component(EN, "collector", NOON, "a crash"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await crash()
    assert len(httpserver.log) == 1


async def test_telling_never_waits_for_a_slow_service_and_a_flood_is_logged(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    answer_now = threading.Event()

    def slow(_: Request) -> Response:
        answer_now.wait(5)
        return Response("")

    httpserver.expect_request("/hook").respond_with_handler(slow)
    async with open_alerts(Contact([address(httpserver)]), WallClock()) as alerts:
        alerts.tell(event(0))
        await asyncio.wait_for(WallClock().sleep(0.05), 1)  # the first one is under way
        for number in range(1, QUEUE_SIZE + 6):
            alerts.tell(event(number))
        assert sum("alert lost" in r.message for r in caplog.records) == 5
        answer_now.set()
    assert len(httpserver.log) == QUEUE_SIZE + 1


async def test_a_service_that_fails_is_named_without_its_secrets(
    httpserver: HTTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    httpserver.expect_request("/hook").respond_with_data("no", status=500)
    async with open_alerts(Contact([address(httpserver)]), WallClock()) as alerts:
        alerts.tell(event())
    assert any("alert not sent to JSON" in r.message for r in caplog.records)
    assert "very-secret" not in caplog.text


async def test_an_unknown_address_is_refused_without_being_shown() -> None:
    with pytest.raises(InputError, match="does not know address 2") as caught:
        async with open_alerts(
            Contact([SecretStr("json://localhost"), SecretStr("pw-in://x")]), WallClock()
        ):
            pass
    assert "pw-in" not in str(caught.value)


async def test_without_addresses_nothing_waits_and_nothing_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_alerts(Contact([]), VirtualClock(NOON)) as alerts:
        for number in range(2 * QUEUE_SIZE):
            alerts.tell(event(number))
    assert not caplog.records


def rows(*signals: int, start: datetime = NOON, minutes: int = 5) -> pl.DataFrame:
    n = len(signals)
    stamps = [start + timedelta(minutes=minutes * i) for i in range(n)]
    return pl.DataFrame(
        {
            "timestamp": pl.Series(stamps, dtype=pl.Datetime("us")),
            "symbol": ["A01612"] * n,
            "close": [400.05] * n,
            "trade_signal": signals,
            "reason": ["band_cross_up"] * n,
            "ub": [399.0] * n,
            "lb": [390.0] * n,
        }
    )


def news(given: pl.DataFrame, *, now: datetime, watcher: SignalNews | None = None) -> list[str]:
    found = watcher or SignalNews(VirtualClock(now), EN)
    return [event.title for event in found.events("dolpha1", given)]


def test_a_signal_that_goes_on_is_news_once_and_a_turn_is_news_again() -> None:
    watcher = SignalNews(VirtualClock(NOON), EN)
    given = rows(0, 1, 1, 0, 1, -1, -1, 1, minutes=1)
    sides = [
        title.rpartition(": ")[2]
        for row in given.iter_slices(1)
        for title in news(row, now=NOON, watcher=watcher)
    ]
    assert sides == ["LONG at 400.05", "SHORT at 400.05", "LONG at 400.05"]
    assert news(given, now=NOON, watcher=watcher) == []  # corrected and computed again: no news


def test_signals_of_the_past_are_no_news_but_known() -> None:
    """After a restart the window gives the whole day again."""
    watcher = SignalNews(VirtualClock(NOON), EN)
    morning = rows(1, 1, start=NOON - timedelta(hours=2))
    assert news(morning, now=NOON, watcher=watcher) == []
    assert news(rows(1), now=NOON, watcher=watcher) == []
    assert len(news(rows(-1, start=NOON + timedelta(minutes=5)), now=NOON, watcher=watcher)) == 1


def test_each_day_begins_anew() -> None:
    watcher = SignalNews(VirtualClock(NOON), EN)
    assert news(rows(1, start=NOON - timedelta(days=1)), now=NOON, watcher=watcher) == []
    assert len(news(rows(1), now=NOON, watcher=watcher)) == 1


async def test_a_turn_that_comes_late_is_told_while_it_stands() -> None:
    """KIS or the database was away, or the machine slept: nobody else has told it."""
    clock = VirtualClock(NOON)
    watcher = SignalNews(clock, EN)
    assert len(watcher.events("dolpha1", rows(1))) == 1
    await clock.sleep(1800)
    late = rows(-1, 1, -1, -1, start=NOON + timedelta(minutes=5))
    (told,) = watcher.events("dolpha1", late)
    assert "SHORT" in told.title
    assert "12:15" in told.body, "the last turn, when it was"
    assert watcher.events("dolpha1", late) == []


def test_a_position_that_goes_on_over_midnight_is_no_news() -> None:
    night = rows(1, 1, 1, start=NOON.replace(hour=23, minute=55)).with_columns(
        symbol=pl.lit("A01612_NIGHT")
    )
    assert len(news(night, now=NOON + timedelta(hours=11, minutes=50))) == 1


def test_each_night_begins_anew() -> None:
    watcher = SignalNews(VirtualClock(NOON), EN)
    nights = [
        rows(1, start=NOON + timedelta(days=day, hours=13)).with_columns(
            symbol=pl.lit("A01612_NIGHT")
        )
        for day in (0, 1)
    ]
    assert [len(news(night, now=NOON, watcher=watcher)) for night in nights] == [1, 1]


def test_without_bands_the_message_says_so() -> None:
    bare = rows(1).with_columns(ub=None, lb=None)
    assert "no bands" in SignalNews(VirtualClock(NOON), EN).events("x", bare)[0].body


@pytest.mark.parametrize(
    ("bands", "told"),
    [
        ({"ub": None}, "lower band 390.00"),
        ({"lb": None}, "upper band 399.00"),
        ({}, "bands 390.00 to 399.00"),
    ],
)
def test_a_strategy_may_have_one_band(bands: dict[str, None], told: str) -> None:
    (event,) = SignalNews(VirtualClock(NOON), EN).events("x", rows(1).with_columns(**bands))
    assert told in event.body


def test_rows_that_cannot_be_told_are_logged_and_end_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    watcher = SignalNews(VirtualClock(NOON), EN)
    assert watcher.events("x", rows(1).drop("ub")) == []
    assert "❌ no alert for the signals of x (KeyError)" in caplog.text


def test_alerts_speak_korean_where_the_settings_do_and_the_log_english(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    names.learn_stocks({"005930": "삼성전자"})
    (event,) = SignalNews(VirtualClock(NOON), KO).events("dolpha1", rows(-1))
    assert event.title == "🚀 dolpha1 코스피200 선물 2026-12 A01612: 매도 400.05"
    assert event.body == "2026-11-20 12:00, 상단 밴드 돌파, 밴드 390.00 ~ 399.00"
    line = "🚀 dolpha1 KOSPI200 futures 2026-12 A01612: SHORT at 400.05, band_cross_up (12:00)"
    assert caplog.messages == [line]
    gap = unfillable_gap(KO, "005930", NOON.date(), NOON, "KIS keeps a year")
    assert gap.title == "⚠️ 삼성전자 005930: 복구할 수 없는 누락"
    assert stopped_component(KO, "collector", NOON, "a crash").title == "❌ 중단: 수집기"
    told = {trouble_begun(KO, name, NOON, "x").title for name in (DISK, CLOCK, CERTIFICATE)}
    assert told == {"⚠️ 디스크 공간", "⚠️ 시계", "⚠️ 인증서"}


def test_the_language_of_the_settings_is_that_of_the_alerts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KRT_LANGUAGE", "ko")
    assert contact_of(load_settings()).t == KO
    monkeypatch.delenv("KRT_LANGUAGE")
    assert contact_of(load_settings()).t == EN  # of the system of the tests
