"""`just service`: what it installs, on each system, and that it starts and stops where it can."""

from __future__ import annotations

import os
import plistlib
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from engine import awake
from engine.settings import Settings, load_settings
from pipelines.commands.main import main
from pipelines.service import manager, systemd
from pipelines.service.job import Job, ServicePlan, job_here
from pipelines.service.launchd import launchd_plan
from pipelines.service.systemd import systemd_plan, unit_text
from pipelines.service.task_scheduler import task_plan
from tests.pipelines.service.managers import main_process, own_manager, quick_to_restart, wait_for

ODD = Path('/home/kim/my $HOME 100%/"quoted"')
JOB = Job(
    (
        "/home/kim/krt/.venv/bin/python",
        "-P",
        "-m",
        "pipelines.commands.main",
        "live",
        "--every-day",
    ),
    Path("/home/kim/krt"),
    {"KRT_CONFIG_FOLDER": "/home/kim/krt", "PYTHONUTF8": "1"},
    "kim",
    version=252,
)
WINDOWS = replace(
    JOB,
    command=(r"C:\Users\kim lee\krt\pythonw.exe", *JOB.command[1:]),
    folder=Path("C:/Users/kim lee/krt"),
    user=r"DESK\kim lee & co",
)
posix = pytest.mark.skipif(sys.platform == "win32", reason="about Unix")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of our own, and no setting of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith(("KRT_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/kim"))
    monkeypatch.setattr(os, "getuid", lambda: 501, raising=False)
    monkeypatch.setenv("KRT_DATA_FOLDER", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(plan: ServicePlan) -> str:
    """Return everything that a plan says, as text."""
    names = ("stop", "install", "optional", "remove", "status", "log", "notes")
    said = (f"{name}: {getattr(plan, name)}" for name in names)
    parts = [text for file in plan.files for text in (file.path.as_posix(), file.text())]
    parts += said
    return "\n".join(parts).replace("\r\n", "\n")


@posix
@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(lambda: systemd_plan(JOB), id="systemd of a user"),
        pytest.param(lambda: systemd_plan(replace(JOB, version=256)), id="systemd with steps"),
        pytest.param(lambda: systemd_plan(replace(JOB, system_wide=True)), id="systemd of root"),
        pytest.param(lambda: launchd_plan(JOB), id="launchd of a user"),
        pytest.param(lambda: launchd_plan(replace(JOB, system_wide=True)), id="launchd of root"),
        pytest.param(lambda: task_plan(WINDOWS, Path("C:/data")), id="task of Windows"),
    ],
)
def test_what_is_installed(plan: object, snapshot: SnapshotAssertion) -> None:
    assert described(plan()) == snapshot  # type: ignore[operator]


def test_the_property_list_and_the_task_hold_what_the_job_is() -> None:
    odd = replace(JOB, folder=ODD, environment={"KRT_CONFIG_FOLDER": str(ODD)})
    written = plistlib.loads(launchd_plan(odd).file.content)
    assert written["WorkingDirectory"] == written["EnvironmentVariables"]["KRT_CONFIG_FOLDER"]
    assert written["ProgramArguments"] == list(JOB.command)
    tasks = task_plan(WINDOWS, Path("C:/data"))
    names = ("Command", "WorkingDirectory", "UserId", "WakeToRun", "ExecutionTimeLimit")
    assert texts_of_task(tasks.file.content, *names) == {
        "Command": WINDOWS.command[0],
        "WorkingDirectory": str(WINDOWS.folder),
        "UserId": WINDOWS.user,
        "WakeToRun": "false",  # its trigger comes every few minutes
        "ExecutionTimeLimit": "PT0S",
    }
    (wake,) = tasks.others
    assert texts_of_task(wake.content, "WakeToRun", "Interval") == {
        "WakeToRun": "true",
        "Interval": "PT1M",  # of starts that came to nothing: it has no repetition
    }


def texts_of_task(content: bytes, *names: str) -> dict[str, str | None]:
    """Return the first text of each name in the XML of a task."""
    task = ET.fromstring(content)  # noqa: S314 - our own
    space = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    return {name: task.findtext(f".//t:{name}", namespaces=space) for name in names}


