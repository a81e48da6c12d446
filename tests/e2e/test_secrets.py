"""Whatever becomes of a day, what it leaves behind holds none of the secrets that it was given.

The lines are not blotted here as they are in life (`setup_logging(secrets=…)`): nobody may write a
secret in the first place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date, datetime, time
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer

from engine.clock import VirtualClock, WallClock
from engine.errors import KisRefused, StoreUnreachable
from engine.log import setup_logging
from engine.market.symbols import parse_chain
from engine.settings import AppKey, KisSettings, Settings
from engine.simulator.endpoints import MASTER_PATH
from engine.simulator.faults.scenario import Scenario
from engine.simulator.market.synthetic import SyntheticMarket
from engine.simulator.server import Simulator, serve
from engine.simulator.tokens import Account, Admission
from engine.store.connection import Connection
from pipelines.day.alerts import Contact
from pipelines.day.run import DayPaths, run_day
from pipelines.day.statistics import DayStatistics
from pipelines.day_plan import plan
from pipelines.feed import Feed

DAY = date(2026, 11, 9)
KEY, SECRET = "PSq7ZkVtR2mW9xKeyOfTheApp", "sEc-8fJ2+Lq0/wTheSecretOfTheApp="
WRONG_KEY, WRONG_SECRET = "PSw4NoSuchKeyAtAll", "wR0ng-TheOtherSecret"
PASSWORD, HOOK, LOGIN = "pW5-TheDatabasesPassword", "hk3-TheHooksToken", "lg9-TheHooksLogin"


def issued(number: int) -> str:
    """The tokens of the simulator in the order in which it gives them."""
    account = Account(KEY, SECRET, tokens=[None] * number)  # type: ignore[list-item]
    return Admission({KEY: SECRET}, 1, WallClock())._text(account)


TOKENS = [issued(n) for n in range(4)]
SECRETS = [KEY, SECRET, WRONG_KEY, WRONG_SECRET, PASSWORD, HOOK, LOGIN, *TOKENS]
REPEATING = f"{'invalid ' * 24}{KEY} {SECRET} {TOKENS[0]} {WRONG_KEY}"
CUT_WITHIN_THE_KEY = f"{'x' * 190}{KEY}{SECRET}"
ALL_OUT = {"from": time(15, 45, 10)}
FAULTS = Scenario.model_validate(
    {
        "rule": [
            {"what": "refuse", "endpoint": "bars", "every": 3, "message": REPEATING, "limit": 6},
            {"what": "refuse", "every": 5, "message": CUT_WITHIN_THE_KEY, "limit": 6},
            {
                "what": "refuse",
                "endpoint": "options",
                "every": 4,
                "message": TOKENS[0],
                "code": KEY,
                "status": 200,
            },
            {
                "what": "refuse",
                "endpoint": "token",
                "message": REPEATING,
                "status": 500,
                "limit": 1,
            },
            {"what": "kill_token", "every": 7, "limit": 1},
            {"what": "odd_values", "every": 6},
            {"what": "kill_token", **ALL_OUT},
            {
                "what": "refuse",
                "endpoint": "token",
                "message": REPEATING,
                "status": 403,
                "code": "EGW00103",
                **ALL_OUT,
            },
        ]
    }
)


@pytest.fixture
def hear(tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Call it for all to be logged, to standard error and a file; afterwards it is as it was."""
    root = logging.getLogger()
    before, root.handlers = root.handlers[:], []
    logging.getLogger("werkzeug").disabled = True  # the hook's own server
    yield lambda: setup_logging(level="DEBUG", file=tmp_path / "logs" / "day.log")
    setup_logging(handler=logging.NullHandler())
    root.handlers = before
    logging.getLogger("werkzeug").disabled = False


def configured(address: str, hook: HTTPServer) -> Settings:
    alert = f"json://{LOGIN}:{HOOK}@{hook.host}:{hook.port}/{HOOK}?token={HOOK}"
    return Settings(
        base_url=address,
        app_key=SecretStr(KEY),
        app_secret=SecretStr(SECRET),
        app_keys=(AppKey(app_key=SecretStr(WRONG_KEY), app_secret=SecretStr(WRONG_SECRET)),),
        alerts=(SecretStr(alert),),
    )


@pytest.fixture
def paths(database_url: str, tmp_path: Path, httpserver: HTTPServer) -> DayPaths:
    httpserver.expect_request(f"/{HOOK}").respond_with_data("no", status=500)
    url = database_url.replace("postgres@", f"postgres:{PASSWORD}@")
    return DayPaths(url, tmp_path / "spool", tmp_path / "kis")


@pytest.fixture
async def kis(clock: VirtualClock) -> AsyncIterator[Simulator]:
    async with serve(SyntheticMarket(5), clock, app_keys={KEY: SECRET}, faults=FAULTS) as server:
        yield server


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(datetime.combine(DAY, time(15, 27)))


