"""Every sentence of SECURITY.md has a test; those that no other file holds are here."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Self

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from engine.clock import VirtualClock
from engine.kis import auth
from engine.kis.client import KisClient
from engine.settings import AppKey, KisSettings, Settings
from engine.simulator.server import serve
from engine.store import migrations
from engine.store.connection import connection_url
from engine.store.embedded import cluster
from engine.store.embedded.programs import Programs
from pipelines.commands.dashboard import dashboard
from pipelines.commands.main import main
from pipelines.commands.research import research
from pipelines.reports import marimo_server
from pipelines.reports.page_guard import is_loopback
from tests.paths import ROOT

TEXT = (ROOT / "SECURITY.md").read_text("utf-8")
KEY, SECRET = "PS-the-key-of-kis", "the-secret-of-kis"
LOOKS = {  # backtest, sweep: by bars_of
    "sql",
    "status",
    "plot",
    "replay",
    "signals",
    "trades",
    "dashboard",
    "research",
}


def section(title: str) -> str:
    return TEXT.split(f"## {title}\n")[1].split("\n## ")[0]


def sentences(paragraph: str) -> list[str]:
    """Return the sentences without marks; a bold title is not a sentence."""
    text = re.sub(r"\*\*[^*]+\.\*\*", "", paragraph).replace("**", "").replace("`", "")
    return [s for s in re.split(r"(?<=\.)\s+", " ".join(text.split())) if s]


def claims() -> list[str]:
    parts = section("What is protected, and how").split("\n\n")
    return [sentence for part in parts for sentence in sentences(part)]


def table() -> dict[str, list[str]]:
    """Return the first words of each sentence with its tests."""
    rows = re.findall(r"^\| (.+?) … \| (.+) \|$", section("How it is tested"), re.MULTILINE)
    return {first: re.findall(r"`([^`]+)`", tests) for first, tests in rows}


@cache
def names_of_tests(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


def test_every_sentence_has_a_test_and_every_test_exists() -> None:
    rows = table()
    assert len(claims()) > 50
    for claim in claims():
        assert sum(claim.startswith(first) for first in rows) == 1, claim
    for first, tests in rows.items():
        assert sum(claim.startswith(first) for claim in claims()) == 1, first
        assert tests
        for test in tests:
            file, _, name = test.partition("::")
            assert name in names_of_tests(file), test


def test_git_ignores_what_holds_secrets() -> None:
    ignored = (ROOT / ".gitignore").read_text("utf-8").split()
    assert {"/config.json", "/db_config.json", "access_token*.json", "*.log"} <= set(ignored)


def client(folder: Path, base_url: str = "http://127.0.0.1:9") -> KisClient:
    key = AppKey(app_key=SecretStr(KEY), app_secret=SecretStr(SECRET))
    settings = KisSettings(base_url=base_url, app_keys=(key,))
    return KisClient(settings, VirtualClock(datetime(2026, 11, 20, 8)), folder=folder)


async def test_keys_and_tokens_are_sent_to_one_address(
    tmp_path: Path, httpserver: HTTPServer
) -> None:
    """A download from another address carries none, and an answer leads nowhere else."""
    asked: list[str] = []

    def answer(request: Request) -> Response:
        asked.append(f"{request.url} {request.headers} {request.get_data(as_text=True)}")
        return Response(status=302, headers={"Location": httpserver.url_for("/elsewhere")})

    httpserver.expect_request(re.compile("/.*")).respond_with_handler(answer)
    async with _closing(client(tmp_path)) as other:
        with pytest.raises(Exception, match="HTTP 302"):
            await other.download(httpserver.url_for("/master"))
    assert len(asked) == 1
    assert KEY not in asked[0]
    assert SECRET not in asked[0]


class _closing:  # noqa: N801 - like contextlib's, for a coroutine
    def __init__(self, client: KisClient) -> None:
        self._client = client

    async def __aenter__(self) -> KisClient:
        return self._client

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()


def test_the_name_of_the_token_file_reveals_no_address(tmp_path: Path) -> None:
    async def make() -> Path:
        async with _closing(client(tmp_path, "http://localhost:9")) as made:
            return made._accounts[0].tokens._file

    names = [asyncio.run(make()).name, *(path.name for path in tmp_path.iterdir())]
    for name in names:
        assert not {KEY, SECRET, "localhost", "127.0.0.1"} & {name, *name.split(".")}
        assert re.fullmatch(r"[\w-]+\.(json|lock|pace)", name), name


def test_values_become_sql_in_one_place() -> None:
    """Quotes are doubled there, and in a setting of the embedded server, and nowhere else."""
    places = {
        path.relative_to(ROOT).as_posix()
        for part in ("engine", "pipelines", "strategies")
        for path in (ROOT / part).rglob("*.py")
        if re.search(r"""replace\("'", "''"\)""", path.read_text("utf-8"))
    }
    assert places == {"engine/store/identifiers.py", "engine/store/embedded/cluster.py"}


@pytest.mark.parametrize("argument", ["", "x" * 100_000, "a\x1b[31m", "a\nb", "a\x00b", "\u202eb"])
def test_an_argument_that_cannot_be_meant_is_refused(
    argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plot", "day", "--symbol", argument]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.strip().isprintable()


def test_on_windows_it_listens_on_this_machine_with_a_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings and the file, as they are made there; icacls is only looked at."""
    commands: list[list[Any]] = []
    monkeypatch.setattr(cluster, "sys", SimpleNamespace(platform="win32"))
    monkeypatch.setattr(
        cluster, "subprocess", SimpleNamespace(run=lambda command, **_: commands.append(command))
    )
    made = cluster.Cluster(tmp_path, Programs(tmp_path, None))
    address = made._address()
    assert address["listen_addresses"] == "127.0.0.1"
    assert 1024 < int(address["port"]) < 65536
    cluster._write_secret(tmp_path / "password", "p4ssword")
    ((program, file, *rights),) = commands
    assert (program, file) == ("icacls", tmp_path / "password")
    assert rights[:2] == ["/inheritance:r", "/grant:r"]
    (tmp_path / "postgres-18").mkdir()
    (tmp_path / "postgres-18" / "postmaster.pid").write_text("1\nx\n2\n5433\n\n127.0.0.1\n")
    assert made.url().startswith("postgresql://postgres:p4ssword@127.0.0.1:5433/")
    assert "scram-sha-256" in inspect.getsource(cluster.Cluster.initialise)


