"""What the commands print that start something, serve, or write: on all sorts of screens.

Those that only look are in test_snapshots.py. Folders are beside the working folder, so that no
path differs; addresses, sizes and times of the machine are masked.
"""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl
import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion

from engine.columns import PRICES
from pipelines.commands import dashboard
from pipelines.databases import record_data_kind
from pipelines.doctor.finding import Finding
from pipelines.service import manager
from tests.databases import command, fresh_database
from tests.pipelines.commands.screens import Screen, run
from tests.pipelines.conftest import DAY, FUTURE, bars

SCREENS = {
    "80": Screen(80),
    "200": Screen(200),
    "pipe": Screen(),
    "cp949": Screen(encoding="cp949"),
}
DUMB = Screen(80, term="dumb")
FILE = """symbol,timestamp,open,high,low,close,volume
A01612,2026-11-16 10:00,1050,1050.5,1049.5,1050,5
A01612,2026-11-16 10:02,1050,1050.5,1049.5,1050.25,5
A01612,2026-11-16 10:03,1050,1050.5,1049.5,1051.25,5
A01612,2026-11-16 10:04,1050,1050.5,1049.5,-3,5
"""
_LINES = 30  # of each are compared, from the beginning and from the end
_MASKS = {
    r"127\.0\.0\.1:\d+": "127.0.0.1:PORT",
    r"/test_\w+\?host=\S+": "/NAME?host=FOLDER",
    r"app_key \S+, app_secret [^;]+": "app_key KEY, app_secret SECRET",
    r"access_token=[\w-]+": "access_token=TOKEN",
    r"[\d.,]+ (?:bytes|kB|MB)": "SIZE",
    r"krt-simulation-[\d-]+": "krt-simulation-MOMENT",
    r"on port \d+|port \d{4,}": "port PORT",
}


