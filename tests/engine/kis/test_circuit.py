"""When KIS is down, calls wait while single ones probe it."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta

import pytest

from engine.clock import VirtualClock
from engine.errors import KisRefused, KisUnreachable
from engine.kis.circuit import Circuit

START = datetime(2026, 11, 20, 10, 5)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START)


async def attempt(circuit: Circuit, symbol: str, error: Exception | None = None) -> bool:
    """Make a call that ends with the error, or well; return whether it was a probe."""
    probing = circuit.open and await circuit.admit()
    try:
        async with circuit.watch(symbol, probing=probing):
            if error:
                raise error
    except KisUnreachable:
        pass
    return probing


async def broken(clock: VirtualClock) -> Circuit:
    circuit = Circuit(clock)
    for symbol in "abcde":
        await attempt(circuit, symbol, KisUnreachable("no"))
    return circuit


async def test_opens_after_failures_of_several_symbols(clock) -> None:
    assert (await broken(clock)).open


async def test_failures_of_one_symbol_do_not_open_it(clock) -> None:
    circuit = Circuit(clock)
    for symbol in "abc":
        await attempt(circuit, symbol)
    for _ in range(50):
        await attempt(circuit, "a", KisUnreachable("no"))
    assert not circuit.open


async def test_a_user_of_a_single_symbol_is_protected_too(clock) -> None:
    circuit = Circuit(clock)
    for _ in range(5):
        await attempt(circuit, "a", KisUnreachable("no"))
    assert circuit.open


async def test_an_answer_in_between_keeps_it_closed(clock) -> None:
    circuit = Circuit(clock)
    for symbol in "abcdefgh":
        await attempt(circuit, symbol, KisUnreachable("no"))
        if symbol in "cf":
            await attempt(circuit, symbol)
    assert not circuit.open


async def test_a_refusal_is_an_answer(clock) -> None:
    circuit = await broken(clock)
    await clock.sleep(20)
    with pytest.raises(KisRefused):
        await attempt(circuit, "x", KisRefused("no such symbol"))
    assert not circuit.open


async def test_while_open_single_calls_probe_at_growing_intervals(clock) -> None:
    circuit = await broken(clock)
    probes: list[float] = []

    async def keep_trying(symbol: str) -> None:
        while True:
            if await attempt(circuit, symbol, KisUnreachable("no")):
                probes.append((clock.now() - START).total_seconds())

    tasks = [asyncio.create_task(keep_trying(symbol)) for symbol in "abcdef"]
    await clock.sleep(60)
    for task in tasks:
        task.cancel()
    assert probes == [1, 3, 7, 15, 30, 45, 60][: len(probes)]
    assert len(probes) >= 6


async def test_when_a_probe_succeeds_all_calls_go_on(clock) -> None:
    circuit = await broken(clock)
    outcomes = await asyncio.gather(*(attempt(circuit, symbol) for symbol in "abcdef"))
    assert Counter(outcomes) == {True: 1, False: 5}
    assert clock.now() == START + timedelta(seconds=1)
    assert not circuit.open


async def test_a_probe_whose_time_was_up_is_followed_by_another(clock) -> None:
    circuit = await broken(clock)

    async def stuck() -> None:
        async with circuit.watch("a", probing=await circuit.admit()):
            await clock.sleep(1000)

    async def with_deadline() -> None:
        async with clock.timeout(5):
            await stuck()

    first = asyncio.create_task(with_deadline())
    await asyncio.sleep(0)  # noqa: TID251
    results = await asyncio.gather(first, attempt(circuit, "b"), return_exceptions=True)
    assert isinstance(results[0], TimeoutError)
    assert results[1] is True, "the other call did not probe"
    assert not circuit.open


async def test_a_call_cancelled_while_waiting_to_probe_leaves_the_probe_to_another(clock) -> None:
    circuit = await broken(clock)
    first = asyncio.create_task(attempt(circuit, "a"))
    second = asyncio.create_task(attempt(circuit, "b"))
    await clock.sleep(0.5)
    first.cancel()
    assert await second
    assert clock.now() == START + timedelta(seconds=1)


async def test_losing_kis_and_its_return_are_logged_once_each(clock, caplog) -> None:
    caplog.set_level("INFO")
    circuit = await broken(clock)
    for symbol in "abcdefgh":
        await attempt(circuit, symbol, KisUnreachable("no"))
    await attempt(circuit, "a")
    await attempt(circuit, "b")
    assert [record.message[0] for record in caplog.records] == ["❌", "✅"]
