"""Install the service, remove it, say how it stands: by what the system has for that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from engine.environment import child_environment
from engine.errors import InputError
from engine.files import write_atomically
from engine.settings import Settings
from pipelines.service.job import CONFIG_FOLDER, Command, ServicePlan, job_here
from pipelines.service.launchd import launchd_plan
from pipelines.service.systemd import systemd_plan
from pipelines.service.task_scheduler import task_plan

State = Literal["running", "stopped", "absent"]

_LONGEST = 150  # seconds of a command: a collector may take two minutes to end
_BETWEEN_LOOKS = 0.5  # seconds
_LETS_GO = 30.0  # seconds that launchd may hold a name after its program has ended
_ENDING = 36  # by launchctl: it is told to end, and has not yet
_SESSION = ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")  # where a user's manager is found
_LISTENS = ("running", "degraded", "starting", "initializing", "maintenance")


@dataclass(frozen=True)
class Done:
    """How a command ended: 0 is well, 127 that there is no such program."""

    code: int
    output: str


def plan_here(settings: Settings) -> ServicePlan:
    """Return what a service is on this system. Raises InputError if it has none that we know."""
    folder = Path(os.environ.get(CONFIG_FOLDER) or ".").resolve()
    job = job_here(settings, folder)
    if sys.platform == "win32":
        return task_plan(job, settings.data_folder.expanduser().resolve())
    if sys.platform == "darwin":
        return launchd_plan(job)
    if sys.platform == "linux" and shutil.which("systemctl"):
        return systemd_plan(replace(job, version=_systemd_version()))
    raise InputError(
        "no service manager is known here: systemd, launchd and the Task Scheduler of Windows are;"
        " start `just live --every-day` by what your system has"
    )


def require_manager(plan: ServicePlan) -> None:
    """Raise InputError if the service manager of this system does not answer."""
    if plan.status[0] != "systemctl":
        return
    control = [part for part in plan.status if part in ("systemctl", "--user")]
    said = run((*control, "is-system-running")).output
    if said not in _LISTENS:
        which = "this user's systemd" if "--user" in control else "systemd"
        raise InputError(
            f"{which} does not run here ({said or 'no answer'}), as in a container: start"
            " `just live --every-day` by what starts your programs"
        )


def install(plan: ServicePlan) -> list[str]:
    """Write the file, and start the service now and from now on; return what did not work.

    Raises InputError with the system's own words if it refuses.
    """
    require_manager(plan)
    for file in plan.files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file.path, file.content)
    patience = _LETS_GO if _stop(plan) else 0.0
    for command in plan.install:
        _run_or_refuse(command, patience)
    failed = [(command, run(command)) for command in plan.optional]
    return [f"{' '.join(command)}: {done.output}" for command, done in failed if done.code]


def remove(plan: ServicePlan) -> bool:
    """Stop the service and remove it; return whether there was one. Data stay as they are."""
    if not plan.file.path.exists():
        return False
    require_manager(plan)
    for command in plan.remove:
        run(command)
    for file in plan.files:
        file.path.unlink(missing_ok=True)
    if plan.install[0][-1] == "daemon-reload":
        run(plan.install[0])
    return True


def state(plan: ServicePlan) -> State:
    """Return how the service stands."""
    if not plan.file.path.exists():
        return "absent"
    done = run(plan.status)
    if plan.status[0] == "schtasks":  # 267009 is "currently running", in every language
        return "running" if re.search(r"267009|\bRunning\b|실행 중", done.output) else "stopped"
    if plan.status[0] == "launchctl":
        return "running" if "state = running" in done.output else "stopped"
    return "running" if done.code == 0 else "stopped"


def is_current(plan: ServicePlan) -> bool:
    """Return whether the installed files are those that would be installed now."""
    try:
        return all(file.path.read_bytes() == file.content for file in plan.files)
    except OSError:
        return False


def run(command: Command) -> Done:
    """Run a command of the system to its end."""
    session = {name: os.environ[name] for name in _SESSION if name in os.environ}
    if sys.platform == "linux" and "XDG_RUNTIME_DIR" not in session:
        session["XDG_RUNTIME_DIR"] = f"/run/user/{os.geteuid()}"
    try:
        done = subprocess.run(  # noqa: S603
            command,
            env=child_environment(**session),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            check=False,
            timeout=_LONGEST,
        )
    except FileNotFoundError:
        return Done(127, f"there is no {command[0]} here")
    except subprocess.TimeoutExpired:
        return Done(124, f"no end within {_LONGEST} s")
    return Done(done.returncode, done.stdout.strip())


def _stop(plan: ServicePlan) -> bool:
    """End what was installed before, and wait until it has; return whether there was anything."""
    codes = [run(command).code for command in plan.stop]
    end = time.monotonic() + _LONGEST
    while codes and state(plan) == "running" and time.monotonic() < end:
        time.sleep(_BETWEEN_LOOKS)
    return not {0, _ENDING}.isdisjoint(codes)


def _run_or_refuse(command: Command, patience: float) -> None:
    """Run a command; again for the seconds of `patience`: launchd lets go of a name late."""
    end = time.monotonic() + patience
    while (done := run(command)).code:
        if time.monotonic() >= end:
            raise InputError(f"{' '.join(command)}: {done.output or f'exit code {done.code}'}")
        time.sleep(_BETWEEN_LOOKS)


def _systemd_version() -> int:
    found = re.search(r"systemd (\d+)", run(("systemctl", "--version")).output)
    return int(found[1]) if found else 0