@pytest.fixture(scope="module", autouse=True)
def working(filled_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The commands work on a copy of the small day, as on a simulation."""
    with fresh_database(filled_template) as url, pytest.MonkeyPatch.context() as patch:
        record_data_kind(url, "simulation")
        patch.setenv("KRT_DATABASE_URL", url)
        patch.setenv("KRT_DATA_FOLDER", "data")
        patch.setenv("KRT_LANGUAGE", "ko")
        patch.chdir(tmp_path_factory.mktemp("jobs"))
        Path("bars.csv").write_text(FILE, encoding="utf-8")
        # Serving lowers the priority of its process, which here goes on with other tests.
        patch.setattr(dashboard, "_lower_priority", lambda: None)
        yield url


def printed(
    screen: Screen, *arguments: str, errors: bool = True, stop_at: str | None = None
) -> str:
    """Return exit code and output; `errors` without where a progress bar would move in it."""
    code, text = run(screen, *arguments, errors=errors, stop_at=stop_at)
    for pattern, mask in _MASKS.items():
        text = re.sub(pattern, mask, text)
    lines = text.splitlines()
    if len(lines) > _LINES:
        lines = [*lines[:20], "[…]", *lines[20 - _LINES :]]
    return "\n".join([f"exit code {code}", *lines])


def on_every_screen(
    snapshot: SnapshotAssertion,
    ask: Callable[[Screen], str],
    screens: Mapping[str, Screen] = SCREENS,
    *,
    what: str = "",
    folded: bool = True,
) -> None:
    """Compare what each screen shows; a dumb terminal of 80 columns shows the same as one.

    `what` tells several questions of one test apart.
    What is `folded` is no wider than that; a line of a log or an address is left to the terminal.
    """
    for name, screen in screens.items():
        shown = ask(screen)
        assert shown == snapshot(name=f"{what} {name}".strip())
        if screen == SCREENS["80"]:
            assert ask(DUMB) == shown
            if folded:
                assert max(cell_len(line.rstrip()) for line in shown.splitlines()) <= 80


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


@pytest.mark.parametrize(
    ("called", "stop_at"),
    [
        (["sim", "--port", "0", "--date", "2026-11-16"], "Ctrl+C ends it"),
        (["dashboard"], "🚀"),
        (["research", "--headless"], "🚀"),
        (["db"], "open until Ctrl+C"),
    ],
    ids=lambda given: given[0] if isinstance(given, list) else "",
)
def test_what_serves_until_ctrl_c_says_where_it_is(
    called: list[str], stop_at: str, snapshot: SnapshotAssertion
) -> None:
    """On Korean Windows the signs become question marks, so that nothing waits for them there."""

    def ask(screen: Screen) -> str:
        port = ["--port", free_port()] if called[0] in {"dashboard", "research"} else []
        until = stop_at.replace("🚀", "http://")
        return printed(screen, *called, *port, stop_at=until)

    on_every_screen(snapshot, ask, folded=False)


def test_a_doctor_s_findings_with_what_to_do(
    snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it finds is tested elsewhere; here is how it is said."""
    found = [
        Finding("configuration", "well", "config.json, and from the environment: KRT_LANGUAGE"),
        Finding(
            "key", "amiss", "KIS refuses it: 유효하지 않은 AppKey", "put app_key into config.json"
        ),
        Finding("clock", "unknown", "KIS's clock cannot be read", "see network"),
        Finding("disk", "well", "1,234.5 of 2,000.0 GB are free"),
    ]
    monkeypatch.setattr("pipelines.commands.doctor.examine", lambda _: found)
    on_every_screen(snapshot, lambda screen: printed(screen, "doctor"))


@pytest.mark.parametrize("state", ["running", "stopped", "absent"])
def test_how_a_service_stands(
    state: str, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manager, "plan_here", lambda _: None)  # of this system
    monkeypatch.setattr(manager, "state", lambda _: state)
    monkeypatch.setattr(manager, "is_current", lambda _: False)
    on_every_screen(snapshot, lambda screen: printed(screen, "service", "status"))


def test_validated_and_exported(working: str, snapshot: SnapshotAssertion) -> None:
    """What the checks find, then the Parquet of what is sealed."""

    def validated(screen: Screen) -> str:
        return printed(screen, "validate", "--from", f"{DAY}", "--symbol", FUTURE, errors=False)

    on_every_screen(snapshot, validated, what="validated")
    on_every_screen(snapshot, lambda screen: printed(screen, "export", "--to", "none"), what="none")
    command(working, "UPDATE kept_sessions SET validated = true, open = 0")
    printed(SCREENS["80"], "export", "--to", "parquet")  # from now on each file is as it was
    on_every_screen(
        snapshot, lambda screen: printed(screen, "export", "--to", "parquet"), what="sealed"
    )


def test_a_file_is_imported_or_refused(snapshot: SnapshotAssertion) -> None:
    """Rows that lie, that are stored otherwise, that are new; and a file without bars."""
    imported = ["import", "bars.csv", "--bar-times", "end"]
    printed(SCREENS["80"], *imported)  # the second time nothing is new: all screens show the same
    on_every_screen(snapshot, lambda screen: printed(screen, *imported, errors=False))
    refused = printed(SCREENS["pipe"], "import", "nothing.csv", "--bar-times", "end")
    assert refused == snapshot(name="refused")


def test_a_picture_is_drawn_or_cannot_be(snapshot: SnapshotAssertion) -> None:
    drawn = ["plot", "smile", "--date", f"{DAY}", "--out", "pictures/smile.svg"]
    on_every_screen(snapshot, lambda screen: printed(screen, *drawn), what="drawn")
    none = ["plot", "day", "--date", "2026-10-01", "--out", "pictures/day.svg"]
    on_every_screen(snapshot, lambda screen: printed(screen, *none))


def test_the_database_is_migrated_backed_up_and_restored(
    snapshot: SnapshotAssertion,
) -> None:
    on_every_screen(snapshot, lambda screen: printed(screen, "migrate"), what="migrate")
    backups = Path("backups")

    def backed_up(screen: Screen) -> str:
        shutil.rmtree(backups, ignore_errors=True)  # two of one second would have one name
        called = ["backup", "--to", str(backups), "--unverified"]
        return _without_counts(printed(screen, *called, errors=False))

    on_every_screen(snapshot, backed_up, what="backup")
    (backup,) = map(str, backups.iterdir())
    on_every_screen(
        snapshot,
        lambda screen: printed(screen, "restore", backup),
        what="restore into a full one",
        folded=False,
    )
    on_every_screen(
        snapshot,
        lambda screen: printed(screen, "restore", "nothing"),
        what="restore nothing",
        folded=False,
    )


@pytest.mark.long
def test_a_backup_comes_back(
    new_databases: Callable[[], str], snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed(SCREENS["80"], "backup", "--to", "to restore", "--unverified")
    (backup,) = Path("to restore").iterdir()

    def restored(screen: Screen) -> str:
        monkeypatch.setenv("KRT_DATABASE_URL", new_databases())
        monkeypatch.setenv("KRT_DATA_FOLDER", "restored")
        return _without_counts(printed(screen, "restore", str(backup), errors=False))

    on_every_screen(snapshot, restored, folded=False)


def _without_counts(text: str) -> str:
    """Leave out how many rows there are: the tests before may have added some."""
    return re.sub(r"[\d,]+ rows", "N rows", text)


@pytest.mark.parametrize(
    ("screen", "language"),
    [
        pytest.param(Screen(encoding="cp949"), "ko", id="cp949 ko"),
        pytest.param(Screen(80), "ko", id="80 ko", marks=pytest.mark.long),
        pytest.param(Screen(200), "en", id="200 en", marks=pytest.mark.long),
        pytest.param(DUMB, "en", id="dumb en", marks=pytest.mark.long),
        pytest.param(Screen(), "en", id="pipe en", marks=pytest.mark.long),
    ],
)
def test_a_day_at_its_end(
    screen: Screen,
    language: str,
    database_url: str,
    snapshot: SnapshotAssertion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last view, where there is one, and what the day came to; a log elsewhere.

    A recorded day, so that there are no sessions before it to be fetched.
    """
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    monkeypatch.setenv("KRT_DATA_FOLDER", f"data of {screen.width} {screen.term} {screen.encoding}")
    monkeypatch.setenv("KRT_LANGUAGE", language)
    on_ticks = bars([FUTURE], DAY, DAY, 1050.0).with_columns((pl.col(PRICES) * 20).round() / 20)
    on_ticks.select("timestamp", "symbol", *PRICES, "volume").write_parquet("day.parquet")
    recorded = ["--recorded", "day.parquet", "--bar-times", "end", "--date", f"{DAY}"]
    called = ["live", *recorded, "--future", FUTURE, "--start", "15:44", "--speed", "max"]
    code, text = run(screen, *called, errors=screen.width is None or screen == DUMB)
    shown = re.sub(r"\d+\.\d(?= s |초)", "N.N", text)
    shown = re.sub(r".*missing bars of the history added\n?", "", shown)  # sooner or later
    *_, last_view = re.split(r"(?:SIMULATION|모의 데이터)  .* KST\n", shown)  # with the time it has
    assert (code, "\n".join(last_view.splitlines()[-26:])) == (0, snapshot)