def settings(address: str, hook: HTTPServer) -> KisSettings:
    found = configured(address, hook).kis
    return found.model_copy(update={"master_url": address + MASTER_PATH})


async def collect(
    settings: KisSettings, clock: VirtualClock, paths: DayPaths, feed: Feed, hook: HTTPServer
) -> DayStatistics:
    today = plan(feed, DAY)
    stats = DayStatistics(today, simulated=False)
    addresses = configured("http://127.0.0.1:9", hook).alerts
    await run_day(today, settings, clock, paths, stats, contact=Contact(addresses))
    return stats


async def test_a_rough_day_that_ends_with_the_key_withdrawn(
    kis: Simulator,
    clock: VirtualClock,
    paths: DayPaths,
    httpserver: HTTPServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    hear: Callable[[], None],
) -> None:
    hear()
    feed = Feed(("005930",), ("A01",), (parse_chain("front"),))
    with pytest.raises(KisRefused) as refusal:
        await collect(settings(kis.base_url, httpserver), clock, paths, feed, httpserver)
    said = "".join(capfd.readouterr())
    assert len(kis.counts.tokens) > 1  # one was taken back
    assert said.count("KIS refused") > 3
    assert "an app key is suspended" in said
    assert "alert not sent to JSON" in said
    told = [request.get_data(as_text=True) for request, _ in httpserver.log]
    assert any("KIS refuses every app key" in each for each in told)
    assert "collector stopped" in told[-1]
    found = [*told_in([*told, said, str(refusal.value)]), *in_files(tmp_path), *in_tables(paths)]
    assert found == []
    [kept] = [path for path in (tmp_path / "kis").glob("*.json") if TOKENS[1] in path.read_text()]
    assert KEY not in kept.read_text()


async def test_kis_not_reachable(
    clock: VirtualClock,
    paths: DayPaths,
    httpserver: HTTPServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    hear: Callable[[], None],
) -> None:
    hear()
    nowhere = settings("http://127.0.0.1:9", httpserver)
    day = asyncio.create_task(collect(nowhere, clock, paths, Feed(("005930",)), httpserver))
    await clock.sleep_until(datetime.combine(DAY, time(15, 32)))
    day.cancel()
    [ended] = await asyncio.gather(day, return_exceptions=True)
    said = "".join(capfd.readouterr())
    assert "no token yet" in said
    assert [*told_in([said, str(ended)]), *in_files(tmp_path), *in_tables(paths)] == []


async def test_the_database_away(
    kis: Simulator,
    clock: VirtualClock,
    paths: DayPaths,
    httpserver: HTTPServer,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    hear: Callable[[], None],
) -> None:
    hear()
    away = DayPaths(f"postgresql://krt:{PASSWORD}@127.0.0.1:9/krt", paths.spool, paths.kis)
    with pytest.raises(StoreUnreachable, match="refused") as error:
        await collect(
            settings(kis.base_url, httpserver), clock, away, Feed((), ("A01",)), httpserver
        )
    assert [*told_in([*capfd.readouterr(), str(error.value)]), *in_files(tmp_path)] == []


def told_in(texts: list[str]) -> list[str]:
    """The secrets, or the beginnings of one, that stand in the texts."""
    return [secret for secret in SECRETS if any(beginning(secret) in text for text in texts)]


def in_files(folder: Path) -> list[tuple[Path, str]]:
    """The files that hold a secret; the file of the token may hold tokens, and nothing else."""
    found = []
    for path in (path for path in folder.rglob("*") if path.is_file()):
        allowed = TOKENS if path.name.endswith("-token.json") else []
        content = path.read_bytes()
        found += [
            (path, secret)
            for secret in SECRETS
            if beginning(secret).encode() in content and secret not in allowed
        ]
    return found


def in_tables(paths: DayPaths) -> list[tuple[str, str]]:
    """The tables that hold a secret in any column, and the server's own log."""
    connection = Connection(paths.url, "test")
    names = connection.query(
        "SELECT relname::text AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        " AND relkind IN ('r', 'p')"
    )["name"].to_pylist()
    assert {"rejected_rows", "system_status", "gaps"} < set(names)
    asked = " UNION ALL ".join(
        f"SELECT '{name}' AS name, secret FROM {name} AS t, unnest(ARRAY{SECRETS}) AS secret"
        f" WHERE strpos(t::text, left(secret, 12)) > 0"
        for name in names
    )
    found = connection.query(asked)
    folder = connection.query("SELECT current_setting('data_directory') AS folder")
    connection.close()
    log = "".join(
        path.read_text("utf-8", "replace")
        for path in (Path(folder["folder"][0].as_py()) / "log").glob("*.log")
    )
    return [*found.to_pylist(), *(("server's log", secret) for secret in told_in([log]))]


def beginning(secret: str) -> str:
    return secret[:12]
