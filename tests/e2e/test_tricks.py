"""Whatever is given for a code, date, name or path: one line, nothing run, nothing written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.clock import WallClock
from engine.errors import InputError
from engine.history.scan import scan
from engine.store import Store
from engine.store.connection import Connection
from pipelines.commands.main import main
from pipelines.research import sources
from tests.engine.store.data import futures_bars, signals

TRICKS = {
    "sql": "'; DROP TABLE gaps; --",
    "sql in a name": 'gaps"; DROP TABLE gaps; --',
    "path": "../../outside",
    "shell": "$(touch outside)",
    "NUL": "A01\0x",
    "line": "A01\n",
    "escape": "\x1b[2J",
    "another alphabet": "А０1",  # Cyrillic and full-width
    "bytes": "\udcff",
    "empty": "",
    "long": "A" * 100_000,
}
BEFORE_ANY_DATABASE = [
    "live --stock",
    "live --future",
    "live --chain",
    "live --date",
    "live --speed",
    "live --seed",
    "live --faults",
    "live --recorded",
    "sim --faults",
    "sim --date",
    "sim --start",
    "sim --recorded",
    "sim --port",
    "status --format",
    "status --database",
    "calendar",
    "plot --out x.png",
    "plot smile --out x.png --minute",
    "plot day --out x.png --date",
    "backfill --dry-run --from",
    "backfill --dry-run --recorded",
    "backfill --dry-run --symbol",
    "validate --from",
    "validate --symbol",
    "signals --strategy",
    "trades --exit",
    "replay --strategy",
    "replay --param",
    "replay --from",
    "backtest --strategy",
    "backtest --param",
    "backtest --file",
    "backtest --exit",
    "sweep --strategy",
    "dashboard --host",
    "db --database",
    "",
]
IN_THE_DATABASE = [
    "plot day --out x.png --symbol",
    "plot smile --out x.png --series",
    "plot matrix --out x.png --metric",
    "signals --symbol",
    "trades --symbol",
    "replay --symbol",
    "backtest --symbol",
    "sweep --symbol",
]


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder to work in; what is written beside it is seen."""
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "a" / "data"))
    monkeypatch.setattr("pipelines.databases.migrate", lambda _, keep: None)
    yield inside
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("trick", TRICKS)
def test_a_command_refuses_it_before_it_opens_anything(
    trick: str, inside: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", "postgresql://127.0.0.1:9/nowhere")
    for command in BEFORE_ANY_DATABASE:
        is_refused([*command.split(), TRICKS[trick]], capfd)


def test_a_command_that_asks_the_database_finds_nothing_of_that_name(
    inside: Path, filled: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", filled)
    for command in IN_THE_DATABASE:
        for trick in ("sql", "sql in a name", "path", "another alphabet"):
            is_refused([*command.split(), TRICKS[trick]], capfd)


def is_refused(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    code = main(arguments)
    out, err = capfd.readouterr()
    assert (code, out, err[:2], err.count("\n")) == (2, "", "❌ ", 1), (arguments[:-1], out, err)
    assert err.strip().isprintable()
    assert len(err) < 700
    assert "nowhere" not in err


@pytest.fixture
async def filled(store: Store) -> str:
    await store.merge("futures_1m", futures_bars([1.0, 2.0]))
    await store.merge("dolpha1_signal", signals([0, 1]))
    return store.url


async def test_a_scan_and_a_stream_of_that_name_there_is_not(filled: str) -> None:
    store = Store(filled, WallClock())
    for text in TRICKS.values():
        for refused in (
            lambda: scan(text, filled),  # noqa: B023 - called at once
            lambda: scan("futures_1m", filled, order_by=[text]),  # noqa: B023
            lambda: sources.scan_signals(text, url=filled),  # noqa: B023
            lambda: sources.scan(text, source="parquet", export=Path("nowhere")),  # noqa: B023
        ):
            with pytest.raises(InputError):
                refused()
        with pytest.raises(InputError):
            await store.merge(text, futures_bars([1.0]))
    await store.close()


def test_a_value_of_that_kind_is_only_a_value(filled: str) -> None:
    for trick in TRICKS.keys() - {"NUL", "bytes", "long"}:
        assert sources.scan_signals(symbol=TRICKS[trick], url=filled).collect().height == 0
    connection = Connection(filled, "test")
    assert connection.query("SELECT count(*) AS n FROM gaps")["n"].to_pylist() == [0]
    connection.close()
