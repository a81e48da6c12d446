"""Linux: a unit of systemd, the user's own; under root one of the whole system."""

from __future__ import annotations

import os
from pathlib import Path

from pipelines.service.job import DESCRIPTION, NAME, Job, ServiceFile, ServicePlan

UNIT = f"{NAME}.service"
_SYSTEM_FOLDER = Path("/etc/systemd/system")
_WITH_STEPS = 254  # from this version on a restart may wait longer and longer


def systemd_plan(job: Job) -> ServicePlan:
    """Return what makes the job a unit that starts at boot and after a fault."""
    scope = () if job.system_wide else ("--user",)
    folder = _SYSTEM_FOLDER if job.system_wide else _user_folder()
    control = ("systemctl", *scope)
    journal = "--unit" if job.system_wide else "--user-unit"
    linger = () if job.system_wide else (("loginctl", "enable-linger", job.user),)
    return ServicePlan(
        ServiceFile(folder / UNIT, unit_text(job).encode()),
        install=(
            (*control, "daemon-reload"),
            (*control, "enable", UNIT),
            (*control, "restart", UNIT),
        ),
        optional=linger,
        remove=((*control, "disable", "--now", UNIT),),
        status=(*control, "is-active", UNIT),
        log=("journalctl", journal, UNIT, "--no-pager", "--output", "cat"),
        notes=_notes(job),
    )


def unit_text(job: Job) -> str:
    """Return the unit. Sections, and in them names with one or more values, in order."""
    network = {"Wants": ["network-online.target"], "After": ["network-online.target"]}
    steps = {"RestartSteps": ["6"], "RestartMaxDelaySec": ["300"]}
    sections: dict[str, dict[str, list[str]]] = {
        "Unit": {
            "Description": [DESCRIPTION],
            **(network if job.system_wide else {}),
            "StartLimitIntervalSec": ["0"],  # tried again for ever, and never at once
        },
        "Service": {
            "ExecStart": [" ".join(_argument(part) for part in job.command)],
            "WorkingDirectory": [str(job.folder).replace("%", "%%")],
            "Environment": [_value(f"{key}={text}") for key, text in job.environment.items()],
            "Restart": ["on-failure"],
            "RestartSec": ["10" if job.version >= _WITH_STEPS else "30"],
            **(steps if job.version >= _WITH_STEPS else {}),
            # Ours hears SIGTERM, commits and stops the database; what is left then is ended.
            "KillMode": ["mixed"],
            "TimeoutStopSec": ["120"],
        },
        "Install": {"WantedBy": ["multi-user.target" if job.system_wide else "default.target"]},
    }
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key}={text}\n" for key, all_ in keys.items() for text in all_)
        for section, keys in sections.items()
    )


def _user_folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _value(text: str) -> str:
    """Return a text as systemd reads it: in quotes, no specifiers (%h)."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _argument(text: str) -> str:
    """Return an argument of a command: there a dollar sign names a variable, too."""
    return _value(text).replace("$", "$$")


def _notes(job: Job) -> tuple[str, ...]:
    awake = (
        "while a session is collected the machine is kept awake (systemd-inhibit), where the system"
        " lets you; it is not woken for the open: leave it on"
    )
    if job.system_wide:
        return ("it runs as root, as a unit of the system: it starts at boot", awake)
    return (
        "lingering lets it start at boot and go on after you log out; if it could not be turned on"
        f" here: sudo loginctl enable-linger {job.user}",
        "a user's manager does not know when the network is there: the collector itself waits",
        awake,
    )
