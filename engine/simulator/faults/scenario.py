"""Scenarios: what KIS does wrong on a bad day, to which calls, when and how often. In TOML.

A scenario is a list of `[[rule]]`. Every rule has `what` and, unless it should apply to everything:

    endpoint     a TR id, tokenP, Approval, websocket (a connection that begins), master, or a
                 group: bars, futures, stocks, options, told_once, token, all; in rules about the
                 WebSocket one of its TRs, or trades, books, stream (both), all; one or a list
                 (rules about bars: always bars)
    symbol       a pattern such as "A01*" or "00*"
    from, to     time of day, KST, to exclusive; of the call or frame, or of the bar's label
    probability  of each call, frame or bar; or
    every        every n-th call or frame of the same symbol and endpoint; without either: always
    limit        how often at most, in all

A scenario may also move the market on the first day that is played, by turning points `[[move]]`:
`at`, a time of day, and `by`, a share of the price (-0.09: 9 % lower); between them the move
changes evenly. KRX's price limits and its circuit breaker act on that day
(`engine.simulator.market.price_limits`). `[[halt]]` halts a `symbol` on that day from a time of day
(`at`) on, for so many `minutes`. A simulation without the scenario, such as that of
`just backfill`, has the day as it would have been: do not mix the two in one database.

What chance decides depends only on the seed, the rule, the symbol and how often that was asked for:
neither on the order of calls for other symbols nor on the speed.
"""

from __future__ import annotations

import tomllib
from datetime import time
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.errors import InputError
from engine.simulator.faults.rule import Rule
from engine.simulator.faults.stream_rules import AnyStreamRule

SHIPPED = resources.files("engine.simulator.faults") / "scenarios"


class Refuse(Rule):
    """A refusal: `code` is msg_cd, `status` the HTTP status (the real KIS uses 200, 403, 500)."""

    what: Literal["refuse"]
    code: str = "EGW00202"
    message: str = "GW라우팅 중 오류가 발생했습니다."
    status: int = Field(500, ge=200, le=599)


class KillToken(Rule):
    """All tokens become invalid before they expire; the call is refused with `code`."""

    what: Literal["kill_token"]
    endpoint: str | tuple[str, ...] = ("bars", "options")  # a request for a token kills none
    code: Literal["EGW00121", "EGW00123"] = "EGW00121"


class LowerPace(Rule):
    """For a while, fewer calls a second are let through."""

    what: Literal["pace"]
    calls_per_second: float = Field(gt=0)


class Maintenance(Rule):
    """KIS is down: every call, tokens too, gets a page of HTML over HTTP 503.

    If websocket is among the endpoints (it is part of all), connections end and none can begin.
    """

    what: Literal["maintenance"]


class Slow(Rule):
    """The answer is made at once and arrives so many seconds of the clock later."""

    what: Literal["slow"]
    seconds: float = Field(gt=0)


class Cut(Rule):
    """The connection is cut; `half`: after half of the answer."""

    what: Literal["cut"]
    half: bool = False


class Broken(Rule):
    """The answer is not JSON: cut short (`malformed`), a page (`html`), nothing (`empty_body`)."""

    what: Literal["malformed", "html", "empty_body"]
    status: int = Field(200, ge=200, le=599)


class EmptyAnswer(Rule):
    """rt_cd 0 and no rows."""

    what: Literal["empty_answer"]


class WrongDate(Rule):
    """rt_cd 0 and the rows of the session before."""

    what: Literal["wrong_date"]


class RepeatBars(Rule):
    """One row of the answer comes `times` times."""

    what: Literal["repeated_bars"]
    times: int = Field(6, ge=2, le=50)


class PhantomBars(Rule):
    """A row at `factor` times the market's price, outside the session or beside a real bar."""

    what: Literal["phantom_bars"]
    factor: float = Field(3.0, gt=0)
    where: Literal["outside", "inside"] = "outside"


class OddValues(Rule):
    """A value of one row cannot be read: empty, "-", full-width digits, NaN, a number, missing."""

    what: Literal["odd_values"]


class LateBar(Rule):
    """The finished bar appears only so many seconds after its minute."""

    what: Literal["late_bar"]
    seconds: float = Field(gt=0)


class MissingBar(Rule):
    """The bar is not served until the session is sealed, or never."""

    what: Literal["missing_bar"]
    until: Literal["sealed", "never"] = "sealed"


class CorrectedBar(Rule):
    """The bar is served wrong, then right so many minutes after (at the latest when sealed)."""

    what: Literal["corrected_bar"]
    minutes: float | Literal["sealed"] = 3.0
    ticks: int = Field(4, ge=0)  # how far the wrong close is off; 0: only the volume is wrong


class ImpossibleBar(Rule):
    """The bar's high is below its low, until the session is sealed or for good."""

    what: Literal["impossible_bar"]
    until: Literal["sealed", "never"] = "never"


BarRule = LateBar | MissingBar | CorrectedBar | ImpossibleBar
CallRule = (
    Refuse
    | KillToken
    | LowerPace
    | Maintenance
    | Slow
    | Cut
    | Broken
    | EmptyAnswer
    | WrongDate
    | RepeatBars
    | PhantomBars
    | OddValues
)
AnyRule = Annotated[BarRule | CallRule | AnyStreamRule, Field(discriminator="what")]


class MarketMove(BaseModel):
    """A turning point: at this time the index is this share away from where it would be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    at: time
    by: float = Field(gt=-0.5, lt=0.5)


class Halt(BaseModel):
    """A symbol is halted from this time on, for so many minutes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    symbol: str
    at: time
    minutes: int = Field(30, ge=1)


class Scenario(BaseModel):
    """A named list of rules with the seed of their dice, and how the market moves on the day."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = ""
    seed: int = 0
    rule: tuple[AnyRule, ...] = ()
    move: tuple[MarketMove, ...] = ()
    halt: tuple[Halt, ...] = ()


def shipped_scenarios() -> list[str]:
    """Return the names of the scenarios that come with the package."""
    names = (file.name for file in SHIPPED.iterdir())
    return sorted(name.removesuffix(".toml") for name in names if name.endswith(".toml"))


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Return a shipped scenario by name, or one from a TOML file.

    Raises InputError in one line that names the file and the key that is wrong.
    """
    name = str(name_or_path)
    shipped = name in shipped_scenarios()
    text = (SHIPPED / f"{name}.toml").read_text("utf-8") if shipped else _read(Path(name))
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"{name} is not TOML: {error}") from error
    except ValidationError as error:
        raise InputError(f"{name}: {_first_problem(error)}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        shipped = ", ".join(shipped_scenarios())
        raise InputError(
            f"{path} cannot be read: name a scenario file or one of {shipped} ({error})"
        ) from error


def _first_problem(error: ValidationError) -> str:
    """Return the first problem as one line: rule 3, late_bar, unknown key 'second'."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    keys = [key for key in problem["loc"] if key != "rule"]
    words = [f"rule {key + 1}" if isinstance(key, int) else str(key) for key in keys]
    if problem["type"] == "extra_forbidden":
        return ", ".join([*words[:-1], f"unknown key {words[-1]!r}"])
    return f"{', '.join(words)}: {problem['msg'].removeprefix('Value error, ')}"
