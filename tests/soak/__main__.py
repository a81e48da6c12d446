"""`just soak`: simulated seasons with faults drawn from a seed.

    just soak --sessions 250 --seed 7 --report soak.md
    just soak --sessions 250 --seed 7 --only 113        session 113 of that season again
    just soak --sessions 250 --seed 7 --only 126-250    the second half of it
    just soak --sessions 25 --seed 7 --one-life         a month of one process: does it grow?
    just soak --sessions 250 --seed 7 --last-hours      a year's sessions, each in its last hour
    just soak --sessions 21 --seed 7 --whole-market     a month with the bars of all stocks

Ends with 1 at the first promise that is not kept: with the report of what was played until then,
and one line that reproduces it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import date
from pathlib import Path

from rich.console import Console

from engine.clock import WallClock, today
from tests.soak import report
from tests.soak.child import Broken
from tests.soak.orders import SeasonKind
from tests.soak.plan import Season, plan_season
from tests.soak.play import Outcome, Player, free_port
from tests.soak.server import Disk, Server, disk

FROM = date(2025, 11, 3)
DATABASE_DISK = "8g"
DATA_DISK = "256m"


class BrokenSeason(Broken):
    """A promise was not kept. `outcome` is that of the sessions up to the one `at` which it was."""

    def __init__(self, message: str, outcome: Outcome, at: int) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.at = at


def soak(season: Season, say: Callable[[str], object]) -> Outcome:
    """Play a season. Raises BrokenSeason; its files are then kept, and the message says where."""
    folder = Path(tempfile.gettempdir()) / f"krt-soak-{uuid.uuid4().hex[:8]}"
    try:
        with (
            disk(folder / "database", DATABASE_DISK) as own,
            disk(folder / "data", DATA_DISK) as data,
        ):
            return _play_season(season, Server(own), data, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _play_season(
    season: Season, server: Server, data: Disk, say: Callable[[str], object]
) -> Outcome:
    player = Player(season, server, data, free_port(), say)
    try:
        for number in range(season.first, season.last + 1):
            player.play(number)
        player.look_back()
    except Exception as error:  # any error must be possible to repeat
        player.close()
        what = str(error) if isinstance(error, Broken) else repr(error)
        kept = _keep_what_is_left(server, data)
        message = f"{how_to_repeat(season, player.at)}: {what}; see {kept}"
        raise BrokenSeason(message, player.outcome, player.at) from error
    else:
        return player.outcome
    finally:
        player.close()
        server.stop()
        server.remove()


def how_to_repeat(season: Season, number: int) -> str:
    """Return the option that plays a broken session again, and what was drawn for it.

    A quiet session is played after it; if the quiet one is broken, the session before it is named.
    Damage that only a later session did is not found so, but by playing the whole season.
    """
    only = max(season.first, min(number, season.last - 1))
    return f"--only {only} (or the whole season): {season[number]}"


def _keep_what_is_left(server: Server, data: Disk) -> Path:
    """Copy the files of a broken season to a folder that is not removed, and return it."""
    server.stop()
    folder = data.folder.parent
    kept = folder.with_name(f"{folder.name}-kept")
    server.keep(kept / "server")
    shutil.copytree(data.folder, kept / "data")
    shutil.copy(folder / "child.err", kept)
    return kept


def _numbers(text: str) -> range:
    first, _, last = text.partition("-")
    found = range(int(first), int(last or first) + 1)
    if not found or found[0] < 1:
        raise ValueError(text)
    return found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="just soak", description="play seasons with faults")
    parser.add_argument("--sessions", type=int, default=10, help="how many sessions (10)")
    parser.add_argument("--seed", type=int, help="draw the same again (one is chosen and said)")
    parser.add_argument("--from", type=date.fromisoformat, default=FROM, help=f"first day ({FROM})")
    parser.add_argument("--only", type=_numbers, help="play this session alone, or FIRST-LAST")
    parser.add_argument("--one-life", action="store_true", help="nothing ends the collector")
    last_hours = "begin each session in its last hour"
    parser.add_argument("--last-hours", action="store_true", help=last_hours)
    whole_market = "bring in the bars of all stocks after each close"
    parser.add_argument("--whole-market", action="store_true", help=whole_market)
    parser.add_argument("--report", type=Path, help="write the result as Markdown")
    asked = parser.parse_args(arguments)
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    start = vars(asked)["from"]
    kind = SeasonKind(
        one_life=asked.one_life, last_hours=asked.last_hours, whole_market=asked.whole_market
    )
    season = plan_season(seed, start, asked.sessions, asked.only, kind)
    again = f"--sessions {asked.sessions} --seed {seed} --from {start}{kind.options}"
    console = Console()
    began = time.monotonic()
    say = lambda line: console.print(line, highlight=False, soft_wrap=True)  # noqa: E731
    say(f"seed {seed}")

    def tell(outcome: Outcome, last: int) -> None:
        days = season.days[: last - season.first + 1]
        played = report.Played(seed, today(WallClock()), days, time.monotonic() - began)
        lines = report.rows(played, outcome)
        console.print(report.table(lines))
        if asked.report:
            asked.report.write_text(report.markdown(lines), "utf-8")

    try:
        outcome = soak(season, say)
    except BrokenSeason as error:
        tell(error.outcome, error.at)
        console.print(f"❌ {again} {error}", highlight=False, soft_wrap=True, markup=False)
        return 1
    tell(outcome, season.last)
    if growing := report.what_grows(outcome):
        say(f"❌ {again}: {'; '.join(growing)}")
        return 1
    say("🎉 every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
