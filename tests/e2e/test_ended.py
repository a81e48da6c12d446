"""Whoever ends a collector, and however, leaves nothing behind: real processes and signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import Desk
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")

DAY = "2026-11-09"
LIVE = ("live", "--json", "--date", DAY, "--speed", "400", "--stock", "005930")
KRT = (sys.executable, "-m", "pipelines.commands.main", *LIVE)
JUST = (str(Path(sys.executable).with_name("just")), "--justfile", str(ROOT / "justfile"), *LIVE)
# As a script's `&` starts them: Ctrl+C is not for them.
IN_BACKGROUND = ("sh", "-c", "trap '' INT; exec \"$@\"", "sh")
WITH_NOHUP = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
PATIENCE = 60  # seconds for an orderly end on a busy machine


@contextmanager
def collector(desk: Desk, *command: str) -> Iterator[subprocess.Popen[str]]:
    """Run the command until it collects; whatever is left of it at the end is killed."""
    environment = desk.environment | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    }
    with subprocess.Popen(
        command,
        cwd=desk.folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        try:
            assert running.stderr is not None
            said = ""
            for line in running.stderr:
                said += line
                if "collecting" in line:
                    break
            assert "collecting" in said, said
            yield running
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)


def is_stopped(desk: Desk) -> bool:
    """Whether no server of the desk runs any more."""
    return not (desk.folder / "simulation" / "postgres-18" / "postmaster.pid").exists()


def assert_ended_well(desk: Desk, out: str, err: str) -> None:
    """It said how far the day came, and no server runs."""
    assert "Traceback" not in err
    assert is_stopped(desk)
    assert json.loads(out.splitlines()[-1])["complete"] is False


def wait_until(done: Callable[[], bool]) -> bool:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if done():
            return True
        time.sleep(0.2)
    return done()


def family(process: int) -> list[psutil.Process]:
    root = psutil.Process(process)
    return [root, *root.children(recursive=True)]


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (KRT, signal.SIGTERM),
        pytest.param((*IN_BACKGROUND, *JUST), signal.SIGTERM, marks=pytest.mark.long),
        (JUST, signal.SIGTERM),
    ],
    ids=["krt-term", "background-just-term", "just-term"],
)
def test_a_signal_ends_the_collector_and_its_server(
    desk: Desk, command: tuple[str, ...], number: signal.Signals
) -> None:
    with collector(desk, *command) as running:
        assert not is_stopped(desk)
        started = family(running.pid)
        os.kill(running.pid, number)
        out, err = running.communicate(timeout=PATIENCE)
        assert wait_until(lambda: not any(process.is_running() for process in started)), started
    assert_ended_well(desk, out, err)
    if command[-len(KRT) :] == KRT:  # just and uv have codes of their own for a signal
        assert running.returncode == 130


def test_every_process_of_the_group_may_get_the_signal(desk: Desk) -> None:
    """As systemd ends a service: the collector hears it from systemd, and again from the recipe."""
    with collector(desk, *JUST) as running:
        os.killpg(running.pid, signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE)
    assert_ended_well(desk, out, err)


def test_ctrl_c_is_not_for_a_collector_in_the_background(desk: Desk) -> None:
    with collector(desk, *IN_BACKGROUND, *KRT) as running:
        os.killpg(running.pid, signal.SIGINT)
        time.sleep(1.0)
        assert running.poll() is None
        assert not is_stopped(desk)
        os.kill(running.pid, signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE)
    assert_ended_well(desk, out, err)
    assert running.returncode == 130


def test_a_collector_under_nohup_goes_on_without_its_terminal(desk: Desk) -> None:
    with collector(desk, *WITH_NOHUP, *JUST) as running:
        os.killpg(running.pid, signal.SIGHUP)
        time.sleep(1.0)
        assert running.poll() is None
        started = family(running.pid)
        os.kill(running.pid, signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE)
        assert wait_until(lambda: not any(process.is_running() for process in started)), started
    assert_ended_well(desk, out, err)


def test_a_closed_terminal_ends_the_collector_and_its_server(desk: Desk) -> None:
    """As at the end of `ssh -t machine just live`: only the leader of the session is told.

    The live view is on the terminal: from then on, every line that it draws would fail.
    """
    import pty

    day_log = desk.folder / "simulation" / "logs" / f"live-{DAY}.log"
    day_log.unlink(missing_ok=True)
    command = [word for word in JUST if word != "--json"]
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(desk.folder)
        os.environ.update(desk.environment)
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        os.execv(command[0], command)  # noqa: S606
    collecting = False
    until = time.monotonic() + PATIENCE
    while not collecting and time.monotonic() < until:
        os.read(terminal, 65536)
        collecting = day_log.exists() and "collecting" in day_log.read_text("utf-8")
    started = family(process)
    assert collecting
    assert not is_stopped(desk)
    os.close(terminal)
    os.waitpid(process, 0)
    assert wait_until(lambda: not any(process.is_running() for process in started)), started
    assert is_stopped(desk)
    assert "Traceback" not in day_log.read_text("utf-8")
    assert desk.ask("SELECT status FROM system_status WHERE component = 'collector'").item() == (
        "stopped"
    )


EVERY_DAY = (sys.executable, "-m", "pipelines.commands.main", "live", "--every-day", "--json")


def test_a_collector_of_every_day_ends_well_with_sigterm(desk: Desk) -> None:
    simulated = (*EVERY_DAY, "--date", DAY, "--speed", "400", "--stock", "005930")
    with collector(desk, *simulated) as running:
        os.kill(running.pid, signal.SIGTERM)
        out, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, err
    assert "Traceback" not in err
    assert is_stopped(desk)
    assert json.loads(out.splitlines()[-1])["interrupted"] is True


def test_a_collector_of_every_day_ends_well_before_the_session(desk: Desk) -> None:
    """With a key it waits for KIS's next session, or is in the middle of one that gives nothing."""
    real = {"APP_KEY": "PS" + "x1" * 17, "APP_SECRET": "9f" * 90, "BASE_URL": "http://127.0.0.1:9"}
    environment = desk.environment | {f"KRT_{name}": value for name, value in real.items()}
    with subprocess.Popen(
        EVERY_DAY,
        cwd=desk.folder,
        env=environment,
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as running:
        assert running.stderr is not None
        said = next((line for line in running.stderr if "sleeping" in line or "token" in line), "")
        assert said
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=PATIENCE)
    assert running.returncode == 0, err
    assert "Traceback" not in err
    assert not (desk.folder / "live" / "postgres-18" / "postmaster.pid").exists()
