"""`just soak`: simulated seasons with faults drawn from a seed.

    just soak --sessions 250 --seed 7 --report soak.md
    just soak --sessions 250 --seed 7 --only 113        session 113 of that season again
    just soak --sessions 250 --seed 7 --only 126-250    the second half of it
    just soak --sessions 25 --seed 7 --one-life         a month of one process: does it grow?

Ends with 1, and one line that reproduces it, at the first promise that is not kept.
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
from tests.soak.plan import Season, season
from tests.soak.play import Outcome, Player, free_port
from tests.soak.server import Disk, Server, disk

FROM = date(2025, 11, 3)
DATABASE_DISK, DATA_DISK = "8g", "256m"


def soak(of: Season, say: Callable[[str], object]) -> Outcome:
    """Play a season. Raises Broken; what it worked on is then kept, and the message says where."""
    folder = Path(tempfile.gettempdir()) / f"krt-soak-{uuid.uuid4().hex[:8]}"
    try:
        with (
            disk(folder / "database", DATABASE_DISK) as own,
            disk(folder / "data", DATA_DISK) as data,
        ):
            return _played(of, Server(own), data, say)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _played(of: Season, server: Server, data: Disk, say: Callable[[str], object]) -> Outcome:
    player = Player(of, server, data, free_port(), say)
    try:
        for number in range(of.first, of.last + 1):
            player.play(number)
        player.look_back()
    except Exception as error:  # whatever it is, it must be possible to see it again
        player.close()
        what = str(error) if isinstance(error, Broken) else repr(error)
        raise Broken(f"{told(of, player.at)}: {what}; see {_kept(server, data)}") from error
    else:
        return player.outcome
    finally:
        player.close()
        server.stop()
        server.remove()


def told(of: Season, number: int) -> str:
    """Return a broken session, and how it is played again.

    It is played with a quiet one after it: what is broken in a quiet one is played by the one
    before. What only a later session damaged is not seen so, but in the whole season.
    """
    only = max(of.first, min(number, of.last - 1))
    return f"--only {only} (or the whole season): {of[number]}"


def _kept(server: Server, data: Disk) -> Path:
    """Copy what there is of a broken season to a folder that stays."""
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
    parser.add_argument("--report", type=Path, help="write what it came to as Markdown")
    asked = parser.parse_args(arguments)
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(10**6)
    start, one_life = vars(asked)["from"], asked.one_life
    of = season(seed, start, asked.sessions, asked.only, one_life=one_life)
    again = f"--sessions {asked.sessions} --seed {seed} --from {start}{' --one-life' * one_life}"
    console, began = Console(), time.monotonic()
    say = lambda line: console.print(line, highlight=False, soft_wrap=True)  # noqa: E731
    say(f"seed {seed}")
    try:
        outcome = soak(of, say)
    except Broken as error:
        console.print(f"❌ {again} {error}", highlight=False, soft_wrap=True, markup=False)
        return 1
    played = report.Played(seed, today(WallClock()), of.days, time.monotonic() - began)
    lines = report.rows(played, outcome)
    console.print(report.table(lines))
    if asked.report:
        asked.report.write_text(report.markdown(lines), "utf-8")
    if grown := report.grown(outcome):
        say(f"❌ {again}: {'; '.join(grown)}")
        return 1
    say("🎉 every promise was kept")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