def test_windows_starts_the_collector_again_although_it_does_not_look_at_how_it_ended() -> None:
    """A trigger comes every few minutes, all day, of which nothing comes while it runs."""
    content = task_plan(WINDOWS, Path("C:/data")).file.content
    names = ("Interval", "Duration", "StopAtDurationEnd", "MultipleInstancesPolicy")
    assert list(texts_of_task(content, *names).values()) == ["PT5M", "P1D", "false", "IgnoreNew"]
    network = "RunOnlyIfNetworkAvailable"  # a start without a network would come to nothing
    assert texts_of_task(content, network) == {network: "false"}


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("system_wide", [False, True])
def test_systemd_finds_nothing_wrong(system_wide: bool, tmp_path: Path) -> None:
    (tmp_path / "odd 100% $x").mkdir()
    job = replace(
        JOB,
        command=(sys.executable, *JOB.command[1:]),
        folder=tmp_path / "odd 100% $x",
        system_wide=system_wide,
        environment={"KRT_CONFIG_FOLDER": str(ODD)},
    )
    (tmp_path / systemd.UNIT).write_text(unit_text(job))
    (tmp_path / "runtime").mkdir()
    done = subprocess.run(
        ["systemd-analyze", *([] if system_wide else ["--user"]), "verify", systemd.UNIT],
        cwd=tmp_path,
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "runtime")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@posix
@pytest.mark.parametrize(
    "name",
    ["KRT_APP_KEY", "KRT_APP_SECRET", "KRT_APP_KEYS", "KRT_DATABASE_URL", "KRT_ALERTS", "KRT_NEW"],
)
def test_what_may_be_a_secret_is_refused_and_never_written(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = "postgresql://krt:p4ssword@db/krt"
    monkeypatch.setenv(name, secret)
    monkeypatch.setattr("pipelines.commands.service.load_settings", Settings.model_construct)
    monkeypatch.setattr(sys, "platform", "linux")
    assert main(["service", "install", "--dry-run"]) == 2
    said = capsys.readouterr()
    assert name in said.err
    assert "config.json" in said.err
    assert "p4ssword" not in said.err + said.out


def test_what_is_no_secret_is_passed_on(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("KRT_NIGHT", "true")
    monkeypatch.setenv("KRT_STOCKS", "005930,000660")
    environment = job_here(load_settings(), home).environment
    assert environment["KRT_NIGHT"] == "true"
    assert environment["KRT_STOCKS"] == "005930,000660"
    assert environment["KRT_DATA_FOLDER"] == str(home / "data")


def test_a_system_without_a_service_manager_says_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "freebsd14")
    assert main(["service", "install"]) == 2
    said = capsys.readouterr().err
    assert "no service manager is known here" in said
    assert said.count("\n") == 1


STUB = """#!/bin/sh
echo "$(basename $0) $*" >> "{log}"
case "$*" in
    *is-system-running*) echo running ;;
    *--version*) echo "systemd 252 (252)" ;;
    *enable-linger*) echo "Access denied"; exit 1 ;;
    *is-active*) grep -q "restart" "{log}" && exit 0; exit 3 ;;
    *unit*) echo "one"; echo "two"; echo "three" ;;
esac
"""


@posix
def test_install_status_log_and_remove_by_what_the_system_has(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With stand-ins for systemctl, loginctl and journalctl that write down what they are asked."""
    log = home / "asked"
    for name in ("systemctl", "loginctl", "journalctl"):
        (home / name).write_text(STUB.format(log=log))
        (home / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr("pipelines.service.job._user", lambda: "kim")
    unit = home / "config" / "systemd" / "user" / systemd.UNIT

    assert main(["service", "install", "--dry-run"]) == 0
    shown = capsys.readouterr()
    assert str(unit) in shown.out
    assert "systemctl --user enable" in shown.out
    assert "sudo loginctl enable-linger" in shown.err
    assert not unit.exists()

    assert main(["service", "status"]) == 1
    assert main(["service", "install"]) == 0
    said = capsys.readouterr().out
    assert "⚠️ there is no app_key in config.json: it plays simulated days" in said
    assert "⚠️ loginctl enable-linger kim: Access denied" in said
    assert unit.read_text() in shown.out
    asked = log.read_text()
    assert [
        line for line in asked.splitlines() if "systemctl --user" in line and "is-" not in line
    ] == [
        "systemctl --user daemon-reload",
        f"systemctl --user enable {systemd.UNIT}",
        f"systemctl --user restart {systemd.UNIT}",
    ]

    assert main(["service", "status"]) == 0
    assert main(["service", "log", "--lines", "2"]) == 0
    assert capsys.readouterr().out.endswith("two\nthree\n")
    unit.write_text("[Service]\n")
    assert main(["service", "status"]) == 0
    assert "installed otherwise" in capsys.readouterr().out

    assert main(["service", "remove", "--dry-run"]) == 0
    assert unit.exists()
    assert main(["service", "remove"]) == 0
    assert not unit.exists()
    assert f"systemctl --user disable --now {systemd.UNIT}" in log.read_text()
    assert main(["service", "remove"]) == 0
    assert "no service is installed" in capsys.readouterr().out


LAUNCHCTL = """#!/bin/sh
# As launchd is: it ends a program after its command has returned, and lets go of the name later.
case "$1" in
    bootout) echo leaving > "{folder}/leaving"; exit 36 ;;
    print)
        if [ -e "{folder}/leaving" ]; then
            echo x >> "{folder}/looks"
            [ "$(wc -l < "{folder}/looks")" -gt 2 ] && {{ echo "Could not find it"; exit 113; }}
        fi
        echo "state = running" ;;
    enable) echo enable >> "{folder}/done" ;;
    bootstrap)
        echo x >> "{folder}/tries"
        [ "$(wc -l < "{folder}/looks")" -gt 2 ] || exit 9
        [ "$(wc -l < "{folder}/tries")" -gt {refusals} ] || {{ echo "failed: 5"; exit 5; }}
        echo bootstrap >> "{folder}/done" ;;
