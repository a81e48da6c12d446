"""macOS: an agent of launchd for the user; under root a daemon of the whole system."""

from __future__ import annotations

import os
import plistlib
from pathlib import Path

from engine.log import LAUNCHD_LABEL as LABEL
from pipelines.service.job import NAME, Job, ServiceFile, ServicePlan


def launchd_plan(job: Job) -> ServicePlan:
    """Return what makes the job an agent that starts at login (a daemon: at boot)."""
    library = Path("/Library") if job.system_wide else Path.home() / "Library"
    path = library / ("LaunchDaemons" if job.system_wide else "LaunchAgents") / f"{LABEL}.plist"
    domain = "system" if job.system_wide else f"gui/{os.getuid()}"  # type: ignore[attr-defined,unused-ignore]
    log = library / "Logs" / f"{NAME}.log"
    return ServicePlan(
        ServiceFile(path, plist(job, log)),
        install=(  # what was disabled once cannot be bootstrapped
            ("launchctl", "enable", f"{domain}/{LABEL}"),
            ("launchctl", "bootstrap", domain, str(path)),
        ),
        optional=(),
        remove=(("launchctl", "bootout", f"{domain}/{LABEL}"),),
        status=("launchctl", "print", f"{domain}/{LABEL}"),
        log=("tail", "-n", "1000", str(log)),
        notes=_notes(job),
        stop=(("launchctl", "bootout", f"{domain}/{LABEL}"),),  # it takes no second of the name
    )


def plist(job: Job, log: Path) -> bytes:
    """Return the property list."""
    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": list(job.command),
            "WorkingDirectory": str(job.folder),
            "EnvironmentVariables": dict(job.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": 30,  # seconds between two starts
            "ExitTimeOut": 120,  # seconds to commit and to stop the database
            "ProcessType": "Interactive",  # not slowed down as work in the background is
            "StandardOutPath": str(log),
            "StandardErrorPath": str(log),
        }
    )


def _notes(job: Job) -> tuple[str, ...]:
    awake = (
        "while a session is collected the machine is kept awake (caffeinate), except with its lid"
        " closed; to wake it for the open: sudo pmset repeat wakeorpoweron MTWRF 08:15:00, in the"
        " time of this machine"
    )
    if job.system_wide:
        return ("it runs as root, as a daemon: it starts at boot", awake)
    return (
        "an agent starts when you log in: turn on automatic login, or install it as root",
        "macOS shows a service nothing below Desktop, Documents and Downloads: keep the project and"
        " its data elsewhere",
        awake,
    )
