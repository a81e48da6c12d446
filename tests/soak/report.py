"""What a season came to, as a table for people and as Markdown for the docs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from statistics import median
from typing import Any

from rich.table import Table

from tests.soak.play import Outcome

HELD = ("memory", "files", "connections", "tasks", "threads")
SETTLING = 5  # sessions in which a process fills its caches
MOST_GROWTH = {"memory": 1.0, "files": 0.2, "connections": 0.2, "tasks": 0.2, "threads": 0.2}
ENOUGH = 8  # sessions after that: of a shorter life nothing can be said


@dataclass(frozen=True)
class Played:
    """Whose report it is."""

    seed: int
    played_on: date
    sessions: tuple[date, ...]
    seconds: float


def rows(season: Played, outcome: Outcome) -> list[tuple[str, str]]:
    """Return the lines of the report: what, and how much."""
    first, last = season.sessions[0], season.sessions[-1]
    found = [
        ("seed", f"{season.seed}, played on {season.played_on}"),
        ("sessions", f"{len(season.sessions)}, {first} to {last}"),
        ("drawn", _times(outcome.drawn)),
        ("faults of KIS", _times(outcome.rules)),
        ("checked", ", ".join(f"{n:,} {what}" for what, n in sorted(outcome.counts.items()))),
        ("corrections", f"{_total(outcome, 'corrections'):,} bars that KIS later corrected"),
        ("calls", f"{_total(outcome, 'calls'):,}"),
        ("processes", f"{len(outcome.lives)}, the longest {len(_longest(outcome))} sessions"),
    ]
    for (state, reason), stamps in sorted(outcome.gaps.items()):
        found += [(f"gaps: {state}", f"{stamps:,} minutes: {reason}")]
    found += [(what, _growth(what, _longest(outcome))) for what in HELD]
    found += [("simulator's memory", _growth("simulator's memory", _longest(outcome)))]
    ours, theirs = _total(outcome, "seconds"), _total(outcome, "simulator's seconds")
    cpu = f"CPU of the collector {ours:,.0f} s, of the simulator {theirs:,.0f} s"
    return [*found, ("time", f"{season.seconds:,.0f} s; {cpu}")]


def _times(drawn: Counter[str]) -> str:
    return ", ".join(f"{what} {n}×" for what, n in drawn.most_common())


def what_grows(outcome: Outcome) -> list[str]:
    """Return what did not stay flat over the longest life of a process."""
    life = _longest(outcome)[SETTLING:]
    if len(life) < ENOUGH:
        return []
    growth = {what: slope([figures[what] for figures in life]) for what in HELD}
    return [
        f"{what} grows by {growth[what]:.2f} a session"
        for what in HELD
        if growth[what] > MOST_GROWTH[what]
    ]


def slope(values: list[float]) -> float:
    """Return the growth a step: the median over all pairs (Theil, Sen), which no outlier moves."""
    pairs = [
        (later - value) / steps
        for start, value in enumerate(values)
        for steps, later in enumerate(values[start + 1 :], start=1)
    ]
    return median(pairs) if pairs else 0.0


def _growth(what: str, life: list[dict[str, Any]]) -> str:
    values = [figures[what] for figures in life]
    if not values:
        return "no process came to the end of a session"
    unit = " MB" if what.endswith("memory") else ""
    first, middle, last = (f"{n:,.0f}" for n in (values[0], median(values), values[-1]))
    per_session = slope(values[SETTLING:])
    growth = (
        f"{per_session:+.2f} a session" if len(life) >= SETTLING + ENOUGH else "too short to judge"
    )
    return f"first {first}, median {middle}, last {last}{unit}; {growth}"


def _longest(outcome: Outcome) -> list[dict[str, Any]]:
    return max(outcome.lives, key=len, default=[])


def _total(outcome: Outcome, what: str) -> int:
    return int(sum(figures[what] for life in outcome.lives for figures in life))


def table(lines: list[tuple[str, str]]) -> Table:
    """Return the report for the terminal."""
    shown = Table("what", "how much", title="a simulated season", title_justify="left")
    for line in lines:
        shown.add_row(*line)
    return shown


def markdown(lines: list[tuple[str, str]]) -> str:
    """Return the report for a file."""
    body = "".join(f"| {what} | {much} |\n" for what, much in lines)
    return f"| what | how much |\n|---|---|\n{body}"
