"""A day with a KIS that lies in each second minute, each time in another way.

One run hears all lies, as a collector does: whatever a minute brought, the next honest one must
bring all that the lie withheld, and at the end the day is what an honest KIS would have given.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path

import orjson
import polars as pl
import pytest
from pydantic import SecretStr

from engine.clock import VirtualClock
from engine.columns import BARS
from engine.kis.transport import Transport
from engine.market.symbols import parse
from engine.settings import AppKey, KisSettings
from engine.store import Store
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed
from tests.databases import fresh_database
from tests.hostile.hostile_kis import (
    MINUTE,
    Asked,
    HostileKis,
    Reply,
    bar,
    labels,
    open_hostile_kis,
)
from tests.hostile.lies import BELIEVED, DATES, NO_ROW, REFUSED, Lie

DAY = date(2025, 11, 4)
FUTURE, STOCKS = "101W12", ("005930", "000660", "035420", "005380")
SYMBOLS = (FUTURE, *STOCKS)
TABLES = {FUTURE: "futures_1m", **dict.fromkeys(STOCKS, "stocks_1m")}
KEY, SECRET, TOKEN = "PSkey-not-to-be-seen", "secret-not-to-be-seen", "token-not-to-be-seen"
PACE = 15
BEGIN = datetime(2025, 11, 4, 14, 20)
EVERY = 2 * MINUTE  # a minute of lies, a minute of the truth
MOST_MEMORY = 150 << 20  # bytes; a bomb has more
REPEATED = "another row of the same minute"  # the minute's first row is believed
LONGEST = MINUTE  # of a lie: a question is given up then


@dataclass
class Heard:
    """What the run has left."""

    kis: HostileKis
    lines: list[tuple[datetime, str]]
    bars: dict[str, pl.DataFrame]
    flows: pl.DataFrame
    rejected: pl.DataFrame
    words: str  # all that the database holds in words
    states: list[str]
    stats: DayStatistics
    folder: Path
    error: BaseException | None = None

    def said(self, symbol: str, begin: datetime) -> list[str]:
        """What was said about a symbol in a minute: warnings, reasons of rejected rows."""
        ends = begin + MINUTE + timedelta(seconds=1)  # a question is given up after a minute
        lines = [t for when, t in self.lines if begin <= when < ends and "DEBUG" not in t]
        when = pl.col("first_received_at")
        rows = self.rejected.filter(when >= begin, when < ends, symbol=symbol)
        about = rf"{symbol}|KIS's answers bear|this machine's clock"
        return [t for t in lines if re.search(about, t)] + rows["reason"].to_list()


def _turns() -> Iterator[tuple[Lie, ...]]:
    """Yield what each minute of lies has for the five symbols.

    Believed and refused ones apart: where several answers fail, the others wait for its return.
    """
    for lies in (BELIEVED, REFUSED, DATES):
        yield from batched(lies, len(SYMBOLS))


def batched(lies: list[Lie], size: int) -> Iterator[tuple[Lie, ...]]:
    for first in range(0, len(lies), size):
        yield tuple(lies[first : first + size])


TURNS = list(_turns())


def at_its_time(asked: Asked) -> Reply | None:
    """The lie of the moment; of the flows that of the first symbol."""
    turn, into = divmod(asked.when - BEGIN, EVERY)
    if not 0 <= turn < len(TURNS) or into >= LONGEST:
        return None
    who = SYMBOLS.index(asked.symbol) if asked.symbol in SYMBOLS else 0
    return TURNS[turn][who].reply if who < len(TURNS[turn]) else None


class Lines(logging.Handler):
    """Keeps each line with its time by the virtual clock."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(logging.DEBUG)
        self.clock, self.lines = clock, list[tuple[datetime, str]]()
        self.setFormatter(logging.Formatter("%(levelname)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((self.clock.now(), self.format(record)))


async def collect(url: str, folder: Path) -> Heard:
    clock = VirtualClock(BEGIN - timedelta(minutes=3))
    lines = Lines(clock)
    root = logging.getLogger()
    root.addHandler(lines)
    today = plan(Feed(STOCKS, (FUTURE,), streams=("flows:KOSPI",)), DAY)
    stats = DayStatistics(today, simulated=True)
    error: BaseException | None = None
    async with open_hostile_kis(clock) as kis:
        kis.lie = at_its_time
        settings = KisSettings(
            base_url=kis.base_url,
            master_url=f"{kis.base_url}/master.zip",
            app_keys=(AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET)),),
            calls_per_second=PACE,
            stream=False,
        )
        with pytest.MonkeyPatch.context() as patch:  # believe this server's clock, too
            patch.setattr("engine.kis.client.Transport", partial(Transport, tells_time=True))
            patch.setattr("pipelines.day.before_open.warm_up_sessions", lambda: 0)
            try:
                paths = DayPaths(url, folder / "spool", folder / "kis")
                await run_day(today, settings, clock, paths, stats)
            except Exception as raised:  # noqa: BLE001 - it is what the test looks for
                error = raised
        root.removeHandler(lines)
        return await look(url, kis, lines.lines, stats, folder, error)


