"""The WebSocket: approval, every answer to a registration, PINGPONG, one connection a key, time."""

from __future__ import annotations

import asyncio
import json
from datetime import date, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from engine.clock import ScaledClock
from engine.market.sessions import Market
from engine.simulator import serve
from engine.simulator.market.data import open_session
from engine.simulator.stream.hub import Limits
from engine.simulator.stream.requests import MESSAGES
from tests.engine.simulator.stream.client import (
    APP_KEY,
    APP_SECRET,
    MARKET,
    approval_key,
    connected,
    records,
    registration,
    serving,
)

DAY = date(2026, 11, 18)
NINE = datetime(2026, 11, 18, 9, 0)
SESSION = open_session(Market.DERIVATIVES, DAY)


async def test_a_frame_is_received_at_its_virtual_time_and_no_other() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        for tr_id, symbol in (("H0IFCNT0", "A01612"), ("H0IFASP0", "A01612")):
            assert (await client.ask(tr_id, symbol))["body"]["msg_cd"] == "OPSP0000"
        got = await client.listen(NINE + timedelta(minutes=30))
        for tr_id in ("H0IFCNT0", "H0IFASP0"):
            planned = [
                (frame.leaves_at, frame.text)
                for block in (1, 2)
                for frame in simulator.stream.frames.block(tr_id, "A01612", SESSION, block)
                if frame.leaves_at <= NINE + timedelta(minutes=30)
            ]
            assert [frame for frame in got if f"|{tr_id}|" in frame[1]] == planned
        moments = [moment for moment, _ in got]
        assert moments == sorted(moments)


async def test_bars_of_the_frames_are_the_markets() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        await client.ask("H0IFCNT0", "A01612")
        frames = await client.listen(NINE + timedelta(minutes=21))
    found: dict[str, list[float]] = {}
    for _, text in frames:
        for record in records(text):
            price, size = float(record[5]), int(record[9])
            bar = found.setdefault(record[1][:4], [price, price, price, price, 0])
            bar[1:] = [max(bar[1], price), min(bar[2], price), price, bar[4] + size]
    bars = MARKET.bars("A01612", SESSION)
    for row in bars.iter_rows():
        if NINE <= row[0] < NINE + timedelta(minutes=20):
            assert found[f"{row[0]:%H%M}"] == list(row[1:])


async def test_an_approval_key_is_the_same_for_a_day_and_needs_key_and_secret() -> None:
    async with serving(NINE) as (simulator, clock), aiohttp.ClientSession() as http:
        first = await approval_key(simulator, http, clock)
        assert list(first) == ["approval_key"]
        assert await approval_key(simulator, http, clock) == first
        wrong = await approval_key(simulator, http, clock, secretkey="x")
        assert wrong["error_code"] == "EGW00105"
        assert (await approval_key(simulator, http, clock, appkey=""))["error_code"] == "EGW00102"
        assert (await approval_key(simulator, http, clock, appkey="x"))["error_code"] == "EGW00103"
        await clock.sleep(24 * 3600)
        assert await approval_key(simulator, http, clock) != first
        assert simulator.counts.calls == {"Approval": 6}


