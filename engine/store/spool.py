"""The spool: batches on disk while the server is away, in order, whole or not at all.

One Arrow IPC file a batch, `{number}-{table}.arrow`: written beside its place, fsync'd, renamed.
What cannot be read, and what the server refuses for good, is set aside in `damaged/` and
`refused/`; nothing is ever deleted that was not merged.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

_DIGITS = 12


@dataclass(frozen=True)
class Entry:
    """A spooled batch."""

    path: Path
    table: str


class Spool:
    """A folder of batches that wait for the server. Survives its process; bounded by the disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def entries(self) -> list[Entry]:
        """Return what waits, oldest first."""
        return [Entry(path, path.stem.split("-", 1)[1]) for path in self._files()]

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return next(iter(self._folder.glob("*.arrow")), None) is None

    def size(self) -> tuple[int, int]:
        """Return how many batches wait, and their bytes."""
        sizes = [path.stat().st_size for path in self._files()]
        return len(sizes), sum(sizes)

    def add(self, table: str, batch: pa.RecordBatch) -> None:
        """Put the batch behind the others; on return it survives a power cut. Raises OSError."""
        files = self._files()
        number = int(files[-1].stem.split("-", 1)[0]) + 1 if files else 1
        path = self._folder / f"{number:0{_DIGITS}}-{table}.arrow"
        making = path.with_suffix(f".{os.getpid()}")
        try:
            with making.open("wb") as file:
                with pa.ipc.new_file(file, batch.schema) as writer:
                    writer.write_batch(batch)
                file.flush()
                os.fsync(file.fileno())
            making.rename(path)
        except OSError:
            with contextlib.suppress(OSError):
                making.unlink(missing_ok=True)
            raise
        _sync_folder(self._folder)

    def read(self, entry: Entry) -> pa.RecordBatch:
        """Return the batch. Raises OSError or ArrowInvalid if the file is damaged."""
        with pa.OSFile(str(entry.path)) as file, pa.ipc.open_file(file) as reader:
            batch = reader.get_batch(0)
            batch.validate(full=True)
            return batch

    def remove(self, entry: Entry) -> None:
        """Forget a batch that is committed."""
        entry.path.unlink(missing_ok=True)

    def set_aside(self, entry: Entry, why: str) -> Path:
        """Move the file out of the way, into the folder `why`; return where it is now."""
        target = self._folder / why / entry.path.name
        target.parent.mkdir(exist_ok=True)
        while target.exists():
            target = target.with_name(f"again-{target.name}")
        entry.path.rename(target)
        return target

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob("*.arrow"))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself survive a power cut; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
