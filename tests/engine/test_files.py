"""Files appear whole or not at all, and private ones are never open to others."""

import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from engine.files import (
    atomic_writer,
    private_folder,
    read_file,
    remove_unfinished,
    write_atomically,
)

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    file = tmp_path / "token.json"
    file.write_bytes(b"old")
    write_atomically(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    file = tmp_path / "token.json"
    file.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_writer(file) as part:
        part.writelines([b"half of it", None])
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


@posix
def test_a_private_file_is_closed_to_others_while_it_is_written(tmp_path):
    file = tmp_path / "token.json"
    with atomic_writer(file, private=True) as part:
        assert stat.S_IMODE(os.fstat(part.fileno()).st_mode) == 0o600
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@posix
def test_a_folder_that_was_open_is_closed(tmp_path):
    folder = tmp_path / "spool"
    folder.mkdir(mode=0o755)
    assert private_folder(folder) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_a_dead_process_was_writing_is_removed(tmp_path):
    dead, alive = (tmp_path / f".bars.0123abcd.making-{pid}" for pid in (2**22 + 1, os.getpid()))
    dead.touch()
    alive.touch()
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == [alive]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes in folders")
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "socket"])
def test_what_is_no_file_is_refused_without_a_wait(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "x"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(place))
    with pytest.raises(OSError):  # noqa: PT011 - each kind has a message of its own
        read_file(place)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\r\n\0\xff" * 100_000)
    assert read_file(tmp_path / "x") == b"\r\n\0\xff" * 100_000


@pytest.mark.parametrize("name", [".x.making-", ".x.making-12 - Copy", ".x.making-y", ".making-²"])
def test_strange_names_of_unfinished_files_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".x.making-999999999").write_bytes(b"x")
    (tmp_path / ".folder.making-999999999").mkdir()
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {name, ".folder.making-999999999"}