async def test_an_old_approval_key_lets_nobody_in_but_an_open_connection_goes_on() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        assert (await client.ask("H0IFCNT0", "A01612"))["body"]["rt_cd"] == "0"
        await client.listen(NINE + timedelta(hours=25))
        assert (await client.ask("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0011"
        assert await client.listen(NINE + timedelta(hours=25, seconds=30))


def body(**changed: Any) -> dict[str, Any]:
    """Return a good registration with parts of its header or input changed; None removes one."""
    message = registration("", "H0IFCNT0", "A01612")
    for part in (message["header"], message["body"]["input"]):
        for name in [name for name in changed if name.replace("_", "-") in part or name in part]:
            if changed[name] is None:
                del part[name]
            else:
                part[name] = changed[name]
    return message


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("", "OPSP9999"),
        ("{", "OPSP9999"),
        ("[]", "OPSP9998"),
        ("7", "OPSP9998"),
        ("{}", "OPSP9998"),
        ({"header": {}}, "OPSP9996"),
        (body(approval_key=""), "OPSP9996"),
        (body(approval_key="x", custtype=None), "OPSP9997"),
        (body(approval_key="x", custtype="Z"), "OPSP8998"),
        (body(approval_key="x", tr_type="3"), "OPSP8997"),
        ({"header": body(approval_key="x")["header"]}, "OPSP9992"),
        ({"header": body(approval_key="x")["header"], "body": {}}, "OPSP9991"),
        (body(approval_key="x", tr_key=None), "OPSP9990"),
        (body(approval_key="x", tr_key=7), "OPSP8993"),
        (body(approval_key="x"), "OPSP0011"),
        (body(), "OPSP0000"),
        (body(tr_id="H0XXXXX0"), "OPSP8991"),
        (body(tr_key="nonsense"), "OPSP8992"),
        (body(tr_key="101W09"), "OPSP8992"),  # expired years ago
        (body(tr_type="2"), "OPSP0003"),
    ],
)
async def test_each_answer_to_a_registration(message: Any, code: str) -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        if isinstance(message, dict) and message.get("header", {}).get("approval_key") == "":
            wants_approval = code != "OPSP9996"
            message = json.loads(json.dumps(message))
            message["header"]["approval_key"] = client.approval if wants_approval else ""
        await client.send(message)
        answer = await client.answer()
        assert answer["body"]["msg_cd"] == code
        assert answer["body"]["msg1"] == MESSAGES[code]
        assert ("output" in answer["body"]) == (code == "OPSP0000")
        assert set(answer["header"]) == {"tr_id", "tr_key", "encrypt"}
        assert simulator.stream.counts[code] == 1
        assert (await client.ask("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"


async def test_the_old_way_of_the_header_is_taken_with_the_right_secret_only() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        for key, secret, code in (
            (APP_KEY, "wrong", "OPSP0010"),
            ("unknown", APP_SECRET, "OPSP0010"),
            (APP_KEY, None, "OPSP8995"),
            (APP_KEY, APP_SECRET, "OPSP0000"),
        ):
            message = registration("", "H0IFCNT0", "A01612")
            del message["header"]["approval_key"]
            message["header"] |= {"appkey": key} | ({"secretkey": secret} if secret else {})
            await client.send(message)
            assert (await client.answer())["body"]["msg_cd"] == code


async def test_the_forty_second_registration_is_refused_until_one_is_removed() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        codes = [f"{number:06d}" for number in range(10, 520, 10)]
        answers = [(await client.ask("H0STANC0", code))["body"]["msg_cd"] for code in codes[:42]]
        assert answers == ["OPSP0000"] * 41 + ["OPSP0008"]
        again = await client.ask("H0STANC0", codes[0])
        assert (again["body"]["msg_cd"], again["body"]["rt_cd"]) == ("OPSP0002", "1")
        removed = await client.ask("H0STANC0", codes[0], tr_type="2")
        assert removed["body"]["msg_cd"] == "OPSP0001"
        assert (await client.ask("H0STANC0", codes[41]))["body"]["msg_cd"] == "OPSP0000"
    async with (
        serving(NINE, limits=Limits(registrations=3)) as (simulator, clock),
        connected(simulator, clock) as client,
    ):
        answers = [(await client.ask("H0STANC0", code))["body"]["msg_cd"] for code in codes[:4]]
        assert answers[2:] == ["OPSP0000", "OPSP0008"]


async def test_nothing_comes_any_more_after_a_registration_is_removed() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        await client.ask("H0IFCNT0", "A01612")
        assert await client.listen(NINE + timedelta(minutes=1))
        await client.ask("H0IFCNT0", "A01612", tr_type="2")
        assert not await client.listen(NINE + timedelta(minutes=3))


async def test_a_registration_without_a_market_behind_it_is_taken_and_silent() -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        answer = await client.ask("H0STCNI0", "myid")
        assert (answer["body"]["msg_cd"], answer["header"]["encrypt"]) == ("OPSP0000", "Y")
        assert (len(answer["body"]["output"]["iv"]), len(answer["body"]["output"]["key"])) == (
            16,
            32,
        )
        assert not await client.listen(NINE + timedelta(minutes=2))


async def test_a_second_connection_of_a_key_is_refused_and_closed_until_the_first_ends() -> None:
    async with serving(NINE) as (simulator, clock):
        async with connected(simulator, clock) as first:
            await first.ask("H0IFCNT0", "A01612")
            async with connected(simulator, clock) as second:
                answer = await second.ask("H0STCNT0", "005930")
                assert answer["body"]["msg_cd"] == "OPSP8996"
                assert answer["header"]["tr_id"] == "(null)"
                assert await second.receive() is None
            assert await first.listen(NINE + timedelta(minutes=1))
        async with connected(simulator, clock) as third:
            assert (await third.ask("H0STCNT0", "005930"))["body"]["msg_cd"] == "OPSP0000"
        assert simulator.stream.counts["connections"] == 3


async def test_two_keys_have_a_connection_each() -> None:
    keys = {APP_KEY: APP_SECRET, "b" * 36: "secret"}
    async with serving(NINE, app_keys=keys) as (simulator, clock):
        async with aiohttp.ClientSession() as http:
            other = await approval_key(simulator, http, clock, appkey="b" * 36, secretkey="secret")
        async with connected(simulator, clock) as first, connected(simulator, clock) as second:
            second.approval = other["approval_key"]
            for client in (first, second):
                answer = await client.ask("H0IFCNT0", "A01612")
                assert answer["body"]["msg_cd"] == "OPSP0000"


@pytest.mark.parametrize("echoes", [True, False])
async def test_who_does_not_echo_is_cut_off_after_a_hundred_seconds(echoes: bool) -> None:
    async with serving(NINE) as (simulator, clock), connected(simulator, clock) as client:
        client.echoes = echoes
        await client.ask("H0IFCNT0", "A01612")
        await client.listen(NINE + timedelta(seconds=130))
        ended = NINE + timedelta(seconds=130 if echoes else 100)
        assert clock.now() == ended
        assert client.socket.closed == (not echoes)
        pings = [moment for moment, text in client.heard if "PINGPONG" in text]
        assert pings[:2] == [NINE + timedelta(seconds=10), NINE + timedelta(seconds=20)]
        header = json.loads(next(text for _, text in client.heard if "PINGPONG" in text))
        assert header == {"header": {"tr_id": "PINGPONG", "datetime": "20261118090010"}}


async def test_a_client_that_does_not_read_is_cut_off_and_holds_nobody_up() -> None:
    limits = Limits(unsent_bytes=1 << 16, echo_within=1e9)
    clock = ScaledClock(NINE, 3000)
    async with serve(MARKET, clock, limits=limits) as simulator, aiohttp.ClientSession() as http:
        approval = (await approval_key(simulator, http, clock))["approval_key"]
        socket = await http.ws_connect(simulator.stream_url + "/tryitout", max_msg_size=1)
        transport = socket.get_extra_info("socket")
        assert transport is not None
        for symbol in ("005930", "000660", "035420"):
            await socket.send_json(registration(approval, "H0STCNT0", symbol))
        socket._response.connection.transport.pause_reading()
        async with asyncio.timeout(60):
            while not simulator.stream.counts["slow clients"]:
                await clock.sleep(30)
        socket._response.connection.transport.abort()


async def test_closing_in_the_middle_of_everything_leaves_nothing_behind() -> None:
    async with serving(NINE) as (simulator, clock):
        for _ in range(3):
            async with connected(simulator, clock) as client:
                await client.ask("H0IFCNT0", "A01612")
                await client.receive()
        await clock.sleep(3600)  # time goes on without anybody
        async with connected(simulator, clock) as client:
            await client.ask("H0IFCNT0", "A01612")
            await client.receive()
            client.socket._response.connection.transport.abort()
            await client.listen(clock.now() + timedelta(seconds=60))
        await clock.sleep(3600)
        assert simulator.stream.counts["connections"] == 4


async def test_a_night_and_the_day_after_it_come_by_one_connection() -> None:
    evening = datetime(2026, 11, 18, 23, 59)  # the next day begins an hour later
    async with serving(evening) as (simulator, clock), connected(simulator, clock) as client:
        await client.ask("H0MFCNT0", "A01612")
        await client.ask("H0IFCNT0", "A01612")
        frames = await client.listen(datetime(2026, 11, 19, 9, 47))
        night = [(moment, text) for moment, text in frames if "H0MF" in text]
        day = [(moment, text) for moment, text in frames if "H0IF" in text]
        assert night[0][0] >= evening
        assert night[-1][0] > datetime(2026, 11, 19, 5, 59)
        assert records(night[-1][1])[-1][1] >= "300000"  # hours of a night go on, as by REST
        assert datetime(2026, 11, 19, 9, 45) < day[0][0] < datetime(2026, 11, 19, 9, 46)


async def test_a_plain_request_to_the_path_of_the_feed_is_no_connection() -> None:
    async with (
        serving(NINE) as (simulator, _),
        aiohttp.ClientSession() as http,
        http.get(simulator.base_url + "/tryitout/H0IFCNT0") as answer,
    ):
        assert answer.status == 400


async def read_all(websocket: ClientConnection) -> None:
    while True:
        await websocket.recv()


async def test_the_official_samples_way_of_talking_is_served() -> None:
    """As koreainvestment/open-trading-api does: JSON, split by |, a pong with the PINGPONG."""
    clock = ScaledClock(NINE, 10)
    limits = Limits(ping_every=1, echo_within=5)
    async with serve(MARKET, clock, limits=limits) as simulator:
        async with aiohttp.ClientSession() as http:
            approval = (await approval_key(simulator, http, clock))["approval_key"]
        prices, pings = [], 0
        url = simulator.stream_url + "/tryitout/H0STCNT0"
        async with connect(url, ping_interval=None) as websocket:
            senddata = (
                '{"header":{"approval_key":"' + approval + '","custtype":"P","tr_type":"1",'
                '"content-type":"utf-8"},"body":{"input":{"tr_id":"H0STCNT0","tr_key":"005930"}}}'
            )
            await websocket.send(senddata)
            while clock.now() < NINE + timedelta(seconds=12):
                data = await websocket.recv()
                if data[0] in ("0", "1"):
                    recvstr = data.split("|")
                    assert recvstr[1] == "H0STCNT0"
                    fields = recvstr[3].split("^")
                    prices += [int(fields[n * 46 + 2]) for n in range(int(recvstr[2]))]
                    continue
                message = json.loads(data)
                if message["header"]["tr_id"] == "PINGPONG":
                    pings += 1
                    await websocket.pong(data)
                    continue
                assert message["body"]["msg1"] == "SUBSCRIBE SUCCESS"
        assert prices
        assert pings >= 10  # so it was not cut off after 5 s
        assert not simulator.stream.counts["no echo"]
        async with connect(url, ping_interval=None) as silent:
            with pytest.raises(ConnectionClosed):
                await read_all(silent)
        assert simulator.stream.counts["no echo"] == 1