def test_no_address_of_a_database_is_an_argument_of_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "postgresql://krt:p4ssword@db/krt"
    asked: list[Any] = []

    def run(command: list[str], env: dict[str, str], **_: object) -> None:
        asked.append((command, env))

    monkeypatch.setattr(migrations, "subprocess", SimpleNamespace(run=run, DEVNULL=-3))
    migrations._run_dbmate(url, Path("sql", "migrations"))
    monkeypatch.setattr(
        marimo_server, "_run", lambda command, env, *_, **__: asked.append((command, env))
    )
    opened: Any = SimpleNamespace(url=url, kind="live")
    marimo_server.serve_page(Path("page.py"), opened, "127.0.0.1", 1, guarded=True, variables={})
    assert len(asked) == 2
    for command, environment in asked:
        assert "p4ssword" not in " ".join(map(str, command))
        assert url in environment.values()


def test_sslmode_is_as_the_address_says() -> None:
    assert "sslmode" not in connection_url("postgresql://krt@db/krt", "test")
    assert "sslmode=require" in connection_url("postgresql://krt@db/krt?sslmode=require", "test")


def names_in(path: Path) -> set[str]:
    return {
        node.id
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Name)
    }


def test_what_only_looks_opens_the_reader() -> None:
    commands = ROOT / "pipelines" / "commands"
    readers = {p.stem for p in commands.glob("*.py") if "open_reader" in names_in(p)}
    assert readers >= LOOKS
    for name in ("backtest", "sweep"):  # they read bars through one function
        used = [commands / f"{name}.py", *(ROOT / "pipelines" / "evaluation").glob("*.py")]
        assert any("open_reader" in names_in(path) for path in used), name
        assert "open_database" not in names_in(commands / f"{name}.py")
    for name in ("validate", "export"):
        assert "open_reader" not in names_in(commands / f"{name}.py")


