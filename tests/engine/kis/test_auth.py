"""One token for all processes, safe on disk, asked for at most once a minute."""

from __future__ import annotations

import asyncio
import json
import stat
import sys
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from filelock import FileLock

from engine.errors import KisError, KisRefused, KisTokenRejected, KisUnreachable
from engine.kis.answer import Answer
from engine.kis.auth import file_stem
from engine.kis.endpoints.options import DerivativeQuote
from engine.settings import AppKey
from tests.engine.kis.stub_kis import (
    KEY,
    SECRET,
    TOO_FAST,
    ReceivedRequest,
    StubKis,
    StubReply,
    fine,
    json_reply,
    open_client,
    refused,
    token_file,
)

QUOTE = DerivativeQuote("A01612", market="F")
START = datetime(2026, 11, 20, 10, 5, 2)


def only_takes(token: str, code: str = "EGW00123", status: int = 500):
    """Answer only calls with this token."""

    def answer(asked: ReceivedRequest) -> StubReply:
        return fine() if asked.token == token else refused(code, "기간이 만료된 token", status)

    return answer


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
async def test_the_file_is_readable_by_its_owner_only_and_holds_no_secret(
    kis: StubKis, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    async with open_client(kis, folder) as client:
        await client.call(QUOTE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in folder.iterdir():
        assert SECRET not in file.read_text(errors="replace")
        assert KEY not in file.read_text(errors="replace") + file.name
    assert stat.S_IMODE(token_file(folder).stat().st_mode) == 0o600
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


async def test_a_token_that_a_killed_process_was_writing_is_removed(kis, tmp_path) -> None:
    half = tmp_path / f".0123.json.0123abcd.making-{2**22 + 1}"
    half.write_bytes(b'{"access_token": "half of')
    async with open_client(kis, tmp_path):
        assert not half.exists()


async def test_the_next_process_uses_the_token_of_the_first(kis: StubKis, tmp_path: Path) -> None:
    for _ in range(3):
        async with open_client(kis, tmp_path) as client:
            await client.call(QUOTE)
    assert len(kis.tokens) == 1
    assert {asked.token for asked in kis.asked} == {"token-1"}


async def test_another_address_and_another_key_have_tokens_of_their_own(kis, tmp_path) -> None:
    other = (AppKey(app_key="another", app_secret=SECRET),)
    async with open_client(kis, tmp_path) as one, open_client(kis, tmp_path, app_keys=other) as two:
        await asyncio.gather(one.call(QUOTE), two.call(QUOTE))
    assert len(list(tmp_path.glob("*-token.json"))) == len(kis.tokens) == 2


async def test_many_tasks_at_once_ask_for_one_token(kis: StubKis, tmp_path: Path) -> None:
    async with open_client(kis, tmp_path, calls_per_second=100) as client:
        await asyncio.gather(*(client.call(QUOTE) for _ in range(50)))
    assert len(kis.tokens) == 1


async def test_it_is_renewed_in_its_last_hour_while_the_old_one_serves(kis, tmp_path) -> None:
    kis.token = lambda: kis.good_token(
        "2026-11-21 10:05:02" if len(kis.tokens) == 1 else "2026-11-22 09:05:00"
    )
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        await kis.clock.sleep_until(datetime(2026, 11, 21, 9, 4))
        for _ in range(20):
            await client.call(QUOTE)
            await kis.clock.sleep(10)
    last_hour = datetime(2026, 11, 21, 9, 5, 2)
    assert len(kis.tokens) == 2
    assert timedelta(0) <= kis.tokens[1] - last_hour <= timedelta(seconds=15)
    before = [asked.token for asked in kis.asked if asked.when <= kis.tokens[1]]
    after = [asked.token for asked in kis.asked if asked.when > kis.tokens[1]]
    assert set(before) == {"token-1"}
    assert set(after) == {"token-2"}


async def test_a_token_with_little_time_left_that_kis_repeats_is_used_to_its_end(
    kis, tmp_path
) -> None:
    kis.token = lambda: kis.good_token("2026-11-20 10:35:00")
    async with open_client(kis, tmp_path) as client:
        for _ in range(20):
            await client.call(QUOTE)
            await kis.clock.sleep(60)
    assert len(kis.tokens) == 1


async def test_the_absolute_time_counts_and_not_expires_in(kis: StubKis, tmp_path: Path) -> None:
    # Asked again within six hours KIS gives the same token with its first expiry.
    kis.token = lambda: kis.good_token(f"{kis.clock.now() + timedelta(hours=2):%Y-%m-%d %H:%M:%S}")
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        await kis.clock.sleep(3 * 3600)
        await client.call(QUOTE)
    assert [asked.token for asked in kis.asked] == ["token-1", "token-2"]


@pytest.mark.parametrize("code", ["EGW00121", "EGW00122", "EGW00123"])
@pytest.mark.parametrize("status", [200, 500])
async def test_a_token_that_dies_is_renewed_once_however_many_notice(
    kis: StubKis, tmp_path: Path, code: str, status: int
) -> None:
    async with open_client(kis, tmp_path, calls_per_second=100) as client:
        await client.call(QUOTE)
        await kis.clock.sleep(600)
        kis.answer = only_takes("token-2", code, status)
        await asyncio.gather(*(client.call(QUOTE) for _ in range(50)))
    assert len(kis.tokens) == 2
    assert client.counts["token rejections"] <= 50


async def test_a_process_that_notices_later_finds_the_new_token_in_the_file(kis, tmp_path) -> None:
    async with open_client(kis, tmp_path) as one, open_client(kis, tmp_path) as two:
        await one.call(QUOTE)
        await two.call(QUOTE)
        await kis.clock.sleep(600)
        kis.answer = only_takes("token-2")
        await one.call(QUOTE)
        await two.call(QUOTE)
    assert len(kis.tokens) == 2


async def test_a_process_that_starts_while_another_asks_uses_what_that_one_gets(
    kis: StubKis, tmp_path: Path
) -> None:
    """It has read, by then, that KIS is being asked: the token bears the same time."""
    async with open_client(kis, tmp_path) as first, open_client(kis, tmp_path) as second:
        begun: list[asyncio.Task[Answer]] = []

        def token() -> StubReply:
            begun.append(asyncio.create_task(second.call(QUOTE)))
            return kis.good_token()

        kis.token = token
        await first.call(QUOTE)
        await begun[0]
    assert len(kis.tokens) == 1
    assert {asked.token for asked in kis.asked} == {"token-1"}
    assert kis.times[-1] - START < timedelta(seconds=10)


async def test_no_token_is_asked_for_sooner_than_a_minute_after_the_last(kis, tmp_path) -> None:
    kis.answer = only_takes("never")
    async with open_client(kis, tmp_path) as one, open_client(kis, tmp_path) as two:
        for client in (one, two, one, two):
            with pytest.raises(KisTokenRejected):
                await client.call(QUOTE)
    assert len(kis.tokens) >= 4
    assert min(b - a for a, b in pairwise(kis.tokens)) >= timedelta(minutes=1)


async def test_a_token_request_that_kis_calls_too_soon_is_repeated_after_a_wait(
    kis: StubKis, tmp_path: Path
) -> None:
    # Another machine asked just now: KIS says so over HTTP 403 in a shape of its own.
    too_soon = {
        "error_code": "EGW00133",
        "error_description": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
    }
    kis.token = lambda: kis.good_token() if len(kis.tokens) > 1 else json_reply(too_soon, 403)
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    first, second = kis.tokens
    assert timedelta(minutes=1) <= second - first < timedelta(minutes=1, seconds=5)


async def test_the_minute_counts_from_a_request_that_got_no_answer(
    kis: StubKis, tmp_path: Path
) -> None:
    kis.token = lambda: kis.good_token() if len(kis.tokens) > 1 else StubReply(b"<html>", 502)
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    first, second = kis.tokens
    assert second - first >= timedelta(minutes=1)


async def test_one_callers_deadline_does_not_cost_the_others_their_token(kis, tmp_path) -> None:
    kis.token = lambda: kis.good_token() if len(kis.tokens) > 1 else StubReply(b"", 500)
    async with open_client(kis, tmp_path) as client:
        hurried = client.call(QUOTE, deadline=START + timedelta(seconds=20))
        patient = client.call(QUOTE, deadline=START + timedelta(seconds=100))
        first, second = await asyncio.gather(hurried, patient, return_exceptions=True)
    assert isinstance(first, KisUnreachable)
    assert "waiting for a token" in str(first)
    assert second.body["rt_cd"] == "0"  # type: ignore[union-attr]
    assert len(kis.tokens) == 2


async def test_waits_for_a_process_that_is_getting_one_without_stopping_time(kis, tmp_path) -> None:
    async with open_client(kis, tmp_path) as client:
        lock = FileLock(tmp_path / f"{file_stem(kis.base_url, KEY)}-token.lock")
        lock.acquire()
        call = asyncio.create_task(client.call(QUOTE))
        await kis.clock.sleep(30)
        assert not kis.tokens
        lock.release()
        await call
    assert len(kis.tokens) == 1


async def test_a_bad_key_is_an_error_at_once_and_not_tried_again(
    kis: StubKis, tmp_path: Path
) -> None:
    bad = {
        "error_code": "EGW00103",
        "error_description": f"유효하지 않은 AppKey입니다. {KEY} {SECRET}",
    }
    kis.token = lambda: json_reply(bad, 403)
    async with open_client(kis, tmp_path) as client:
        for _ in range(3):
            with pytest.raises(KisRefused) as caught:
                await client.call(QUOTE, minute=START)
    assert len(kis.tokens) == 1
    assert caught.value.msg_cd == "EGW00103"
    assert "app_key" in str(caught.value)
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_a_key_that_kis_accepts_again_is_used_again(kis: StubKis, tmp_path: Path) -> None:
    bad = {"error_code": "EGW00103", "error_description": "유효하지 않은 AppKey입니다."}
    kis.token = lambda: json_reply(bad, 403) if len(kis.tokens) == 1 else kis.good_token()
    async with open_client(kis, tmp_path) as client:
        with pytest.raises(KisRefused):
            await client.call(QUOTE)
        await kis.clock.sleep(700)
        await client.call(QUOTE)
        await client.call(QUOTE)


async def test_the_other_keys_go_on_without_a_bad_one(kis: StubKis, tmp_path: Path) -> None:
    keys = (AppKey(app_key="bad", app_secret="x"), AppKey(app_key=KEY, app_secret=SECRET))
    bad = {"error_code": "EGW00105", "error_description": "유효하지 않은 AppSecret입니다."}
    kis.token = lambda: json_reply(bad, 403) if len(kis.tokens) == 1 else kis.good_token()
    async with open_client(kis, tmp_path, app_keys=keys) as client:
        for _ in range(5):
            await client.call(QUOTE)
    assert len(kis.asked) == 5
    assert {asked.headers["appkey"] for asked in kis.asked} == {KEY}


async def test_a_key_that_dies_while_its_token_lives_leaves_the_work_to_the_others(
    kis: StubKis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its calls failed at once, so its queue was the shortest and it was chosen again and again."""
    keys = (AppKey(app_key="dead", app_secret="x"), AppKey(app_key=KEY, app_secret=SECRET))
    no = refused("EGW00103", "유효하지 않은 AppKey입니다.", 403)
    kis.answer = lambda request: no if request.headers["appkey"] == "dead" else fine()
    async with open_client(kis, tmp_path, app_keys=keys) as client:
        for _ in range(5):
            await client.call(QUOTE)
    assert [asked.headers["appkey"] for asked in kis.asked].count("dead") == 1
    assert caplog.text.count("an app key is suspended") == 1


async def test_a_token_request_refused_for_the_pace_does_not_condemn_the_key(
    kis: StubKis, tmp_path: Path
) -> None:
    fast = {"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "초당 거래건수를 초과하였습니다."}
    kis.token = lambda: json_reply(fast, 200) if len(kis.tokens) == 1 else kis.good_token()
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert len(kis.tokens) == 2


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"token": {"access_token": "x"}}', "\x00" * 50]
)
async def test_a_damaged_file_is_replaced(kis: StubKis, tmp_path: Path, content: str) -> None:
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    token_file(tmp_path).write_text(content)
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert json.loads(token_file(tmp_path).read_text())["token"]["access_token"] == "token-2"


async def test_a_full_disk_does_not_end_the_day(kis, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("engine.kis.auth.write_atomically", full)
    kis.answer = lambda request: fine() if request.token == f"token-{len(kis.tokens)}" else TOO_FAST
    async with open_client(kis, tmp_path) as client:
        for _ in range(3):
            await client.call(QUOTE)
    assert len(kis.tokens) == 1


async def test_no_key_and_no_former_token_is_shown_not_even_half_of_one(kis, tmp_path) -> None:
    """KIS's words are cut where they are long; a token that was replaced is still secret."""
    kis.answer = only_takes("token-2")
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        for ahead in range(200, 260, 4):
            text = f"{'x' * ahead}{SECRET}{KEY} token-1 token-2"
            kis.answer = lambda _, text=text: json_reply(
                {"rt_cd": "1", "msg_cd": KEY, "msg1": text}
            )
            with pytest.raises(KisRefused) as refusal:
                await client.call(QUOTE)
            message = str(refusal.value)
            assert len(message) < 500
            assert [s for s in (KEY, SECRET, "token-") if s[:6] in message] == []


async def test_nothing_secret_is_logged(kis: StubKis, tmp_path: Path, caplog) -> None:
    caplog.set_level("DEBUG")
    kis.answer = only_takes("token-2")
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert "token from KIS" in caplog.text
    for secret in (KEY, SECRET, "token-1", "token-2"):
        assert secret not in caplog.text


UNLISTED = {
    "not registered": refused("EGW00999", "등록되지 않은 접근토큰입니다.", 500),
    "maintenance": refused("OPSQ9999", "시스템 점검 중입니다.", 200),
    "no right": refused("APBK0001", "조회 권한이 없습니다.", 200),
    "401": refused("", "Unauthorized", 401),
    "403": json_reply({"error_code": "E1", "error_description": "no"}, 403),
}


@pytest.mark.parametrize("name", UNLISTED)
async def test_an_old_token_is_renewed_once_after_a_refusal_of_access_that_nobody_listed(
    kis: StubKis, tmp_path: Path, name: str
) -> None:
    """A token that died at maintenance was refused in other words; a user was out for a day."""
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        await kis.clock.sleep(7 * 3600)
        kis.answer = lambda asked: fine() if asked.token == "token-2" else UNLISTED[name]
        await asyncio.gather(*(client.call(QUOTE) for _ in range(5)))
        assert len(kis.tokens) == 2
        kis.answer = lambda _: UNLISTED[name]
        for _ in range(3):  # it was no matter of the token: KIS is not asked for another
            with pytest.raises(KisError):
                await client.call(QUOTE)
    assert len(kis.tokens) == 2


async def test_a_refusal_of_anything_else_costs_no_token(kis: StubKis, tmp_path: Path) -> None:
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
        await kis.clock.sleep(7 * 3600)
        kis.answer = lambda _: refused("OPSQ2001", "ERROR INPUT FIELD NOT FOUND", 200)
        with pytest.raises(KisRefused):
            await client.call(QUOTE)
    assert len(kis.tokens) == 1
