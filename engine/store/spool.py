"""The spool: batches on disk while the server is away, in order, whole or not at all.

One Arrow IPC file a batch, `{number}-{table}-{checksum}.arrow`. Files that cannot be read are moved
to `damaged/`, those that the server refuses for good to `refused/`; only merged ones are deleted.
"""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from engine.errors import StoreError
from engine.files import private_folder, remove_unfinished, write_atomically


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
        """Read the entry from the name of its file."""
        number, table, _ = path.stem.split("-")
        return cls(int(number), table, path)


class Spool:
    """A folder of batches that wait for the server. It survives its process; the disk bounds it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        private_folder(folder)
        self._last = max((entry.number for entry in self.entries()), default=0)
        remove_unfinished(folder)  # never acknowledged

    def entries(self) -> list[Entry]:
        """Return the waiting batches, oldest first."""
        return sorted(map(Entry.at, self._folder.glob("*-*-*.arrow")))

    @property
    def empty(self) -> bool:
        """Whether no batch waits."""
        with os.scandir(self._folder) as files:
            return not any(file.name.endswith(".arrow") for file in files)

    def size(self) -> tuple[int, int]:
        """Return the number of waiting batches, and their bytes."""
        sizes = []
        for path in self._folder.glob("*-*-*.arrow"):
            with suppress(FileNotFoundError):  # merged and removed meanwhile
                sizes.append(path.stat().st_size)
        return len(sizes), sum(sizes)

    def add(self, table: str, batch: pa.RecordBatch) -> Entry:
        """Add the batch as the last one; on return it survives a power cut. Raises OSError."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        content = sink.getvalue()
        self._last += 1
        # Another process may take the same number; only the same content has the same name.
        path = self._folder / f"{self._last:012}-{table}-{zlib.crc32(content):08x}.arrow"
        write_atomically(path, memoryview(content))
        return Entry.at(path)

    def read(self, entry: Entry) -> pa.RecordBatch:
        """Return the batch. Raises SpoolDamaged; FileNotFoundError if another process merged it."""
        content = entry.path.read_bytes()
        if f"{zlib.crc32(content):08x}" != entry.path.stem.rpartition("-")[2]:
            raise SpoolDamaged(f"{entry.path.name} is not what was written")
        with pa.ipc.open_file(pa.py_buffer(content)) as reader:
            return reader.get_batch(0)

    def remove(self, entry: Entry) -> None:
        """Delete a batch that is committed."""
        entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> Path:
        """Move the file into the folder `why`; return its new path."""
        target = self._folder / why / entry.path.name
        target.parent.mkdir(exist_ok=True)
        return entry.path.replace(target)
