"""Connections of the driver, which share what it knows about the types of their database.

Before it connects the driver reads every type and every column of the database, over a connection
of its own: 60 to 100 ms, of which half is our CPU's. What it has read is kept for each address, and
another connection to it takes 3 to 5 ms. A type that is made later is unknown to what is kept:
`forget_types` has it read anew. Our own tables have built-in types only.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from contextlib import suppress
from typing import Any

import adbc_driver_manager
import adbc_driver_manager.dbapi
import adbc_driver_postgresql

_KEPT = 8  # addresses; a process has one or two, and each component of ours its own


class _Types:
    """The driver's database: closed by the last of its connections, and of those who keep it."""

    def __init__(self, database: Any) -> None:
        self.database = database
        self._lock = threading.Lock()
        self._users = 1

    def join(self) -> None:
        with self._lock:
            self._users += 1

    def close(self) -> None:
        with self._lock:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            with suppress(adbc_driver_manager.Error, RuntimeError):
                self.database.close()


_lock = threading.Lock()
_kept: OrderedDict[str, _Types] = OrderedDict()


def open_connection(url: str) -> Any:
    """Open a connection, in autocommit mode. Raises the driver's errors."""
    types = _types(url)
    try:
        connection = adbc_driver_manager.AdbcConnection(types.database)
    except BaseException:
        types.close()
        raise
    # All that a connection does with it is to close it.
    return adbc_driver_manager.dbapi.Connection(types, connection, autocommit=True)  # type: ignore[arg-type]


def forget_types(url: str) -> None:
    """Have the next connection to the address read all types anew."""
    with _lock:
        forgotten = _kept.pop(url, None)
    if forgotten is not None:
        forgotten.close()


def _types(url: str) -> _Types:
    """Return what is kept for the address, or read it; the caller is one of its users."""
    with _lock:
        if (found := _kept.get(url)) is not None:
            _kept.move_to_end(url)
            found.join()
            return found
    made = _Types(adbc_driver_postgresql.connect(url))  # not under the lock: a network may be slow
    with _lock:
        if url not in _kept:
            made.join()
            _kept[url] = made
        dropped = [_kept.popitem(last=False)[1] for _ in range(len(_kept) - _KEPT)]
    for types in dropped:
        types.close()
    return made
