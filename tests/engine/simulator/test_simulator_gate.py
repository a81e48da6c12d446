"""Tokens and the pace (docs/kis.md#token, #pace), counted in the clock's time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest

NOON = datetime(2026, 11, 19, 12, 0, 30)


async def refusal(caller: Any) -> tuple[int, str]:
    answer = await caller.get("FHMIF10000000", FID_COND_MRKT_DIV_CODE="F", FID_INPUT_ISCD="A01612")
    return answer.status_code, answer.json()["msg_cd"]


async def test_token_answer_has_the_fields_of_the_official_sample(
    calling: Any, samples: Any
) -> None:
    async with calling(NOON, log_in=False) as caller:
        answer = (await caller.ask_token()).json()
        assert answer.keys() == orjson.loads((samples / "tokenP.json").read_bytes()).keys()
        assert answer["access_token_token_expired"] == "2026-11-20 12:00:30"


async def test_token_within_six_hours_is_the_same_with_its_original_expiry(calling: Any) -> None:
    async with calling(NOON, log_in=False) as caller:
        first = (await caller.ask_token()).json()
        await caller.clock.sleep(6 * 3600 - 1)
        assert (await caller.ask_token()).json() == first
        await caller.clock.sleep(61)
        later = (await caller.ask_token()).json()
        assert later["access_token"] != first["access_token"]
        assert caller.simulator.counts.tokens == [
            NOON,
            NOON + timedelta(hours=6, seconds=-1),
            NOON + timedelta(hours=6, seconds=60),
        ]


async def test_second_token_within_a_minute_is_refused_in_the_other_form(calling: Any) -> None:
    async with calling(NOON) as caller:
        await caller.clock.sleep(59)
        answer = await caller.ask_token()
        assert answer.status_code == 403
        assert answer.json() == {
            "error_code": "EGW00133",
            "error_description": "접근토큰 발급 잠시 후 다시 시도하세요(1분당 1회)",
        }
        await caller.clock.sleep(1)
        assert (await caller.ask_token()).status_code == 200


@pytest.mark.parametrize(
    ("changed", "code"), [({"appkey": "x"}, "EGW00103"), ({"appsecret": "x"}, "EGW00105")]
)
async def test_token_for_a_wrong_key_is_refused(calling: Any, changed: Any, code: str) -> None:
    async with calling(NOON, log_in=False) as caller:
        answer = await caller.ask_token(**changed)
        assert (answer.status_code, answer.json()["error_code"]) == (403, code)


async def test_calls_without_a_valid_token_are_refused(calling: Any) -> None:
    async with calling(NOON, log_in=False) as caller:
        assert await refusal(caller) == (500, "EGW00122")
        caller.headers["authorization"] = "Bearer of.bad.news"
        assert await refusal(caller) == (500, "EGW00121")
        await caller.log_in()
        assert await refusal(caller) == (200, "MCA00000")
        await caller.clock.sleep(24 * 3600)
        assert await refusal(caller) == (500, "EGW00123")


async def test_pace_is_counted_over_any_second_and_per_key(calling: Any) -> None:
    keys = {"one": "1", "two": "2"}
    async with calling(NOON, log_in=False, calls_per_second=3, app_keys=keys) as caller:

        async def log_in(key: str) -> None:
            caller.headers |= {"appkey": key, "appsecret": keys[key]}
            await caller.log_in()

        await log_in("one")
        assert [await refusal(caller) for _ in range(3)] == [(200, "MCA00000")] * 3
        assert await refusal(caller) == (500, "EGW00201")
        await caller.clock.sleep(0.999)
        assert await refusal(caller) == (500, "EGW00201")
        await caller.clock.sleep(0.001)
        assert await refusal(caller) == (200, "MCA00000")
        await log_in("two")
        assert [await refusal(caller) for _ in range(3)] == [(200, "MCA00000")] * 3
        assert caller.simulator.counts.refusals == {"EGW00201": 2}


async def test_a_field_that_kis_cannot_read_is_refused_by_name(calling: Any) -> None:
    async with calling(NOON) as caller:
        answer = (await caller.get("FHMIF10000000", FID_COND_MRKT_DIV_CODE="F")).json()
        assert (answer["rt_cd"], answer["msg_cd"]) == ("2", "OPSQ2001")
        assert "FID_INPUT_ISCD" in answer["msg1"]
        caller.headers["tr_id"] = "x"
        bad = await caller.http.get(
            "/uapi/domestic-stock/v1/quotations/chk-holiday", headers=caller.headers
        )
        assert bad.json()["msg_cd"] == "OPSQ0002"
        assert (await caller.http.get("/nowhere")).status_code == 404


async def test_answers_and_refusals_are_dated_by_the_clock_of_the_server(calling: Any) -> None:
    async with calling(NOON) as caller:
        await caller.clock.sleep(3)
        answer = await caller.get("CTCA0903R", BASS_DT="20261119")
        assert answer.headers["Date"] == "Thu, 19 Nov 2026 03:00:33 GMT"
        caller.headers["appkey"] = "wrong"
        refused = await caller.get("CTCA0903R", BASS_DT="20261119")
        assert refused.status_code == 403
        assert refused.headers["Date"] == "Thu, 19 Nov 2026 03:00:33 GMT"
