"""Scenarios: each fault does what it says, to the calls it names, the same with each seed."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.market.sessions import Market, session
from engine.simulator import RecordedMarket, Scenario, SyntheticMarket, load_scenario
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.faults.injector import FaultInjector
from tests.served import served_bars

DAY = date(2026, 11, 18)
TEN = datetime(2026, 11, 18, 10, 0, 30)
MARKET = SyntheticMarket(7)


def scenario(*rules: dict[str, Any], seed: int = 1) -> Scenario:
    return Scenario.model_validate({"seed": seed, "rule": rules})


async def bars(caller: Any, hour: str = "095900", symbol: str = "A01612") -> httpx.Response:
    return await caller.get(
        "FHKIF03020200",
        FID_COND_MRKT_DIV_CODE="F",
        FID_INPUT_ISCD=symbol,
        FID_HOUR_CLS_CODE="60",
        FID_PW_DATA_INCU_YN="Y",
        FID_FAKE_TICK_INCU_YN="N",
        FID_INPUT_DATE_1="20261118",
        FID_INPUT_HOUR_1=hour,
    )


async def hours(caller: Any, hour: str = "095900") -> list[str]:
    return [row["stck_cntg_hour"] for row in (await bars(caller, hour)).json()["output2"]]


@pytest.mark.parametrize(
    ("rule", "status", "start"),
    [
        ({"what": "refuse"}, 500, b'{"rt_cd":"1","msg_cd":"EGW00202"'),
        ({"what": "refuse", "status": 200, "code": "X"}, 200, b'{"rt_cd":"1","msg_cd":"X"'),
        ({"what": "refuse", "status": 403}, 403, b'{"rt_cd":"1"'),
        ({"what": "html", "status": 502}, 502, b"<!DOCTYPE html>"),
        ({"what": "empty_body"}, 200, b""),
        ({"what": "maintenance"}, 503, b"<!DOCTYPE html>"),
        ({"what": "malformed"}, 200, b'{"output1":{"futs_prdy_vrss"'),
    ],
)
async def test_an_injected_refusal_or_broken_answer_lasts_as_long_as_its_rule(
    calling: Any, rule: Any, status: int, start: bytes
) -> None:
    rule = {"from": "10:00:30", "to": "10:00:31", "endpoint": "bars", **rule}
    async with calling(TEN - timedelta(seconds=1), faults=scenario(rule)) as caller:
        assert (await bars(caller)).status_code == 200
        await caller.clock.sleep(1)
        answer = await bars(caller)
        assert (answer.status_code, answer.content[: len(start) or None]) == (status, start)
        assert not answer.content.endswith('정상처리 되었습니다."}'.encode())
        await caller.clock.sleep(1)
        assert (await bars(caller)).json()["rt_cd"] == "0"
        assert caller.simulator.counts.faults == {rule["what"]: 1}
        assert not caller.simulator.counts.refusals


@pytest.mark.parametrize("half", [False, True])
async def test_a_cut_connection_is_an_error_and_the_next_call_works(
    calling: Any, half: bool
) -> None:
    rule = {"what": "cut", "half": half, "endpoint": "bars", "every": 2}
    async with calling(TEN, faults=scenario(rule)) as caller:
        assert (await bars(caller)).status_code == 200
        with pytest.raises(httpx.TransportError):
            await bars(caller)
        assert (await bars(caller)).status_code == 200


async def test_a_slow_answer_takes_the_clocks_time_and_shows_the_moment_of_the_call(
    calling: Any,
) -> None:
    rule = {"what": "slow", "seconds": 40, "endpoint": "FHKIF03020200"}
    async with calling(TEN, MARKET) as caller:
        expected = (await bars(caller, "100000")).json()
    async with calling(TEN, MARKET, faults=scenario(rule)) as caller:
        caller.headers["gt_uid"] = "a" * 32
        async with caller.clock.busy("a" * 32):
            answer = await bars(caller, "100000")
        assert caller.clock.now() == TEN + timedelta(seconds=40)
        assert answer.json() == expected  # row 0 is still the partial bar of 10:00:30


async def test_a_client_that_gives_up_leaves_nothing_behind(calling: Any) -> None:
    rule = {"what": "slow", "seconds": 600, "endpoint": "bars", "limit": 1}
    async with calling(TEN, faults=scenario(rule)) as caller:
        caller.headers["gt_uid"] = "b" * 32
        with pytest.raises(TimeoutError):
            async with caller.clock.busy("b" * 32), caller.clock.timeout(5):
                await bars(caller)
        assert caller.clock.now() == TEN + timedelta(seconds=5)
        assert (await bars(caller)).status_code == 200


async def test_a_killed_token_is_refused_until_a_new_one_is_issued(calling: Any) -> None:
    rule = {"what": "kill_token", "from": "10:02:00", "limit": 1, "code": "EGW00123"}
    async with calling(TEN, faults=scenario(rule)) as caller:
        old = caller.headers["authorization"]
        await caller.clock.sleep(90)
        for _ in range(2):
            answer = await bars(caller)
            assert (answer.status_code, answer.json()["msg_cd"]) == (500, "EGW00123")
        await caller.log_in()
        assert caller.headers["authorization"] != old
        assert (await bars(caller)).status_code == 200


async def test_pace_rule_lowers_what_is_let_through(calling: Any) -> None:
    rule = {"what": "pace", "calls_per_second": 2, "from": "10:01:00", "to": "10:02:00"}
    async with calling(TEN, faults=scenario(rule), calls_per_second=4) as caller:
        assert [(await bars(caller)).status_code for _ in range(5)] == [200] * 4 + [500]
        await caller.clock.sleep(60)
        assert [(await bars(caller)).status_code for _ in range(3)] == [200] * 2 + [500]


async def test_late_bar_appears_so_many_seconds_after_its_minute(calling: Any) -> None:
    rule = {"what": "late_bar", "seconds": 20, "from": "10:00:00", "to": "10:01:00"}
    async with calling(TEN, faults=scenario(rule)) as caller:
        assert (await hours(caller, "100000"))[0] == "095900"
        await caller.clock.sleep_until(datetime(2026, 11, 18, 10, 1, 19))
        assert "100000" not in await hours(caller, "100100")
        await caller.clock.sleep(1)
        assert "100000" in await hours(caller, "100100")


async def test_missing_bars_come_when_sealed_or_never(calling: Any) -> None:
    rules = (
        {"what": "missing_bar", "from": "09:10", "to": "09:12"},
        {"what": "missing_bar", "from": "09:20", "to": "09:21", "until": "never"},
    )
    async with calling(TEN, faults=scenario(*rules)) as caller:
        seen = await hours(caller)
        assert not {"091000", "091100", "092000"} & {*seen}
        await caller.clock.sleep_until(session(Market.DERIVATIVES, DAY).sealed_at)
        seen = await hours(caller)
        assert {"091000", "091100"} <= {*seen}
        assert "092000" not in seen
        assert served_bars(caller.simulator.exchange, "A01612", DAY).height == 410
        assert served_bars(caller.simulator.exchange, "A01612", date(2026, 11, 17)).height == 411


async def test_an_impossible_bar_has_its_high_below_its_low_until_sealed_or_for_good(
    calling: Any,
) -> None:
    rules = (
        {"what": "impossible_bar", "from": "09:10", "to": "09:11", "until": "sealed"},
        {"what": "impossible_bar", "from": "09:20", "to": "09:21"},
    )
    async with calling(TEN, MARKET, faults=scenario(*rules)) as caller:
        found = []
        for moment in (TEN, session(Market.DERIVATIVES, DAY).sealed_at):
            await caller.clock.sleep_until(moment)
            rows = (await bars(caller, "092100")).json()["output2"]
            wrong = [
                r["stck_cntg_hour"] for r in rows if float(r["futs_hgpr"]) < float(r["futs_lwpr"])
            ]
            found.append(wrong)
        assert found == [["092000", "091000"], ["092000"]]
        exchange = caller.simulator.exchange
        assert served_bars(exchange, "A01612", DAY).height == 410
        assert served_bars(exchange, "A01612", DAY, impossible=True).height == 411
        assert served_bars(exchange, "A01612", DAY, traded=True).height == 411


async def test_corrected_bars_are_wrong_first_and_right_after(calling: Any) -> None:
    rule = {"what": "corrected_bar", "minutes": 3, "from": "10:00:00", "to": "10:01:00"}
    async with calling(TEN, MARKET, faults=scenario(rule)) as caller:
        await caller.clock.sleep_until(datetime(2026, 11, 18, 10, 1, 2))
        wrong = (await bars(caller, "100000")).json()["output2"][0]
        await caller.clock.sleep_until(datetime(2026, 11, 18, 10, 4, 0))
        right = (await bars(caller, "100000")).json()["output2"][0]
        truth = served_bars(caller.simulator.exchange, "A01612", DAY).filter(
            label=datetime(2026, 11, 18, 10)
        )
    assert (float(right["futs_prpr"]), int(right["cntg_vol"])) == truth.row(0)[-2:]
    assert abs(float(wrong["futs_prpr"]) - float(right["futs_prpr"])) == pytest.approx(0.2)
    assert int(wrong["cntg_vol"]) < int(right["cntg_vol"])
    assert float(wrong["futs_lwpr"]) <= float(wrong["futs_prpr"]) <= float(wrong["futs_hgpr"])


async def test_each_fault_of_rows_does_what_its_name_says(calling: Any) -> None:
    async def rows(**rule: Any) -> list[dict[str, Any]]:
        async with calling(TEN, MARKET, faults=scenario({"endpoint": "bars", **rule})) as caller:
            return (await bars(caller)).json()["output2"]

    good = await rows(what="repeated_bars", symbol="B*")
    repeated = await rows(what="repeated_bars", times=5)
    assert sorted(repeated.count(row) for row in good)[-2:] == [1, 5]
    outside = await rows(what="phantom_bars")
    (phantom,) = [row for row in outside if row not in good]
    assert phantom["stck_cntg_hour"] == "073000"
    inside = await rows(what="phantom_bars", where="inside", factor=2)
    (phantom,) = [row for row in inside if row not in good]
    twin = next(row for row in good if row["stck_cntg_hour"] == phantom["stck_cntg_hour"])
    assert float(phantom["futs_prpr"]) == pytest.approx(2 * float(twin["futs_prpr"]))
    odd = await rows(what="odd_values")
    assert len([row for row in odd if row not in good]) == 1
    assert await rows(what="empty_answer") == []
    wrong = await rows(what="wrong_date")
    assert {row["stck_bsop_date"] for row in wrong} == {"20261117"}
    assert len(wrong) == len(good)


async def test_rules_apply_only_to_the_endpoints_and_symbols_that_they_name(calling: Any) -> None:
    rule = {"what": "empty_answer", "endpoint": ["futures", "token"], "symbol": "A05*"}
    async with calling(TEN, faults=scenario(rule)) as caller:
        assert (await bars(caller)).json()["output2"]
        assert not (await bars(caller, symbol="A05612")).json()["output2"]
        assert await caller.stock_today("005930", "100000")


async def test_same_seed_gives_the_same_bytes_for_the_same_calls(calling: Any) -> None:
    async def run(seed: int) -> list[bytes]:
        faults = load_scenario("storm").model_copy(update={"seed": seed})
        got = []
        async with calling(TEN - timedelta(hours=1), SyntheticMarket(3), faults=faults) as caller:
            for n in range(60):
                caller.headers["gt_uid"] = str(n)
                try:
                    async with caller.clock.busy(str(n)):
                        answer = await bars(caller, symbol=("A01612", "A05612")[n % 2])
                    got.append(bytes([answer.status_code % 256]) + answer.content)
                except httpx.TransportError:
                    got.append(b"cut")
                await caller.clock.sleep(1)
        return got

    first, second, other = await run(5), await run(5), await run(6)
    assert first == second
    assert first != other


@given(st.permutations(["A01612", "A05612", "005930"] * 6))
def test_dice_do_not_depend_on_the_order_of_other_symbols(order: list[str]) -> None:
    def hits(symbols: list[str]) -> dict[str, list[list[int]]]:
        rules = scenario(
            {"what": "slow", "seconds": 1, "probability": 0.3}, {"what": "cut", "every": 2}
        )
        injector = FaultInjector(rules, DAY, Counter())
        found: dict[str, list[list[int]]] = {}
        for symbol in symbols:
            applied = injector.rules_for_call("FHKIF03020200", symbol, TEN)
            found.setdefault(symbol, []).append([number for number, _ in applied])
        return found

    assert hits(order) == hits(sorted(order))


@pytest.mark.parametrize("name", ["rough", "storm"])
async def test_shipped_scenarios_serve_every_bar_of_the_file_in_the_end(
    calling: Any, futures_file: Any, name: str
) -> None:
    day, market = date(2025, 9, 1), RecordedMarket(futures_file)
    truth = market.bars("101W09", session(Market.DERIVATIVES, day))
    start = datetime(2025, 9, 1, 8, 30)
    async with calling(start, market, faults=load_scenario(name), log_in=False) as caller:
        served = served_bars(caller.simulator.exchange, "101W09", day)
        faults = caller.simulator.counts.faults
        hours = session(Market.DERIVATIVES, day)
        written = caller.simulator.exchange.session_rows("101W09", hours)
        when_sealed = written.visible(hours.sealed_at, hours.sealed_at, 500)
    assert served.equals(truth)
    assert when_sealed == written.rows[::-1]
    assert faults["late_bar"] > 5
    assert {"missing_bar", "corrected_bar"} <= {*faults}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("sed = 1", "unknown key 'sed'"),
        ('[[rule]]\nwhat = "late_bar"\nsecond = 3', "rule 1, late_bar, unknown key 'second'"),
        ('[[rule]]\nwhat = "late_bar"', "rule 1, late_bar, seconds: Field required"),
        ('[[rule]]\nwhat = "late_baa"', "rule 1: Input tag 'late_baa'"),
        ('[[rule]]\nwhat = "cut"\nendpoint = "bar"', "endpoint 'bar' is not one of"),
        (
            '[[rule]]\nwhat = "cut"\nfrom = "10:00"\nto = "09:00"',
            "from 10:00:00 is after to 09:00:00",
        ),
        ('[[rule]]\nwhat = "cut"\nevery = 3\nprobability = 0.1', "probability or every, not both"),
        ("rule", "is not TOML"),
    ],
)
def test_a_wrong_scenario_is_one_clear_line(tmp_path: Any, text: str, problem: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert problem in message
    assert str(path) in message
    assert "\n" not in message


def test_an_unknown_scenario_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match="rough, storm"):
        load_scenario("drizzle")


def test_bars_of_history_are_left_alone() -> None:
    rules = scenario({"what": "missing_bar", "until": "never"})
    exchange = SimulatedExchange(MARKET, FaultInjector(rules, DAY, Counter()).add_faults)
    sessions = [session(Market.DERIVATIVES, day) for day in (date(2026, 11, 17), DAY)]
    faults = [exchange.session_rows("A01612", hours).faults for hours in sessions]
    assert [len(found) for found in faults] == [0, 411]


def test_bars_are_late_about_as_often_as_the_rule_says() -> None:
    counts: Counter[str] = Counter()
    rules = scenario({"what": "late_bar", "seconds": 5, "probability": 0.1})
    exchange = SimulatedExchange(MARKET, FaultInjector(rules, DAY, counts).add_faults)
    for n in range(20):
        exchange.session_rows(f"{n:06d}", session(Market.STOCKS, DAY))
    assert 0.08 < counts["late_bar"] / (20 * 381) < 0.12


async def logged_in(caller: Any) -> None:
    token = None
    while not token:
        await caller.clock.sleep(61)
        token = (await caller.ask_token()).json().get("access_token")
    caller.headers["authorization"] = f"Bearer {token}"


async def asked_until_answered(caller: Any, symbol: str, hour: str) -> list[dict[str, Any]]:
    """Ask as long as it takes: what a client has to do in a storm."""
    for _ in range(40):
        await caller.clock.sleep(1)
        try:
            async with caller.clock.timeout(5), caller.clock.busy(caller.headers["gt_uid"]):
                answer = await bars(caller, hour, symbol)
            rows: list[dict[str, Any]] = answer.json()["output2"]
        except (httpx.TransportError, TimeoutError, ValueError):
            continue
        except KeyError:
            if answer.json().get("msg_cd") in ("EGW00121", "EGW00123"):
                await logged_in(caller)
            continue
        if rows:
            return rows
    raise AssertionError("forty refusals in a row")


def readable(rows: list[dict[str, Any]], expected: set[str]) -> dict[str, tuple[float, ...]]:
    """Keep the rows of the day that can be read, as label → values."""
    kept = {}
    for row in rows:
        try:
            if row["stck_bsop_date"] == "20261118" and row["stck_cntg_hour"] in expected:
                prices = [row[f"futs_{name}"] for name in ("oprc", "hgpr", "lwpr", "prpr")]
                assert all(text.replace(".", "").isascii() for text in prices)
                kept[row["stck_cntg_hour"]] = (*map(float, prices), int(row["cntg_vol"]))
        except (KeyError, ValueError, TypeError, AttributeError, AssertionError):
            continue
    return kept


async def test_after_the_storm_a_patient_collector_has_every_bar(calling: Any) -> None:
    sealed_at = session(Market.DERIVATIVES, DAY).sealed_at
    async with calling(sealed_at, MARKET, faults=load_scenario("storm"), log_in=False) as caller:
        await logged_in(caller)
        truth = served_bars(caller.simulator.exchange, "A01612", DAY)
        expected = [f"{label:%H%M%S}" for label in truth["label"]]
        kept: dict[str, tuple[float, ...]] = {}
        for page in range(60):
            lacking = [hour for hour in expected if hour not in kept]
            if not lacking:
                break
            caller.headers["gt_uid"] = f"{page:032d}"
            kept |= readable(await asked_until_answered(caller, "A01612", lacking[-1]), {*expected})
        assert [kept.get(hour) for hour in expected] == [row[1:] for row in truth.rows()]
        assert caller.simulator.counts.faults.total() > 5
