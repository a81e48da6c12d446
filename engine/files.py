"""Files that are whole or not there, and folders that only their owner can enter.

What we make in the data folder has the mode that we intend, whatever the umask of the login is.
What a user asks for elsewhere (an export, a picture) follows the umask, like the user's own files.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

import psutil

_UNFINISHED = ".making-"  # and the number of the process that writes the file
# Under root the database runs under another account, which must get through to its own folder.
DATA_FOLDER_MODE = 0o755 if os.name != "nt" and os.geteuid() == 0 else 0o700


def private_folder(folder: Path) -> Path:
    """Make a folder that only its owner can enter; close one of ours that was open to others.

    On Windows a folder is as private as the user's own folder that it lies in. Raises OSError.
    """
    make_folder(folder.parent, DATA_FOLDER_MODE)
    make_folder(folder, 0o700)
    if os.name != "nt" and folder.stat().st_mode & 0o077 and folder.stat().st_uid == os.geteuid():
        folder.chmod(0o700)
    return folder


def make_folder(folder: Path, mode: int) -> None:
    """Make a folder and its missing parents, each with this very mode; existing ones keep theirs.

    Raises OSError.
    """
    for path in reversed((folder, *folder.parents)):
        if path.exists():
            continue
        with suppress(FileExistsError):  # another process was quicker
            path.mkdir(mode)  # an umask can only take from it
            path.chmod(mode)
    folder.mkdir(exist_ok=True)  # raises if a file lies in its place


def day_of_name(digits: str) -> date | None:
    """Return the day that eight digits in a name mean; None if there is no such day."""
    try:
        return datetime.strptime(digits, "%Y%m%d").date()
    except ValueError:
        return None


class NotAFile(OSError):
    """Something else lies in the place of a file: a folder, a pipe, a device."""


def read_file(path: Path) -> bytes:
    """Return the bytes of a file, and never wait for them: a pipe would block for ever.

    Raises NotAFile if something else lies there, OSError if the file cannot be read.
    """
    # Windows has no pipes in folders, and no such flag.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if path.is_dir():  # Windows cannot even open one
        raise NotAFile(errno.EISDIR, "it is a folder", str(path))
    descriptor = os.open(path, flags)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotAFile(errno.EINVAL, "it is not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes | memoryview, *, private: bool = False) -> None:
    """Write a file whole or not at all: `atomic_writer` for content that is already there."""
    with atomic_writer(path, private=private) as file:
        file.write(content)


@contextmanager
def atomic_writer(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of `path` when the block ends without an error.

    It is written beside its place, fsync'd and renamed: a reader sees the old file or the new one,
    and after the block the new one survives a power cut. A private file can be read by its owner
    alone, from its first byte on. Raises OSError.
    """
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
    with replacement(path) as making:
        descriptor = os.open(making, flags, 0o600 if private else 0o666)
        if private and os.name != "nt":
            os.fchmod(descriptor, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


@contextmanager
def replacement(path: Path) -> Iterator[Path]:
    """Yield where to make a file that takes the place of `path` when the block ends without error.

    So it can be read back before what was there is gone. Raises OSError.
    """
    making = path.with_name(f".{path.name}.{uuid4().hex[:8]}{_UNFINISHED}{os.getpid()}")
    try:
        yield making
        making.replace(path)
    except BaseException:
        making.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove what processes that have died since were writing in the folder."""
    for path in folder.glob(f"*{_UNFINISHED}*"):
        writer = re.fullmatch(rf"\{_UNFINISHED[:-1]}-([0-9]{{1,9}})", path.suffix, re.ASCII)
        if writer and not psutil.pid_exists(int(writer[1])):
            with suppress(OSError):  # a folder of such a name is not ours
                path.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the rename itself survive a power cut; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
