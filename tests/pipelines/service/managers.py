"""A manager of systemd of the tests' own, where this system lets one run without a login.

`systemctl` talks to nobody on a machine that systemd has not booted, which it tells by a folder
below /run. Under root that folder can be shown to our processes alone, in a namespace of mounts, as
in a container that has systemd installed; elsewhere the machine has to be booted by systemd.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.service.job import ServicePlan

PROGRAM = shutil.which("systemd", path="/lib/systemd:/usr/lib/systemd")
STARTING = 20  # seconds
BOOTED = Path("/run/systemd/system").exists()
# A manager takes the control group that it finds itself in: one of its own, not everybody's.
IN_ITS_GROUP = """
for root in /sys/fs/cgroup/systemd /sys/fs/cgroup; do
    mkdir "$root/krt-test-$$" 2>/dev/null && echo $$ > "$root/krt-test-$$/cgroup.procs" && break
done
"""
AS_IF_BOOTED = 'mount -t tmpfs none /run/systemd && mkdir /run/systemd/system && exec "$@"'


@contextmanager
def own_manager(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run a user's manager in a folder of its own, and yield that; skip the test where none runs.

    `systemctl --user` of this process and its children then means this manager.
    """
    if sys.platform != "linux" or PROGRAM is None or shutil.which("systemctl") is None:
        pytest.skip("there is no systemd here")
    folder = Path(tempfile.mkdtemp(prefix="krt-sd-"))  # short: a socket's path is
    (folder / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    command = [PROGRAM, "--user", "--log-target=null"]
    if not BOOTED:
        if os.geteuid() or shutil.which("unshare") is None:
            pytest.skip("systemd has not booted this machine")
        command = ["unshare", "-m", "sh", "-c", IN_ITS_GROUP + AS_IF_BOOTED, "sh", *command]
        _show_it_to(folder / "bin" / "systemctl")
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
    with subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL) as manager:
        try:
            if not _answers(manager):
                pytest.skip("no manager of systemd can run here")
            yield folder
        finally:
            manager.terminate()
            try:
                manager.wait(30)
            except subprocess.TimeoutExpired:
                manager.kill()
    shutil.rmtree(folder, ignore_errors=True)


def ask(*words: str) -> str:
    """Return what `systemctl --user` says to the words."""
    done = subprocess.run(
        ["systemctl", "--user", *words], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def main_process(unit: str) -> int:
    """Return the process of a unit; 0 while it has none."""
    return int(ask("show", "--value", "--property=MainPID", unit) or 0)


def wait_for(what: Callable[[], object], seconds: float = 60) -> None:
    """Wait until `what` is true, a few times a second. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.2)


def quick_to_restart(plan: ServicePlan) -> ServicePlan:
    """Return a plan of systemd with a restart at once: no test waits for thirty seconds."""
    text, changed = re.subn(r"(?m)^RestartSec=.*$", "RestartSec=0.1", plan.file.text())
    assert changed == 1
    return replace(plan, file=replace(plan.file, content=text.encode()))


def _show_it_to(program: Path) -> None:
    """Put a program before the system's own of its name: the same, as if systemd had booted."""
    program.parent.mkdir()
    own = shutil.which(program.name)
    program.write_text(f"#!/bin/sh\nexec unshare -m sh -c '{AS_IF_BOOTED}' sh {own} \"$@\"\n")
    program.chmod(0o755)


def _answers(manager: subprocess.Popen[bytes]) -> bool:
    end = time.monotonic() + STARTING
    while manager.poll() is None and time.monotonic() < end:
        if ask("is-system-running") in ("running", "degraded"):
            return True
        time.sleep(0.2)
    return False
