"""The spool: batches on disk while the server is away, in order, whole or not at all.

One Arrow IPC file a batch, `{number}-{table}-{checksum}.arrow`. Files whose bytes are not what was
written are moved to `damaged/`, those that the server refuses for good to `refused/`; only merged
ones are deleted. What else lies in the folder is not ours: it is named once in the log, and left.
"""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from engine.columns import TIME
from engine.errors import StoreError
from engine.files import NotAFile, private_folder, read_file, remove_unfinished, write_atomically
from engine.store.tables import BAR_TABLES

log = logging.getLogger(__name__)

ASIDE = ("refused", "damaged")  # the folders of batches that were set aside
_BAR_KEYS = pl.Schema([("symbol", pl.String()), ("stamp", TIME)])
_NAME = re.compile(r"([0-9]{12,18})-([a-z][a-z0-9_]*)-([0-9a-f]{8})[.]arrow", re.ASCII)


def any_table(_table: str) -> bool:
    """Take the batches of every table."""
    return True


class SpoolDamaged(StoreError):
    """A spooled file is not what was written."""


@dataclass(frozen=True, order=True)
class Entry:
    """A spooled batch."""

    number: int
    table: str
    path: Path

    @classmethod
    def at(cls, path: Path) -> Entry | None:
        """Read the entry from the name of its file; None if it is not a batch's name."""
        name = _NAME.fullmatch(path.name)
        return cls(int(name[1]), name[2], path) if name else None


class Spool:
    """A folder of batches that wait for the server. It survives its process; the disk bounds it.

    Methods that look into the folder raise OSError if it cannot be read. A folder that cannot be
    made now (a full disk) is made by `add` when it can. Several may share a folder, each with the
    tables that it `takes`.
    """

    def __init__(self, folder: Path, takes: Callable[[str], bool] = any_table) -> None:
        self._folder = folder
        self._takes = takes
        self._foreign: set[str] = set()  # names that were logged
        self._size = (0, 0)
        self._last: int | None = None  # the number of the newest; None until the folder is there
        with suppress(OSError):
            self._open()

    def _open(self) -> int:
        """Make the folder, and return the number of the newest batch. Raises OSError."""
        if self._last is None:
            private_folder(self._folder)
            remove_unfinished(self._folder)  # never acknowledged
            self._last = max((entry.number for entry in self.entries()), default=0)
        return self._last

    def why_unusable(self) -> str | None:
        """Say why no batch could be spooled at present; None if one could."""
        probe = self._folder / f".probe-{os.getpid()}"
        try:
            self._open()
            write_atomically(probe, bytes(4096))
            probe.unlink()
        except OSError as error:
            return f"{self._folder}: {error.strerror or error}"
        return None

    def entries(self) -> list[Entry]:
        """Return the waiting batches, oldest first."""
        found = []
        if not self._folder.exists():
            return []
        with os.scandir(self._folder) as files:
            for file in files:
                if ".arrow" not in file.name or file.name.startswith("."):
                    continue  # a lock, a folder of those set aside, a file that is being written
                entry = Entry.at(Path(file.path))
                if entry is None or not file.is_file(follow_symlinks=False):
                    self._name_foreign(file.name)
                elif self._takes(entry.table):
                    found.append(entry)
        return sorted(found)

    @property
    def empty(self) -> bool:
        """Whether no batch waits."""
        return not self.entries()

    def size(self) -> tuple[int, int]:
        """Return the number of waiting batches, and their bytes; if unreadable, the last known."""
        with suppress(OSError):
            sizes = []
            for entry in self.entries():
                with suppress(FileNotFoundError):  # merged and removed meanwhile
                    sizes.append(entry.path.stat().st_size)
            self._size = len(sizes), sum(sizes)
        return self._size

    def add(self, table: str, batch: pa.RecordBatch) -> Entry:
        """Add the batch as the last one; on return it survives a power cut. Raises OSError."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        content = sink.getvalue()
        self._last = self._open() + 1
        # Another process may take the same number; only the same content has the same name.
        path = self._folder / f"{self._last:012}-{table}-{zlib.crc32(content):08x}.arrow"
        write_atomically(path, memoryview(content), private=True)
        return Entry(self._last, table, path)

    def read(self, entry: Entry) -> pa.RecordBatch:
        """Return the batch.

        Raises SpoolDamaged only if its bytes were read and are not a batch; FileNotFoundError if
        another process merged it; OSError if it cannot be read now.
        """
        try:
            content = read_file(entry.path)
        except NotAFile:  # put in its place since it was listed
            raise FileNotFoundError(entry.path) from None
        if f"{zlib.crc32(content):08x}" != entry.path.stem.rpartition("-")[2]:
            raise SpoolDamaged(f"{entry.path.name} is not what was written")
        try:
            with pa.ipc.open_file(pa.py_buffer(content)) as reader:
                return reader.get_batch(0)
        except (pa.ArrowException, OSError, ValueError, IndexError):  # of bytes in memory
            raise SpoolDamaged(f"{entry.path.name} does not hold a batch") from None

    def bars(self) -> pl.DataFrame:
        """Return symbol and stamp of the bars in all batches, those set aside as refused as well.

        What is damaged is left out: nobody can bring it back, but KIS may give it again.
        """
        frames = [pl.DataFrame(schema=_BAR_KEYS)]
        for entry in [*self.entries(), *self.aside("refused")]:  # in the order that they move
            if entry.table in BAR_TABLES:
                with suppress(FileNotFoundError, SpoolDamaged):  # merged meanwhile, or of no use
                    bars = pl.DataFrame(self.read(entry))
                    frames.append(bars.select("symbol", stamp="timestamp").cast(_BAR_KEYS))
        return pl.concat(frames).unique()

    def remove(self, entry: Entry) -> None:
        """Delete a batch that is committed."""
        entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> Path:
        """Move the file into the folder `why`; return its new path."""
        target = self._folder / why / entry.path.name
        private_folder(target.parent)
        return entry.path.replace(target)

    def aside(self, why: str) -> list[Entry]:
        """Return the batches in the folder `why`, oldest first."""
        with (
            suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(self._folder / why) as files,
        ):
            found = [Entry.at(Path(f.path)) for f in files if f.is_file(follow_symlinks=False)]
            return sorted(entry for entry in found if entry is not None)
        return []

    def bring_back(self) -> int:
        """Have the batches that were set aside wait again, as they did; return how many."""
        entries = [entry for why in ASIDE for entry in self.aside(why)]
        for entry in entries:
            with suppress(FileNotFoundError):  # another process did so
                entry.path.replace(self._folder / entry.path.name)
        return len(entries)

    def _name_foreign(self, name: str) -> None:
        if name not in self._foreign:
            self._foreign.add(name)
            log.warning("⚠️ %s in the spool is not a batch of ours and stays there", name)
