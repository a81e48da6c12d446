"""Scenarios on the WebSocket: each fault does what it says, the same with each seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date, datetime, timedelta
from typing import Any, get_args

import aiohttp
import pytest

from engine.clock import VirtualClock
from engine.errors import InputError
from engine.market.sessions import Market
from engine.simulator import Scenario, Simulator, load_scenario
from engine.simulator.faults.garble import garbled
from engine.simulator.faults.rule import STREAM_BOOKS, STREAM_TRADES
from engine.simulator.faults.stream_rules import AnyStreamRule, ForeignRecords
from engine.simulator.market.data import open_session
from engine.simulator.stream.services import SERVICES, TRADES, problem
from tests.engine.simulator.stream.client import Client, connected, records, serving

NINE = datetime(2026, 11, 18, 9, 0)
LATER = NINE + timedelta(minutes=3)
SESSION = open_session(Market.DERIVATIVES, date(2026, 11, 18))
Frames = list[tuple[datetime, str]]


def scenario(*rules: dict[str, Any], seed: int = 0) -> Scenario:
    return Scenario.model_validate({"seed": seed, "rule": rules})


@asynccontextmanager
async def listening(
    *rules: dict[str, Any], seed: int = 0
) -> AsyncIterator[tuple[Client, Simulator, VirtualClock]]:
    """A client that has registered the trades of a future."""
    async with (
        serving(NINE, faults=scenario(*rules, seed=seed)) as (simulator, clock),
        connected(simulator, clock) as client,
    ):
        await client.ask("H0IFCNT0", "A01612")
        yield client, simulator, clock


async def frames(*rules: dict[str, Any], seed: int = 0) -> tuple[Frames, Counter[str]]:
    async with listening(*rules, seed=seed) as (client, simulator, _):
        return await client.listen(LATER), simulator.counts.faults


async def texts(*rules: dict[str, Any]) -> list[str]:
    return [text for _, text in (await frames(*rules))[0]]


def test_the_groups_of_rules_are_the_trs_that_are_served() -> None:
    books = tuple(tr_id for tr_id, service in SERVICES.items() if service.levels)
    assert (TRADES, books) == (STREAM_TRADES, STREAM_BOOKS)


async def test_lost_frames_do_not_come_and_the_others_do() -> None:
    usual = await texts()
    lost, counts = await frames({"what": "lost_frames", "every": 5})
    assert [text for _, text in lost] == [text for n, text in enumerate(usual, 1) if n % 5]
    assert counts == {"lost_frames": len(usual) // 5}


async def test_doubled_frames_come_so_many_times() -> None:
    usual = await texts()
    doubled = await texts({"what": "doubled_frames", "every": 4, "times": 3})
    expected = [[text] * (1 if n % 4 else 3) for n, text in enumerate(usual, 1)]
    assert doubled == [text for same in expected for text in same]


async def test_torn_frames_are_the_beginning_of_the_text() -> None:
    usual = await texts()
    torn = await texts({"what": "torn_frames", "share": 0.5})
    assert torn == [text[: len(text) // 2] for text in usual]


async def test_added_fields_stand_at_the_end_of_each_record() -> None:
    usual = await texts()
    added = await texts({"what": "added_fields", "fields": 2})
    assert [records(text) for text in added] == [
        [[*record, "0", "0"] for record in records(text)] for text in usual
    ]


async def test_foreign_records_follow_under_a_code_that_nobody_registered() -> None:
    usual = await texts()
    both = await texts({"what": "foreign_records"})
    assert both[::2] == usual
    for own, foreign in zip(both[::2], both[1::2], strict=True):
        assert {record[0] for record in records(foreign)} == {"A05612"}
        assert [r[1:] for r in records(foreign)] == [r[1:] for r in records(own)]
    assert problem("H0IFCNT0", "A05612") is None


@pytest.mark.parametrize(
    ("code", "other"),
    [("A05612", "A01612"), ("B01612A29", "B05612A29"), ("005930", "000020"), ("000020", "000040")],
)
def test_every_kind_of_symbol_has_another_one_of_its_kind(code: str, other: str) -> None:
    text = f"0|H0IFCNT0|002|{code}^1^{code}^2"
    foreign = garbled(text, [ForeignRecords(what="foreign_records")])[1]
    assert foreign == f"0|H0IFCNT0|002|{other}^1^{other}^2"


async def test_a_missing_count_leaves_two_bars_only() -> None:
    usual = await texts()
    missing = await texts({"what": "missing_count"})
    assert missing == ["|".join([*t.split("|")[:2], t.split("|")[3]]) for t in usual]


@pytest.mark.parametrize("seconds", [7, -90, 3600])
async def test_a_wrong_time_is_off_by_so_many_seconds(seconds: int) -> None:
    def shown(text: str) -> list[datetime]:
        return [datetime.strptime(record[1], "%H%M%S") for record in records(text)]

    usual = await texts()
    wrong = await texts({"what": "wrong_time", "seconds": seconds})
    off = timedelta(seconds=seconds)
    assert [shown(text) for text in wrong] == [[t + off for t in shown(text)] for text in usual]


async def test_held_frames_come_later_and_those_behind_them_all_at_once() -> None:
    usual = (await frames())[0]
    held = (await frames({"what": "held_frames", "seconds": 30, "limit": 1}))[0]
    assert held[0][0] == usual[0][0] + timedelta(seconds=30)
    waited = [text for moment, text in held if moment == held[0][0]]
    assert len(waited) > 10
    assert [text for _, text in held] == [text for _, text in usual]


async def test_silence_lasts_as_long_as_its_rule_and_the_connection_stays() -> None:
    rule = {"what": "silence", "from": "09:01:00", "to": "09:02:00"}
    usual = (await frames())[0]
    quiet = (await frames(rule))[0]
    begin, end = NINE + timedelta(minutes=1), NINE + timedelta(minutes=2)
    assert quiet == [frame for frame in usual if not begin <= frame[0] < end]
    async with listening(rule) as (client, _, _):
        await client.listen(LATER)
        pings = [moment for moment, text in client.heard if "PINGPONG" in text]
        assert any(begin <= moment < end for moment in pings)


async def test_a_dead_connection_does_not_even_ping() -> None:
    rule = {"what": "silence", "pings": False, "from": "09:01:00", "to": "09:02:00"}
    async with listening(rule) as (client, _, _):
        await client.listen(LATER)
        begin, end = NINE + timedelta(minutes=1), NINE + timedelta(minutes=2)
        assert not [moment for moment, _ in client.heard if begin <= moment < end]
        assert [moment for moment, _ in client.heard if moment >= end]


@pytest.mark.parametrize("farewell", [True, False])
async def test_a_cut_ends_the_connection_and_the_next_one_is_served(farewell: bool) -> None:
    rule = {"what": "stream_cut", "from": "09:01:00", "limit": 1, "farewell": farewell}
    async with listening(rule) as (client, simulator, clock):
        await client.listen(LATER)
        cut_at = clock.now()
        assert NINE + timedelta(minutes=1) <= cut_at < NINE + timedelta(minutes=1, seconds=10)
        async with connected(simulator, clock) as again:
            assert (await again.ask("H0IFCNT0", "A01612"))["body"]["msg_cd"] == "OPSP0000"
            assert await again.listen(LATER)
        assert simulator.counts.faults == {"stream_cut": 1}


async def test_a_registration_is_refused_with_the_code_of_the_rule() -> None:
    rule = {"what": "refuse_registration", "code": "OPSP0007", "limit": 1}
    async with (
        serving(NINE, faults=scenario(rule)) as (simulator, clock),
        connected(simulator, clock) as client,
    ):
        codes = [(await client.ask("H0UPCNT0", "2001"))["body"]["msg_cd"] for _ in range(2)]
        assert codes == ["OPSP0007", "OPSP0000"]


async def test_a_key_in_use_is_refused_and_the_connection_closed_as_often_as_the_rule_says() -> (
    None
):
    rule = {"what": "refuse_registration", "code": "OPSP8996", "limit": 2}
    async with serving(NINE, faults=scenario(rule)) as (simulator, clock):
        for code in ("OPSP8996", "OPSP8996", "OPSP0000"):
            async with connected(simulator, clock) as client:
                answer = await client.ask("H0IFCNT0", "A01612")
                assert answer["body"]["msg_cd"] == code
                assert (await client.receive() is None) == (code == "OPSP8996")


async def test_an_approval_that_is_lost_needs_a_new_one() -> None:
    rule = {"what": "refuse_registration", "code": "OPSP0011", "limit": 1}
    async with serving(NINE, faults=scenario(rule)) as (simulator, clock):
        async with connected(simulator, clock) as client:
            old = client.approval
            for _ in range(2):  # once by the rule, then because it is gone
                answer = await client.ask("H0IFCNT0", "A01612")
                assert answer["body"]["msg_cd"] == "OPSP0011"
        async with connected(simulator, clock) as client:
            assert client.approval != old
            assert (await client.ask("H0IFCNT0", "A01612"))["body"]["msg_cd"] == "OPSP0000"


async def test_a_registration_limit_holds_for_a_while() -> None:
    rule = {"what": "registration_limit", "registrations": 1, "to": "09:01:00"}
    async with listening(rule) as (client, _, clock):
        assert (await client.ask("H0IFASP0", "A01612"))["body"]["msg_cd"] == "OPSP0008"
        await client.listen(NINE + timedelta(minutes=1))
        assert clock.now() == NINE + timedelta(minutes=1)
        assert (await client.ask("H0IFASP0", "A01612"))["body"]["msg_cd"] == "OPSP0000"


async def test_maintenance_ends_connections_and_lets_none_begin() -> None:
    rule = {"what": "maintenance", "from": "09:01:00", "to": "09:02:00"}
    async with listening(rule) as (client, simulator, clock):
        await client.listen(LATER)
        assert clock.now() < NINE + timedelta(minutes=1, seconds=11)
        async with aiohttp.ClientSession() as http:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await http.ws_connect(simulator.stream_url + "/tryitout")
            assert refused.value.status == 503
        await clock.sleep_until(NINE + timedelta(minutes=2))
        async with connected(simulator, clock) as again:
            await again.ask("H0IFCNT0", "A01612")
            assert await again.listen(LATER)


async def test_rules_hold_for_their_endpoints_and_symbols_only() -> None:
    usual = await texts()
    for rule in (
        {"what": "lost_frames", "endpoint": "books"},
        {"what": "lost_frames", "endpoint": "H0STCNT0"},
        {"what": "lost_frames", "symbol": "B*"},
    ):
        assert await texts(rule) == usual
    for rule in (
        {"what": "lost_frames", "endpoint": "trades"},
        {"what": "lost_frames", "endpoint": ["books", "H0IFCNT0"], "symbol": "A01*"},
    ):
        assert await texts(rule) == []


async def test_the_same_seed_loses_the_same_frames() -> None:
    rule = {"what": "lost_frames", "probability": 0.3}
    first, again, other = [(await frames(rule, seed=seed))[0] for seed in (1, 1, 2)]
    assert first == again
    assert [text for _, text in first] != [text for _, text in other]


def test_a_rule_about_the_feed_names_trs_of_the_feed() -> None:
    with pytest.raises(ValueError, match="endpoint 'bars' is not one of"):
        scenario({"what": "lost_frames", "endpoint": "bars"})
    with pytest.raises(ValueError, match="endpoint 'books' is not one of"):
        scenario({"what": "cut", "endpoint": "books"})


def test_rough_and_storm_have_faults_of_the_feed_and_the_storm_all(tmp_path: Any) -> None:
    kinds = {rule.model_fields["what"].annotation for rule in get_args(AnyStreamRule)}
    every = {kind for annotation in kinds for kind in get_args(annotation)}
    assert len(every) == 12
    used = {
        name: {rule.what for rule in load_scenario(name).rule} & every
        for name in ("rough", "storm")
    }
    assert used["storm"] == every
    assert {"stream_cut", "lost_frames", "silence"} <= used["rough"]
    path = tmp_path / "mine.toml"
    path.write_text('[[rule]]\nwhat = "torn_frames"\nshare = 1.5')
    with pytest.raises(InputError, match="rule 1, torn_frames, share"):
        load_scenario(path)
