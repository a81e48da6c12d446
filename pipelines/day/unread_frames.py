"""Frames that have come and wait to be read together: reading one costs as much as reading fifty.

None waits that may end a minute or change one that is over: such a frame is read at once, with all
that came before it of which bars are made. The others are read once a second at the latest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import Frame
from engine.kis.stream.registrations import StreamRegistration

TOGETHER = 1.0  # seconds that a frame may wait
_MOST = 2_000  # frames that may: a busy second's
_TIME = 6  # characters of the exchange's time, HHMMSS


class UnreadFrames:
    """The frames of one connection; `bars` are the registrations of which bars are made."""

    def __init__(self, bars: Collection[StreamRegistration]) -> None:
        self._bars = {(one.tr_id, one.tr_key) for one in bars}
        self._trs_of_bars = {one.tr_id for one in bars}
        self._frames: list[Frame] = []
        self._minutes: dict[tuple[str, str], str] = {}  # HHMM of each one's last trade
        self._told = ""  # HHMM that the exchange's time was a second into, by any frame

    def __len__(self) -> int:
        return len(self._frames)

    def add(self, frames: Sequence[Frame]) -> bool:
        """Add frames; say whether they have to be read now."""
        self._frames += frames
        # Each is looked at: it remembers what the next ones are compared with.
        urgent = sum(self._is_urgent(text) for _, text in frames)
        return urgent > 0 or len(self._frames) > _MOST

    def take(self) -> list[Frame]:
        """Return all frames, in the order in which they came."""
        taken, self._frames = self._frames, []
        return taken

    def take_of_bars(self) -> list[Frame]:
        """Return the frames of which bars may be made; if there are none, all.

        The others wait for nobody: that the exchange's time ends a minute proves none of its bars.
        """
        of_bars = [frame for frame in self._frames if self._may_make_bars(frame[1])]
        if not of_bars:
            return self.take()
        self._frames = [frame for frame in self._frames if not self._may_make_bars(frame[1])]
        return of_bars

    def _may_make_bars(self, text: str) -> bool:
        flag, _, rest = text.partition("|")
        tr_id, bar, _ = rest.partition("|")
        return flag != "0" or not bar or tr_id in self._trs_of_bars or tr_id not in LAYOUTS

    def _is_urgent(self, text: str) -> bool:
        """Say whether a frame may end a minute, or be about one that is over.

        So may whatever is not plainly records of a known TR.
        """
        head, _, rest = text.partition("^")
        parts = head.split("|")
        layout = LAYOUTS.get(parts[1]) if len(parts) == 4 and parts[0] == "0" else None
        if layout is None:
            return True
        if parts[2] == "001":
            return self._tells_news(layout.tr_id, parts[3], rest[:_TIME])
        values = f"{parts[3]}^{rest}".split("^")
        if len(values) % layout.width:
            return True
        records = zip(values[:: layout.width], values[1 :: layout.width], strict=True)
        return sum(self._tells_news(layout.tr_id, code, time) for code, time in records) > 0

    def _tells_news(self, tr_id: str, code: str, time: str) -> bool:
        """Say whether a record is of another minute than the one before it.

        That is a minute of its symbol's trades, or one that is a second old by the exchange's time:
        that ends the minute before for all symbols.
        """
        minute, is_news = time[:4], False
        if (tr_id, code) in self._bars:
            is_news = self._minutes.get((tr_id, code)) != minute
            self._minutes[tr_id, code] = minute
        if minute != self._told and time[4:] != "00":
            self._told, is_news = minute, True
        return is_news
