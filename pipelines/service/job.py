"""What is run as a service, and what a system needs for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.settings import Settings

NAME = "korea-realtime-trading"
DESCRIPTION = "Collects minute data of the Korean market, session after session"
CONFIG_FOLDER = "KRT_CONFIG_FOLDER"  # names the folder of config.json

# What is not listed here, and is not a plain value of the settings, is taken for a secret.
_PRIVATE = ("account_no", "account_no_sub", "app_keys", "database", "tr_id")
_HARMLESS = (
    *(
        f"KRT_{name}".upper()
        for name, field in Settings.model_fields.items()
        if name not in _PRIVATE and "Secret" not in repr(field.annotation)
    ),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)


@dataclass(frozen=True)
class Job:
    """A command that goes on for ever, where it runs, and what it is told by the environment."""

    command: tuple[str, ...]
    folder: Path  # of config.json
    environment: Mapping[str, str]
    user: str
    system_wide: bool = False  # as root: it needs nobody who has logged in
    version: int = 0  # of the system's service manager, where that matters


@dataclass(frozen=True)
class ServiceFile:
    """A file of the service: where it goes, and what it says."""

    path: Path
    content: bytes

    def text(self) -> str:
        """Return what it says as text."""
        coding = "utf-16" if self.content.startswith(b"\xff\xfe") else "utf-8"
        return self.content.decode(coding)


Command = tuple[str, ...]


@dataclass(frozen=True)
class ServicePlan:
    """What is done with a service on one system. Commands run in their order."""

    file: ServiceFile
    install: tuple[Command, ...]
    optional: tuple[Command, ...]  # of the installation; where one fails, the notes say what to do
    remove: tuple[Command, ...]
    status: Command  # ends with 0 while the service runs
    log: Command | None  # None: it writes no log but our own files
    notes: tuple[str, ...]
    others: tuple[ServiceFile, ...] = ()  # files beside the one that says how it runs
    stop: tuple[Command, ...] = ()  # before the installation, where that starts nothing anew

    @property
    def files(self) -> tuple[ServiceFile, ...]:
        """All files of the service."""
        return (self.file, *self.others)


def job_here(settings: Settings, folder: Path) -> Job:
    """Return the job of this project: its Python, its folder of settings, what is set here.

    Raises InputError if a secret is only in the environment, which a service does not see.
    """
    if hidden := _secret_variables():
        raise InputError(
            f"{', '.join(hidden)} would stand in the service's file, which others may read: put"
            " them into config.json or db_config.json (chmod 600), and unset them here"
        )
    known = {name: os.environ[name] for name in _HARMLESS if os.environ.get(name)}
    if sys.platform == "win32" and known:
        raise InputError(
            f"a task of Windows has no variables: put what {', '.join(known)} say into config.json,"
            " and unset them here"
        )
    environment = {
        **known,
        CONFIG_FOLDER: str(folder),
        "KRT_DATA_FOLDER": str(settings.data_folder.expanduser().resolve()),
        "PYTHONUTF8": "1",
    }
    # -P: a folder of the user's that is called `pipelines` is not taken for ours
    command = (_python(), "-P", "-m", "pipelines.commands.main", "live", "--every-day")
    root = sys.platform != "win32" and os.geteuid() == 0
    return Job(command, folder, environment, _user(), system_wide=root)


def _secret_variables() -> list[str]:
    """Return the settings of the environment that may hold a key, a password or an address."""
    ours = (name for name in os.environ if name.startswith("KRT_") and os.environ[name])
    return sorted(name for name in ours if name not in (*_HARMLESS, CONFIG_FOLDER))


def _python() -> str:
    """Return our Python; on Windows the one that opens no window."""
    windowless = Path(sys.executable).with_name("pythonw.exe")
    return str(windowless if windowless.exists() else sys.executable)


def _user() -> str:
    if sys.platform == "win32":
        return "\\".join(filter(None, (os.environ.get("USERDOMAIN"), os.environ["USERNAME"])))
    import pwd  # noqa: PLC0415 - Unix only

    return pwd.getpwuid(os.geteuid()).pw_name