async def look(
    url: str, kis: HostileKis, lines: list[tuple[datetime, str]], *rest: object
) -> Heard:
    store = Store(url, kis.clock, component="test")
    day = f"timestamp::date = '{DAY}'"
    bars = {
        symbol: pl.DataFrame(
            await store.query(
                f"SELECT * FROM {table} WHERE {day} AND symbol = '{symbol}' ORDER BY timestamp"
            )
        )
        for symbol, table in TABLES.items()
    }
    flows = pl.DataFrame(await store.query(f"SELECT * FROM investor_flows WHERE {day}"))
    rejected = pl.DataFrame(await store.query("SELECT * FROM rejected_rows"))
    gaps = pl.DataFrame(await store.query("SELECT symbol, state, reason FROM gaps"))
    status = pl.DataFrame(await store.query("SELECT * FROM system_status"))
    await store.close()
    texts = "\n".join(frame.write_ndjson() for frame in (rejected, gaps, status))
    states = gaps.filter(pl.col("symbol").is_in(list(TABLES)))["state"].to_list()
    return Heard(kis, lines, bars, flows, rejected, texts, states, *rest)


@pytest.fixture(scope="module")
def heard(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    with fresh_database(server_url) as url:
        yield asyncio.run(collect(url, tmp_path_factory.mktemp("hostile")))


LIES = [
    (BEGIN + number * EVERY, symbol, lie)
    for number, turn in enumerate(TURNS)
    for symbol, lie in zip(SYMBOLS, turn, strict=False)
]


@pytest.mark.parametrize(("begin", "symbol", "lie"), LIES, ids=[str(lie) for _, _, lie in LIES])
def test_a_lie_is_refused_in_words_or_tells_the_truth(
    heard: Heard, begin: datetime, symbol: str, lie: Lie
) -> None:
    said = heard.said(symbol, begin)
    stored = heard.bars[symbol].filter(timestamp=begin)["fetched_at"].item()
    if lie.told and lie.told != NO_ROW:
        assert any(re.search(lie.told, one) for one in said), said
    elif lie in BELIEVED:
        assert said == []
        assert stored < begin + MINUTE
    if lie in REFUSED and lie.told != REPEATED:
        assert begin + LONGEST <= stored < begin + 2 * MINUTE


def test_in_the_end_the_day_is_what_an_honest_kis_gives(heard: Heard) -> None:
    assert heard.error is None
    for symbol, stored in heard.bars.items():
        session = parse(symbol).session(DAY)
        assert session is not None
        stamps = session.stamps().to_list()
        true = [
            (stamp, symbol, *bar(symbol, label))
            for stamp, label in zip(stamps, labels(symbol, DAY), strict=True)
        ]
        assert stored.select(BARS.names()).rows() == true
    assert set(heard.states) <= {"filled"}


def test_flows_are_true_or_missing(heard: Heard) -> None:
    volumes = heard.flows.select("timestamp", "sold_volume", "bought_volume", "net_volume")
    assert len(volumes) > 12 * 40
    for stamp, sold, bought, net in volumes.iter_rows():
        assert sold - (stamp.hour * 60 + stamp.minute) in (0, 1)  # the auction ends a minute later
        assert (bought, net) == (2 * sold, sold)


def test_what_is_refused_is_kept_as_it_came(heard: Heard) -> None:
    for reason, raw in heard.rejected.select("reason", "raw").iter_rows():
        assert reason
        assert raw.isprintable()
        assert orjson.loads(raw) is not Ellipsis  # each is JSON


def test_no_secret_is_told(heard: Heard) -> None:
    for secret in (KEY, SECRET, TOKEN):
        assert not [line for _, line in heard.lines if secret in line]
        assert secret not in heard.words
    held = [file for file in heard.folder.rglob("*") if file.is_file()]
    holding = [file.name for file in held if TOKEN.encode() in file.read_bytes()]
    assert all(name.endswith("-token.json") for name in holding)
    assert not [file for file in held if SECRET.encode() in file.read_bytes()]


def test_no_other_host_hears_of_us(heard: Heard) -> None:
    assert heard.kis.led_away == []
    assert not [asked for asked in heard.kis.asked if "cookie" in asked.headers]
    assert not [asked for asked in heard.kis.asked if asked.path.endswith("/steal")]


def test_the_pace_is_kept(heard: Heard) -> None:
    times = [asked.when for asked in heard.kis.asked]
    for first, last in zip(times, times[PACE + 1 :], strict=False):
        assert last - first >= timedelta(seconds=1)
    assert all(b - a >= MINUTE for a, b in pairwise(heard.kis.tokens))


def test_memory_is_bounded(heard: Heard) -> None:
    before = max(size for when, size in heard.kis.memory if when < BEGIN)
    assert max(size for _, size in heard.kis.memory) - before < MOST_MEMORY
