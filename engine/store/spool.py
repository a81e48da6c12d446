"""The spool: batches on disk while the server is away, in order, whole or not at all.

One Arrow IPC file a batch, `{number}-{table}-{checksum}.arrow`: written beside its place, fsync'd,
renamed. What cannot be read is set aside in `damaged/`, what the server refuses for good in
`refused/`; nothing is deleted that was not merged.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pyarrow as pa

from engine.errors import StoreError
from engine.files import private_folder


class SpoolDamaged(StoreError):
    """A spooled file is not what was written."""


@dataclass(frozen=True, order=True)
class Entry:
    """A spooled batch."""

    number: int
    table: str
    path: Path

    @classmethod
    def at(cls, path: Path) -> Entry:
        """Return the entry that the name of the file tells."""
        number, table, _ = path.stem.split("-")
        return cls(int(number), table, path)


class Spool:
    """A folder of batches that wait for the server. Survives its process; bounded by the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        private_folder(folder)
        self._last = max((entry.number for entry in self.entries()), default=0)
        for path in folder.glob("*.making-*"):  # never acknowledged by whoever died over it
            if not psutil.pid_exists(int(path.suffix.rpartition("-")[2])):
                path.unlink(missing_ok=True)

    def entries(self) -> list[Entry]:
        """Return what waits, oldest first."""
        return sorted(map(Entry.at, self._folder.glob("*-*-*.arrow")))

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        with os.scandir(self._folder) as files:
            return not any(file.name.endswith(".arrow") for file in files)

    def size(self) -> tuple[int, int]:
        """Return how many batches wait, and their bytes."""
        sizes = []
        for path in self._folder.glob("*-*-*.arrow"):
            with suppress(FileNotFoundError):  # merged and removed meanwhile
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def add(self, table: str, batch: pa.RecordBatch) -> Entry:
        """Put the batch behind the others; on return it survives a power cut. Raises OSError."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        content = sink.getvalue()
        self._last += 1
        # Another process may take the same number; only the same content has the same name.
        path = self._folder / f"{self._last:012}-{table}-{zlib.crc32(content):08x}.arrow"
        _write(path, content)
        return Entry.at(path)

    def read(self, entry: Entry) -> pa.RecordBatch:
        """Return the batch. Raises SpoolDamaged, or FileNotFoundError if another merged it."""
        content = entry.path.read_bytes()
        if f"{zlib.crc32(content):08x}" != entry.path.stem.rpartition("-")[2]:
            raise SpoolDamaged(f"{entry.path.name} is not what was written")
        with pa.ipc.open_file(pa.py_buffer(content)) as reader:
            return reader.get_batch(0)

    def remove(self, entry: Entry) -> None:
        """Forget a batch that is committed."""
        entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> Path:
        """Move the file out of the way, into the folder `why`; return where it is now."""
        target = self._folder / why / entry.path.name
        target.parent.mkdir(exist_ok=True)
        return entry.path.replace(target)


def _write(path: Path, content: pa.Buffer) -> None:
    making = path.with_suffix(f".making-{os.getpid()}")
    try:
        with making.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        making.replace(path)
    finally:
        making.unlink(missing_ok=True)
    if os.name != "nt":  # the rename itself must survive; Windows has no such call
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
