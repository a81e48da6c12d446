"""Whether a connection that is up has fallen silent: by the rate at which data came before.

"Registered, and yet no data" happens (docs/kis.md#connection). In continuous trading a gap in the
data that is many times the usual one is a fault, and so is any gap of a minute. A connection that
is made anew because of that and brings no data either is given twice as long.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta

from engine.kis.stream.registrations import StreamRegistration

# Whether a registration's symbol trades continuously at a moment.
Trading = Callable[[StreamRegistration, datetime], bool]

LONGEST = 60.0  # seconds
_SHORTEST = 30.0  # seconds; at noon even the front future goes without a trade for ten
_TIMES = 20.0  # a gap of so many usual ones is a fault, within these bounds
_WEIGHT = 0.05  # of the newest gap in the usual one
_MOST_DOUBLINGS = 4  # of the whole connection's patience, where a new connection did not help


class Silence:
    """Watches one connection. `trading` says which registrations must have data at a moment."""

    def __init__(self, trading: Trading) -> None:
        self._trading = trading
        self._usual: dict[StreamRegistration | None, float] = {}  # seconds; None: all together
        # When data last came, or the wait for it began.
        self._since: dict[StreamRegistration | None, datetime] = {}
        self._in_vain = 0  # new connections that brought no data

    def note(self, registration: StreamRegistration, moment: datetime) -> None:
        """Note that data came."""
        for one in (registration, None):
            gap = (moment - self._since.get(one, moment)).total_seconds()
            usual = self._usual.get(one, LONGEST)
            self._usual[one] = usual + _WEIGHT * (min(max(gap, 0.0), LONGEST) - usual)
            self._since[one] = moment
        self._in_vain = 0

    def begin(self, one: StreamRegistration | None, moment: datetime) -> None:
        """Begin to wait for data: a registration was made, or (None) a connection."""
        self._since[one] = moment

    def note_fault(self) -> None:
        """Note that the whole connection was given up for its silence; the next gets more time."""
        self._in_vain = min(self._in_vain + 1, _MOST_DOUBLINGS)

    def silent(
        self, registered: Collection[StreamRegistration], now: datetime
    ) -> list[StreamRegistration]:
        """Return the registrations that should have had data; ask every few seconds."""
        trading = [one for one in registered if self._trading(one, now)]
        resting = set(registered).difference(trading)
        for one in (*resting, *(() if trading else (None,))):
            self._since[one] = now  # the wait begins when it trades again
        return [one for one in trading if self._waits_too_long(one, now)]

    def is_down(self, now: datetime) -> bool:
        """Say whether the whole connection is silent; ask after `silent`."""
        return self._waits_too_long(None, now, 2.0**self._in_vain)

    def _waits_too_long(
        self, one: StreamRegistration | None, now: datetime, times: float = 1.0
    ) -> bool:
        patience = min(max(_TIMES * self._usual.get(one, LONGEST), _SHORTEST), LONGEST)
        return now >= self._since.setdefault(one, now) + timedelta(seconds=patience * times)
