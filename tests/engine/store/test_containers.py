"""Two containers on one data folder: the second is refused, and the database stays whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.errors import InputError
from engine.store import embedded_server
from engine.store.connection import Connection
from engine.store.embedded.running import hold_for_server
from tests.paths import ROOT

UNSHARE = ["unshare", "--pid", "--net", "--mount-proc", "--fork", "--kill-child"]
KEEP = """
with closing(Connection(url, "test")) as database:
    database.execute_alone("CREATE TABLE IF NOT EXISTS kept (n bigint)")
    database.execute_alone("INSERT INTO kept VALUES (1)")
"""


def _can_unshare() -> bool:
    if sys.platform == "win32" or shutil.which("unshare") is None:
        return False
    return subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0


containers = pytest.mark.skipif(
    not _can_unshare(), reason="namespaces of processes and networks need Linux and root"
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account can reach, also under root; pytest's own is private."""
    path = Path(tempfile.gettempdir()) / f"krt-{uuid.uuid4().hex[:8]}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that uses the database, in a container or not; the rest are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*, contained: bool) -> subprocess.Popen[str]:
        code = f"""
            import sys
            from contextlib import closing
            from pathlib import Path
            from engine.errors import KrtError
            from engine.store import embedded_server
            from engine.store.connection import Connection
            try:
                with embedded_server(Path({str(folder)!r}), durable=True) as url:
                    {textwrap.indent(KEEP, " " * 20).strip()}
                    print("kept", flush=True)
                    sys.stdin.readline()
            except KrtError as error:
                print(type(error).__name__, error)
        """
        process = subprocess.Popen(
            [*(UNSHARE if contained else []), sys.executable, "-c", textwrap.dedent(code)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def line(process: subprocess.Popen[str]) -> str:
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=120)
    assert process.returncode == 0


def rows_kept(folder: Path) -> int:
    with (
        embedded_server(folder, durable=False) as url,
        closing(Connection(url, "test")) as database,
    ):
        return database.query("SELECT * FROM kept").num_rows


@containers
@pytest.mark.parametrize(
    "contained",
    [
        pytest.param(True, id="container first", marks=pytest.mark.long),
        pytest.param(False, id="container second", marks=pytest.mark.long),
    ],
)
def test_a_second_container_is_refused_in_one_line_and_nothing_is_lost(
    folder: Path, start: Callable[..., subprocess.Popen[str]], contained: bool
) -> None:
    first = start(contained=contained)
    assert line(first) == "kept"
    second = start(contained=not contained)
    refused = line(second)
    assert refused.startswith(
        f"InputError the database in {folder} is running in another container"
    )
    assert second.wait(60) == 0
    end(first)
    third = start(contained=not contained)
    assert line(third) == "kept", "once the first has left, the second may have it"
    end(third)
    assert rows_kept(folder) == 2


@containers
@pytest.mark.parametrize(
    "contained",
    [
        pytest.param(True, id="container first"),
        pytest.param(False, id="container second", marks=pytest.mark.long),
    ],
)
def test_after_a_kill_of_the_first_container_the_second_starts(
    folder: Path, start: Callable[..., subprocess.Popen[str]], contained: bool
) -> None:
    """A container that is killed takes its server along; a process that is killed leaves it."""
    first = start(contained=contained)
    assert line(first) == "kept"
    first.kill()
    first.wait()
    second = start(contained=not contained)
    if contained:
        assert line(second) == "kept"
        end(second)
    else:
        assert line(second).startswith("InputError the database in"), "its server runs on"
        assert second.wait(60) == 0
        second = start(contained=False)
        assert line(second) == "kept", "here it is found, joined and stopped in order"
        end(second)
        second = start(contained=True)
        assert line(second) == "kept"
        end(second)
    assert rows_kept(folder) == (2 if contained else 3)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows hides no processes from others")
def test_a_folder_is_held_until_the_last_process_that_inherited_it_ends(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.embedded.running._WAIT", 0.2)
    folder.mkdir()
    before = os.umask(0)
    try:
        with hold_for_server(folder) as inherited:
            server = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=inherited)
    finally:
        os.umask(before)
    assert (folder / "running.lock").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InputError, match="running and does not end"), hold_for_server(folder):
        pass
    (folder / "running.lock").write_text('{"host": "other"}')
    with pytest.raises(InputError, match=r"on another machine \(other\)"), hold_for_server(folder):
        pass
    server.communicate()
    with hold_for_server(folder):
        pass
