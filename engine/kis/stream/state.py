"""The state of a connection, for the status, the page and the summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from engine.kis.stream.frames import StreamRows
from engine.kis.stream.registrations import MOST, StreamRegistration


@dataclass
class StreamState:
    """The state of one app key's connection; times KST without zone.

    `doing` is one clause for people. `held_elsewhere`: another process of this machine has the
    connection, so its symbols are polled by REST here. `silent`: registered, in continuous trading,
    and without data for longer than their own rate explains.
    """

    doing: str = "not started"
    held_elsewhere: bool = False
    connected_since: datetime | None = None
    paused_until: datetime | None = None
    made_at: list[datetime] = field(default_factory=list)  # connections, failed ones too
    paper: bool = False  # KIS's server for paper trading, which has stocks alone
    registered: tuple[StreamRegistration, ...] = ()
    silent: tuple[StreamRegistration, ...] = ()
    limit: int = MOST
    newest: datetime | None = None  # the newest exchange time of the rows that were noted
    frames: int = 0  # read from the connection
    dropped: int = 0  # frames for which the queue had no room: nobody took them in time
    records: int = 0
    rejected: int = 0

    def why_not(self, one: StreamRegistration) -> str | None:
        """Return in a clause why a registration brings no data now; None if it does."""
        if self.held_elsewhere or self.connected_since is None:
            return self.doing
        if one in self.silent:
            return "registered, but no data comes"
        if one in self.registered:
            return None
        return "a paper key has stocks alone" if self.paper else "not registered"

    @property
    def connections(self) -> int:
        """How often this process made the connection."""
        return len(self.made_at)

    @property
    def reconnects(self) -> int:
        """How often the connection had to be made again."""
        return max(self.connections - 1, 0)

    def note(self, rows: StreamRows) -> None:
        """Note what the frames that were taken turned out to hold."""
        self.records += rows.counts["records"]
        self.rejected += rows.counts["rejected"]
        if rows.newest is not None:
            self.newest = max(rows.newest, self.newest or rows.newest)
