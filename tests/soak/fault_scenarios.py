"""What KIS does wrong in a session: nothing, a shipped scenario, or one drawn from all rules."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import time

from engine.simulator.faults.scenario import Scenario, load_scenario

Rule = dict[str, object]
ASKED = ["bars", "options"]


def draw_weather(chance: random.Random, number: int) -> tuple[str, Scenario]:
    """Return a scenario and its name; its dice differ from session to session."""
    kind = chance.choices(["fine", "rough", "storm", "drawn"], [35, 20, 15, 30])[0]
    if kind in ("rough", "storm"):
        return kind, load_scenario(kind).model_copy(update={"seed": number})
    rules = [] if kind == "fine" else _rules(chance)
    return kind, Scenario.model_validate({"seed": number, "rule": rules})


def _rules(chance: random.Random) -> list[Rule]:
    kinds = chance.sample(sorted(KINDS), chance.randint(3, 8))
    return [{"what": kind} | KINDS[kind](chance) for kind in kinds]


def _often(chance: random.Random, most: float) -> Rule:
    return {"probability": round(chance.uniform(0.001, most), 4)}


def _while(chance: random.Random, longest: int) -> Rule:
    """Return from and to: up to so many minutes somewhere in a day and what is around it."""
    first = chance.randrange(8 * 60 + 30, 15 * 60 + 50)
    last = first + chance.randint(1, longest)
    return {"from": time(first // 60, first % 60), "to": time(last // 60, last % 60)}


def _refuse(chance: random.Random) -> Rule:
    code, status = chance.choice(
        [("EGW00201", 500), ("EGW00202", 500), ("EGW00202", 200), ("EGW00206", 403)]
    )
    # KIS may refuse calls all day, but not all of them at the close: no bar could then be fetched
    return {"endpoint": ASKED, "code": code, "status": status, "to": "15:45"} | _often(chance, 0.04)


def _correct(chance: random.Random) -> Rule:
    minutes = chance.choice([0.5, 2.5, 20.0, "sealed"])
    return {"minutes": minutes, "ticks": chance.randrange(6)} | _often(chance, 0.05)


def _phantom(chance: random.Random) -> Rule:
    inside = {"where": "inside", "to": "15:15"} if chance.random() < 0.3 else {}
    return (
        {"endpoint": "bars", "factor": chance.choice([3.0, 10.0])} | inside | _often(chance, 0.02)
    )


def _at_bars(most: float) -> Callable[[random.Random], Rule]:
    return lambda chance: {"endpoint": "bars"} | _often(chance, most)


def _at_all(most: float) -> Callable[[random.Random], Rule]:
    return lambda chance: {"endpoint": ASKED} | _often(chance, most)


KINDS: dict[str, Callable[[random.Random], Rule]] = {
    "refuse": _refuse,
    "kill_token": lambda chance: {"limit": chance.randint(1, 3)} | _while(chance, 60),
    "pace": lambda chance: {"calls_per_second": chance.choice([1, 2, 3])} | _while(chance, 60),
    "maintenance": lambda chance: _while(chance, 30),
    "slow": lambda chance: {"seconds": chance.choice([1.0, 4.0, 60.0])} | _at_all(0.02)(chance),
    "cut": lambda chance: {"half": chance.random() < 0.5} | _at_all(0.02)(chance),
    "malformed": _at_all(0.02),
    "html": lambda chance: {"status": chance.choice([200, 502])} | _at_all(0.02)(chance),
    "empty_body": _at_all(0.02),
    "empty_answer": _at_all(0.02),
    "wrong_date": _at_bars(0.02),
    "repeated_bars": _at_bars(0.05),
    "phantom_bars": _phantom,
    "odd_values": _at_all(0.03),
    "late_bar": lambda chance: {"seconds": chance.choice([5, 30, 90, 600])} | _often(chance, 0.1),
    "missing_bar": lambda chance: (
        {"until": chance.choice(["sealed", "never"])} | _often(chance, 0.03)
    ),
    "corrected_bar": _correct,
    "impossible_bar": lambda chance: (
        {"until": chance.choice(["sealed", "never"])} | _often(chance, 0.01)
    ),
}


def with_stream_rules(scenario: Scenario, chance: random.Random) -> Scenario:
    """Return the scenario with some faults of the feed beside its own."""
    kinds = chance.sample(sorted(STREAM_KINDS), chance.randint(1, 4))
    added = [{"what": kind} | STREAM_KINDS[kind](chance) for kind in kinds]
    rules = Scenario.model_validate({"rule": added}).rule
    return scenario.model_copy(update={"rule": (*scenario.rule, *rules)})


def _at_frames(most: float) -> Callable[[random.Random], Rule]:
    return lambda chance: _often(chance, most)


def _refuse_registration(chance: random.Random) -> Rule:
    codes = ["OPSP0007", "OPSP0008", "OPSP0011", "OPSP8991", "OPSP8992", "OPSP8996"]
    return {"code": chance.choice(codes)} | _while(chance, 60)


STREAM_KINDS: dict[str, Callable[[random.Random], Rule]] = {
    "stream_cut": lambda chance: {"farewell": chance.random() < 0.5} | _while(chance, 15),
    "silence": lambda chance: {"pings": chance.random() < 0.5} | _while(chance, 30),
    "lost_frames": _at_frames(0.02),
    "doubled_frames": lambda chance: {"times": chance.choice([2, 5])} | _often(chance, 0.05),
    "torn_frames": _at_frames(0.01),
    "added_fields": lambda chance: {"fields": chance.choice([1, 3, 20])} | _while(chance, 240),
    "foreign_records": _at_frames(0.01),
    "missing_count": _at_frames(0.05),
    "wrong_time": lambda chance: (
        {"endpoint": "trades", "seconds": chance.choice([-90, -3, 7, 600])} | _while(chance, 30)
    ),
    "held_frames": lambda chance: (
        {"seconds": chance.choice([1.0, 5.0, 40.0])} | _often(chance, 0.001)
    ),
    "refuse_registration": _refuse_registration,
    "registration_limit": lambda chance: (
        {"registrations": chance.choice([0, 1])} | _while(chance, 60)
    ),
}