esac
"""


@posix
@pytest.mark.parametrize(("refusals", "well"), [(2, True), (99, False)])
def test_launchd_is_given_the_time_to_let_go_of_the_one_before(
    refusals: int,
    well: bool,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (home / "launchctl").write_text(LAUNCHCTL.format(folder=home, refusals=refusals))
    (home / "launchctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(Path, "home", lambda: home)
    monkeypatch.setattr(os, "geteuid", lambda: 501)
    monkeypatch.setattr("pipelines.service.job._user", lambda: "kim")
    monkeypatch.setattr(manager, "_BETWEEN_LOOKS", 0.01)
    monkeypatch.setattr(manager, "_LETS_GO", 10.0 if well else 0.1)
    assert main(["service", "install"]) == (0 if well else 2)
    assert ("failed: 5" in capsys.readouterr().err) is not well
    done = (home / "done").read_text().split()
    assert done == (["enable", "bootstrap"] if well else ["enable"])


COLLECTOR = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (open("ended", "a").write("well "), sys.exit(0)))
open("begun", "a").write("x")
time.sleep(600)
"""


def test_the_real_thing_starts_again_after_a_fault_and_stops_in_order(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a manager of the test's own: killed, it is started again; removed, it hears SIGTERM."""
    with own_manager(monkeypatch) as folder:
        (folder / "collector.py").write_text(COLLECTOR)
        job = replace(
            JOB,
            command=(sys.executable, str(folder / "collector.py")),
            folder=folder,
            version=manager._systemd_version(),
        )
        plan = replace(quick_to_restart(systemd_plan(job)), optional=())
        monkeypatch.setattr("pipelines.commands.service.manager.plan_here", lambda _: plan)
        begun = folder / "begun"
        try:
            assert main(["service", "status"]) == 1
            assert main(["service", "install"]) == 0
            wait_for(begun.exists)
            assert main(["service", "status"]) == 0
            first = main_process(systemd.UNIT)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: begun.read_text() == "xx")
            assert main_process(systemd.UNIT) not in (0, first)
            assert manager.state(plan) == "running"
            assert main(["service", "install"]) == 0  # once more: it is started anew
            wait_for(lambda: begun.read_text() == "xxx")
        finally:
            assert main(["service", "remove"]) == 0
        assert (folder / "ended").read_text() == "well well "
        assert manager.state(plan) == "absent"
        assert not plan.file.path.exists()
        assert main_process(systemd.UNIT) == 0


@posix
def test_the_machine_is_kept_awake_as_long_as_the_block_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stand_in = home / "systemd-inhibit"
    stand_in.write_text(
        '#!/bin/sh\necho "$*" > "$0.asked"\nwhile [ "$1" != "tail" ]; do shift; done\nexec "$@"\n'
    )
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    started: list[subprocess.Popen[bytes]] = []
    popen = subprocess.Popen
    caplog.set_level("INFO")

    def start(*args: object, **options: object) -> subprocess.Popen[bytes]:
        started.append(popen(*args, **options))  # type: ignore[call-overload]
        return started[-1]

    monkeypatch.setattr(awake.subprocess, "Popen", start)
    with awake.keep_awake("a test"):
        assert started[0].poll() is None
    assert started[0].poll() is not None
    assert caplog.messages == []
    stand_in.write_text("#!/bin/sh\nexit 1\n")
    with awake.keep_awake("a test"):
        started[1].wait()
    assert "it refused" in caplog.text
    monkeypatch.setattr(awake.shutil, "which", lambda _: None)
    with awake.keep_awake("a test"):
        assert len(started) == 2
    assert "has nothing that keeps it awake" in caplog.text


def test_a_task_without_a_console_says_why_it_did_not_start_where_the_log_is_read(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "pipelines.commands.service.manager.plan_here", lambda _: task_plan(WINDOWS, home)
    )
    with monkeypatch.context() as without_console:
        without_console.setattr(sys, "stderr", None)
        assert main(["live", "--every-day", "--picture", "x.svg"]) == 2
        (home / "config.json").write_text('{"app_kye": "x"}')
        assert main(["live", "--every-day"]) == 2
    (home / "config.json").unlink()
    assert main(["service", "log"]) == 0
    assert "❌ --every-day plays no file and saves no picture" in capsys.readouterr().out
