"""One viewer for all who watch: marimo runs the page once for each of them, in one process.

However many watch, the database has one connection and one reading a moment from them.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import cache

from pipelines.reports.dashboard.content import PageContent, Viewer, viewer_from_environment

_FRESH = 1.0  # seconds for which a reading serves others too


@dataclass
class SharedViewer:
    """A viewer that several threads ask; what it read just now answers all of them."""

    viewer: Viewer
    fresh: float = _FRESH
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _last: PageContent | None = None
    _read_at: float = 0.0

    def read(self) -> PageContent:
        """Return what was read within the last second, else read everything once."""
        with self._lock:
            if self._last is None or time.monotonic() - self._read_at > self.fresh:
                self._last = self.viewer.read()
                self._read_at = time.monotonic()
            return self._last


@cache
def shared_viewer() -> SharedViewer:
    """Return the one viewer of this process."""
    return SharedViewer(viewer_from_environment())
