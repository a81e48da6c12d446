"""Trouble that may pass is tried again within its minute; symbols do not wait for each other."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from engine.errors import InputError, KisError, KisPaceExceeded, KisRefused, KisUnreachable
from engine.kis.client import KisClient
from engine.kis.endpoints.bars import DerivativeMinutes
from engine.kis.endpoints.options import BoardTop, DerivativeQuote, OptionBoard
from engine.kis.pacing import FIRST_IN_LINE, Pace, Priority
from engine.settings import AppKey, KisSettings
from tests.engine.kis.calls import QUOTE, START
from tests.engine.kis.stub_kis import (
    KEY,
    SECRET,
    TOO_FAST,
    Answering,
    ReceivedRequest,
    StubKis,
    StubReply,
    fine,
    json_reply,
    open_client,
    refused,
)

MINUTE_END = datetime(2026, 11, 20, 10, 6)


def first(count: int, trouble: StubReply) -> Answering:
    """Answer so many calls with trouble, the others well."""
    left = iter(range(count))
    return lambda _request: fine() if next(left, None) is None else trouble


TROUBLES = {
    "pace": TOO_FAST,
    "pace over 200": refused("EGW00201", "초당 거래건수를 초과하였습니다.", 200),
    "html": StubReply("<html><body>점검중</body></html>".encode(), 200),
    "html 503": StubReply(b"<html>", 503),
    "empty": StubReply(b"", 200),
    "blank": StubReply(b"  \n", 200),
    "cut short": StubReply(b'{"rt_cd":"0","output', 200),
    "not an object": StubReply(b"[]", 200),
    "null": StubReply(b"null", 200),
    "no envelope": StubReply(b"{}", 200),
    "500": refused("EGW00202", "GW라우팅 중 오류가 발생했습니다.", 500),
    "no way through the gateway": refused("EGW00202", "GW라우팅 중 오류가 발생했습니다.", 200),
    "not gzip": StubReply(b"x", 200, headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_trouble_that_may_pass_is_tried_again(
    kis: StubKis, tmp_path: Path, name: str
) -> None:
    kis.answer = first(2, TROUBLES[name])
    async with open_client(kis, tmp_path) as client:
        answer = await client.call(QUOTE, deadline=MINUTE_END)
    assert answer.body["rt_cd"] == "0"
    assert len(kis.asked) == 3
    assert answer.as_of == kis.times[-1]


@pytest.mark.parametrize("name", TROUBLES)
async def test_tries_end_with_the_minute_and_the_error_has_its_context(kis, tmp_path, name) -> None:
    kis.answer = lambda _request: TROUBLES[name]
    async with open_client(kis, tmp_path) as client:
        with pytest.raises(KisError) as caught:
            await client.call(QUOTE, deadline=MINUTE_END, minute=START)
    assert kis.clock.now() == MINUTE_END
    assert len(kis.asked) >= 5
    assert isinstance(caught.value, KisPaceExceeded if "pace" in name else KisUnreachable)
    assert (caught.value.tr_id, caught.value.symbol) == ("FHMIF10000000", "B01612A97")
    assert caught.value.minute == START
    for secret in (KEY, SECRET, "token-1"):
        assert secret not in str(caught.value) + repr(caught.value.__dict__)


async def test_without_a_deadline_there_are_five_tries(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _request: TROUBLES["500"]
    async with open_client(kis, tmp_path) as client:
        with pytest.raises(KisUnreachable) as caught:
            await client.call(QUOTE)
    assert len(kis.asked) == 5
    assert caught.value.msg_cd == "EGW00202"


@pytest.mark.parametrize(
    ("code", "status"), [("OPSQ2001", 200), ("EGW00304", 200), ("EGW00103", 403), ("MCA05918", 200)]
)
async def test_a_final_refusal_is_not_tried_again(kis, tmp_path, code: str, status: int) -> None:
    kis.answer = lambda _request: refused(code, f"조회할 자료가 없습니다. {KEY} {SECRET}", status)
    async with open_client(kis, tmp_path) as client:
        with pytest.raises(KisRefused) as caught:
            await client.call(QUOTE, deadline=MINUTE_END)
    assert len(kis.asked) == 1
    assert caught.value.msg_cd == code
    assert KEY not in str(caught.value)
    assert SECRET not in str(caught.value)


async def test_waits_between_tries_grow_and_are_never_twice_the_same(kis, tmp_path) -> None:
    kis.answer = lambda _request: TROUBLES["html"]
    async with open_client(kis, tmp_path, calls_per_second=100) as client:
        with pytest.raises(KisUnreachable):
            await client.call(QUOTE, deadline=START + timedelta(seconds=25))
    waits = [(b - a).total_seconds() for a, b in pairwise(kis.times)]
    assert len(set(waits)) == len(waits)
    assert waits[0] < 0.51
    assert waits[-1] > 2


async def test_the_same_seed_waits_the_same(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _request: TROUBLES["html"]
    runs = []
    for folder in ("a", "b"):
        start = kis.clock.now()
        kis.asked.clear()
        async with open_client(kis, tmp_path / folder) as client:
            with pytest.raises(KisUnreachable):
                await client.call(QUOTE)
        runs.append([moment - start for moment in kis.times])
    assert runs[0] == runs[1]


async def test_trouble_with_one_symbol_delays_no_other(kis: StubKis, tmp_path: Path) -> None:
    def answer(asked: ReceivedRequest) -> StubReply:
        return TROUBLES["500"] if asked.query["FID_INPUT_ISCD"] == "bad" else fine()

    kis.answer = answer
    done: dict[str, datetime] = {}

    async def poll(symbol: str) -> None:
        try:
            await client.call(DerivativeQuote(symbol), deadline=MINUTE_END)
        except KisUnreachable:
            return
        done[symbol] = kis.clock.now()

    async with open_client(kis, tmp_path, calls_per_second=10) as client:
        await asyncio.gather(poll("bad"), *(poll(f"S{n:03d}") for n in range(200)))
    # 201 first tries at 10 a second; second tries of the bad one come after them.
    assert len(done) == 200
    assert max(done.values()) - START <= timedelta(seconds=20.1)
    assert kis.symbols().count("bad") > 3


async def test_200_symbols_at_10_a_second_take_no_longer_than_the_pace_allows(
    kis, tmp_path
) -> None:
    async with open_client(kis, tmp_path, calls_per_second=10) as client:
        symbols = [DerivativeQuote(f"S{n:03d}") for n in range(200)]
        await asyncio.gather(*(client.call(s, deadline=MINUTE_END) for s in symbols))
    took = (kis.clock.now() - START).total_seconds()
    assert took <= 1.05 * 200 / 10 + 0.3
    assert {(b - a).total_seconds() for a, b in pairwise(sorted(kis.times))} == {0.1}


async def test_several_keys_share_the_symbols_and_multiply_the_budget(kis, tmp_path) -> None:
    keys = tuple(AppKey(app_key=f"key-{n}", app_secret="s") for n in range(4))
    async with open_client(kis, tmp_path, calls_per_second=10, app_keys=keys) as client:
        await asyncio.gather(*(client.call(DerivativeQuote(f"S{n:03d}")) for n in range(200)))
        assert client.per_second == 40
    assert (kis.clock.now() - START).total_seconds() <= 1.05 * 200 / 40 + 0.3
    shares = Counter(asked.headers["appkey"] for asked in kis.asked)
    assert set(shares.values()) == {50}


async def test_a_refused_pace_slows_the_next_calls_down(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = first(1, TOO_FAST)
    async with open_client(kis, tmp_path, calls_per_second=10) as client:
        await asyncio.gather(*(client.call(QUOTE) for _ in range(10)))
        assert client.refusals == 1
        assert client.per_second < 10


async def test_the_board_is_asked_once_a_second_and_the_others_go_on(kis, tmp_path) -> None:
    boards = [OptionBoard(f"2026{month:02d}") for month in (7, 8, 9, 12)]
    async with open_client(kis, tmp_path, calls_per_second=10) as client:
        await asyncio.gather(
            *(client.call(board) for board in boards),
            *(client.call(BoardTop(f"A01{n:03d}")) for n in range(30)),
        )
    board_times = [asked.when for asked in kis.asked if "callput" in asked.path]
    assert all(1 <= (b - a).total_seconds() <= 1.1 for a, b in pairwise(board_times))
    assert min(b - a for a, b in pairwise(sorted(kis.times))) >= timedelta(seconds=0.1)
    assert kis.clock.now() - START <= timedelta(seconds=3.6)


async def test_backfill_waits_for_live(kis: StubKis, tmp_path: Path) -> None:
    async with open_client(kis, tmp_path, calls_per_second=10) as client:
        past = [DerivativeQuote(f"P{n}") for n in range(20)]
        live = [DerivativeQuote(f"L{n}") for n in range(10)]
        await asyncio.gather(
            *(client.call(s, priority=Priority.BACKFILL) for s in past),
            *(client.call(s) for s in live),
        )
    assert {symbol[0] for symbol in kis.symbols()[:10]} == {"L"}


async def test_the_error_says_that_no_turn_came_before_the_deadline(kis, tmp_path) -> None:
    async with open_client(kis, tmp_path, calls_per_second=1) as client:
        calls = [client.call(QUOTE, deadline=START + timedelta(seconds=5)) for _ in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    failed = [result for result in results if isinstance(result, KisUnreachable)]
    assert len(failed) == 15  # turns at 0, 1, 2, 3 and 4 s
    assert "waiting for its turn" in str(failed[0])


async def test_when_kis_is_down_few_calls_try_and_all_go_on_when_it_is_back(
    kis: StubKis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    back = START + timedelta(seconds=30)
    kis.answer = lambda _request: fine() if kis.clock.now() >= back else TROUBLES["html 503"]
    async with open_client(kis, tmp_path, calls_per_second=10) as client:
        calls = [client.call(DerivativeQuote(f"S{n}"), deadline=MINUTE_END) for n in range(60)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(moment < back for moment in kis.times) < 15
    assert not [result for result in results if isinstance(result, Exception)]
    assert kis.clock.now() - back < timedelta(seconds=15 + 60 / 10 + 8)
    signs = [record.message[0] for record in caplog.records if record.name.endswith("circuit")]
    assert signs == ["❌", "✅"]
    assert min(b - a for a, b in pairwise(sorted(kis.times))) >= timedelta(seconds=0.1)


async def test_each_call_sends_its_path_query_and_headers(kis: StubKis, tmp_path: Path) -> None:
    request = DerivativeMinutes("A01612", START.date(), "100400")
    async with open_client(kis, tmp_path) as client:
        await client.call(request)
    (sent,) = kis.asked
    assert sent.path == "/uapi/domestic-futureoption/v1/quotations/inquire-time-fuopchartprice"
    assert dict(sent.query) == {
        "FID_COND_MRKT_DIV_CODE": "F",
        "FID_INPUT_ISCD": "A01612",
        "FID_HOUR_CLS_CODE": "60",
        "FID_PW_DATA_INCU_YN": "N",
        "FID_FAKE_TICK_INCU_YN": "N",
        "FID_INPUT_DATE_1": "20261120",
        "FID_INPUT_HOUR_1": "100400",
    }
    for name, value in {
        "authorization": "Bearer token-1",
        "appkey": KEY,
        "appsecret": SECRET,
        "tr_id": "FHKIF03020200",
        "custtype": "P",
    }.items():
        assert sent.headers[name] == value
    assert sent.headers["user-agent"].startswith("korea-realtime-trading/")


async def test_tr_ids_of_the_settings_are_sent_and_a_known_misprint_is_corrected(
    kis: StubKis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tr_id = {"option_chain": "FHlkPIF05030100", "deriv_minute": "NEW03020200"}
    async with open_client(kis, tmp_path, tr_id=tr_id) as client:
        await client.call(OptionBoard("202612"))
        await client.call(DerivativeMinutes("A01612", START.date(), "100400"))
    assert [asked.headers["tr_id"] for asked in kis.asked] == ["FHPIF05030100", "NEW03020200"]
    assert caplog.text.count("misprint") == 1


async def test_a_key_never_shows_in_the_settings(tmp_path: Path, kis: StubKis) -> None:
    settings = KisSettings(app_keys=(AppKey(app_key=KEY, app_secret=SECRET),))
    assert KEY not in repr(settings) + str(settings.model_dump())


async def test_a_missing_key_and_a_wrong_address_are_clear_errors(
    tmp_path: Path, kis: StubKis
) -> None:
    with pytest.raises(InputError, match="app_key"):
        KisClient(KisSettings(), kis.clock, folder=tmp_path)
    with pytest.raises(ValueError, match="base_url"):
        KisSettings(base_url="openapi.example.com")


async def test_a_file_of_kis_is_downloaded_without_a_key(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _request: StubReply(b"PK")
    async with open_client(kis, tmp_path) as client:
        assert await client.download(f"{kis.base_url}/master.zip") == b"PK"
        kis.answer = lambda _request: json_reply({}, 404)
        with pytest.raises(KisUnreachable, match="404"):
            await client.download(f"{kis.base_url}/master.zip")
    assert "appkey" not in kis.asked[0].headers


async def test_a_probe_that_is_never_made_is_followed_by_another(
    kis: StubKis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """KIS was back, but every call went on waiting for a probe that had given up."""
    caplog.set_level("INFO")
    kis.answer = lambda _request: TROUBLES["html"]
    async with open_client(kis, tmp_path) as client:
        for symbol in ("A01612", "A05612", "A06612"):
            with pytest.raises(KisUnreachable):
                await client.call(DerivativeQuote(symbol, market="F"))
        assert "KIS is not reachable" in caplog.text
        kis.answer = lambda _request: fine()
        wait_turn = Pace.wait_turn
        failing = iter([KisUnreachable("the disk is full")])

        async def fails_once(pace: Pace, priority: Priority, failures: int = 0) -> None:
            if failures == FIRST_IN_LINE and (error := next(failing, None)):
                raise error
            await wait_turn(pace, priority, failures)

        monkeypatch.setattr(Pace, "wait_turn", fails_once)
        await client.call(QUOTE, deadline=kis.clock.now() + timedelta(minutes=1))
        assert "KIS is back" in caplog.text


async def test_an_answer_with_more_rows_than_kis_ever_gives_is_not_read(kis, tmp_path) -> None:
    """300,000 rows in one answer had no end."""
    kis.answer = lambda _: fine(output2=[{}] * 300_000) if len(kis.asked) == 1 else fine()
    async with open_client(kis, tmp_path) as client:
        await client.call(QUOTE)
    assert len(kis.asked) == 2
    kis.answer = lambda _: fine(output1={"a": [{}] * 300_000}, output2=[{}] * 300_000)
    async with open_client(kis, tmp_path) as client:
        with pytest.raises(KisUnreachable, match="300000 rows"):
            await client.call(QUOTE)


async def test_the_largest_answers_of_kis_are_read(kis: StubKis, tmp_path: Path) -> None:
    kis.answer = lambda _: fine(output2=[{"a": "1"}] * 1000)
    async with open_client(kis, tmp_path) as client:
        assert len((await client.call(QUOTE)).rows("output2")) == 1000