async def test_pages_and_the_simulator_listen_on_this_machine() -> None:
    for command in (dashboard, research):
        host = inspect.signature(command).parameters["host"].default
        assert is_loopback(host)
    assert is_loopback(inspect.signature(serve).parameters["host"].default)


class FakeServer:
    """A page that is over at once; it keeps what it was started with."""

    started: ClassVar[list[list[str]]] = []
    tokens: ClassVar[list[str]] = []
    pid = 1

    def __init__(self, command: list[str], **_: object) -> None:
        self.started.append(command)
        self.stdin = SimpleNamespace(write=self.tokens.append, close=lambda: None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait(self, _: float) -> int:
        return 0

    def terminate(self) -> None: ...


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> type[FakeServer]:
    monkeypatch.setattr(marimo_server.subprocess, "Popen", FakeServer)
    monkeypatch.setattr(marimo_server, "_lower_priority", lambda _: None)
    FakeServer.started, FakeServer.tokens = [], []
    return FakeServer


def test_a_token_is_made_anew_and_is_no_argument(
    pages: type[FakeServer], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        marimo_server._run(["marimo"], {}, "http://here", guarded=True)
    first, second = pages.tokens
    assert first != second
    assert min(len(first), len(second)) > 15
    assert not any(
        token in " ".join(command) for command in pages.started for token in pages.tokens
    )
    said = capsys.readouterr()
    assert said.out.count(first) == said.out.count(second) == 1
    assert not any(token in said.err for token in pages.tokens)


def test_the_notebook_is_guarded_wherever_it_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules[research.__module__]
    asked: list[bool] = []
    settings = Settings(data_folder=tmp_path)
    monkeypatch.setattr(module, "load_settings", lambda: settings)
    monkeypatch.setattr(module, "data_kind", lambda *_: "simulation")
    monkeypatch.setattr(module, "open_reader", lambda *_, **__: nullcontext())
    monkeypatch.setattr(module, "require_free_port", lambda *_: None)
    monkeypatch.setattr(module, "serve_page", lambda *_, guarded, **__: asked.append(guarded) or 0)
    for host in ("127.0.0.1", "localhost", "192.168.0.5"):
        research(host=host)
    assert asked == [True] * 3


@pytest.mark.parametrize(
    ("options", "key", "real"),
    [
        ([], True, True),
        ([], False, False),
        (["--simulate"], True, False),
        (["--faults", "calm"], True, False),
    ],
)
def test_the_real_kis_needs_credentials_and_no_option_of_a_simulation(
    options: list[str], key: bool, real: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.commands import live

    module = sys.modules["pipelines.commands.live"]
    keys = {"app_key": SecretStr(KEY), "app_secret": SecretStr(SECRET)} if key else {}
    asked: list[object] = []

    def run(_: object, *, simulation: object, **__: object) -> None:
        asked.append(simulation)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "load_settings", lambda: Settings(**keys))
    monkeypatch.setattr(module, "run", run)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        live.live(
            simulate="--simulate" in options, faults="calm" if "--faults" in options else None
        )
    assert [simulation is None for simulation in asked] == [real]


def test_no_call_is_an_order() -> None:
    """Every address at KIS that we have is a quotation, or the token."""
    files = [ROOT / "engine" / "kis" / "auth.py", *(ROOT / "engine/kis/endpoints").glob("*.py")]
    paths = {
        text
        for file in files
        for text in re.findall(r'"(/(?:uapi|oauth2)/[^"]*)', file.read_text("utf-8"))
    }
    assert auth.PATH in paths
    assert all("/quotations" in path for path in paths - {auth.PATH}), paths
    assert len(paths) > 2
    everywhere = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "engine").rglob("*.py")
        if "simulator" not in path.parts
    )
    assert "/trading" not in everywhere
    assert "order-cash" not in everywhere
