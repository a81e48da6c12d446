"""`just service`: collect for ever, as a service of the system."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from cyclopts.validators import Number

from engine.errors import InputError
from engine.settings import Settings, load_settings
from pipelines.console import PlainConsole
from pipelines.service import manager
from pipelines.service.job import ServicePlan

Action = Literal["install", "remove", "status", "log"]
Lines = Annotated[int, Parameter(validator=Number(gte=1, lte=100_000))]


def service(action: Action, /, *, dry_run: bool = False, lines: Lines = 50) -> int:
    """Install `just live --every-day` as a service, remove it, or say how it stands.

    The service starts at boot (Windows: at logon) and again after a fault, and reads config.json of
    this folder. `status` ends with 0 if it runs, with 1 if not.

    Parameters
    ----------
    action
        what to do
    dry_run
        of install and remove: show the file and the commands, and change nothing
    lines
        of log: how many of the last
    """
    settings = load_settings()
    plan = manager.plan_here(settings)
    if dry_run:
        _show(plan, action)
        return 0
    if action == "install":
        return _install(plan, settings)
    if action == "remove":
        there = manager.remove(plan)
        removed = "✅ the service is removed; data and settings stay"
        PlainConsole().print(removed if there else "✅ no service is installed")
        return 0
    return _print_status(plan) if action == "status" else _print_log(plan, settings, lines)


def _install(plan: ServicePlan, settings: Settings) -> int:
    console = PlainConsole()
    failed = manager.install(plan)
    console.print(f"✅ installed and started: {plan.file.path}")
    if not settings.has_credentials:
        console.print("⚠️ there is no app_key in config.json: it plays simulated days")
    for line in failed:
        console.print(f"⚠️ {line}")
    _print_notes(plan)
    return 0


def _show(plan: ServicePlan, action: Action) -> None:
    """Print what an action would write and run, for people and for a shell."""
    if action not in ("install", "remove"):
        raise InputError(f"--dry-run is for install and remove: {action} changes nothing")
    if action == "install":
        for file in plan.files:
            sys.stdout.write(f"# {file.path}\n{file.text().rstrip()}\n\n")
    installing = (*plan.stop, *plan.install, *plan.optional)
    commands = installing if action == "install" else plan.remove
    for command in commands:
        sys.stdout.write(f"{shlex.join(command)}\n")
    if action == "remove":
        for file in plan.files:
            sys.stdout.write(f"# and {file.path} is removed\n")
    _print_notes(plan)


def _print_notes(plan: ServicePlan) -> None:
    for note in plan.notes:
        PlainConsole(stderr=True).print(f"🔄 {note}")


def _print_status(plan: ServicePlan) -> int:
    found = manager.state(plan)
    signs = {"running": "✅", "stopped": "❌", "absent": "⚠️"}
    words = {
        "running": "the service runs",
        "stopped": "the service is installed and does not run: `just service log` says why",
        "absent": "there is no service here: `just service install`",
    }
    console = PlainConsole()
    console.print(f"{signs[found]} {words[found]}")
    if found != "absent" and not manager.is_current(plan):
        console.print("⚠️ it was installed otherwise than it would be now: `just service install`")
    return 0 if found == "running" else 1


def _print_log(plan: ServicePlan, settings: Settings, lines: int) -> int:
    if plan.log is not None:
        done = manager.run(plan.log)
        if done.code == 0 and done.output:
            sys.stdout.write("\n".join(done.output.splitlines()[-lines:]) + "\n")
            return 0
    files = [file for kind in ("live", "simulation") for file in _log_files(settings, kind)]
    if not files:
        raise InputError(f"there is no log below {settings.data_folder} yet")
    newest = max(files, key=lambda file: file.stat().st_mtime)
    text = newest.read_text("utf-8", errors="replace")
    sys.stdout.write("\n".join(text.splitlines()[-lines:]) + "\n")
    return 0


def _log_files(settings: Settings, kind: Literal["live", "simulation"]) -> list[Path]:
    return list((settings.folder(kind) / "logs").glob("*.log*"))
