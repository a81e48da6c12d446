"""Frames between the connection and their reader: bounded, so that memory is, too.

The connection never waits for a slow reader: a frame for which there is no room pushes out the
oldest ones, which are counted. Their minutes are then known to be incomplete, and REST has them.
"""

from __future__ import annotations

import asyncio
from collections import deque

from engine.kis.stream.frames import Frame

_MOST = 200_000  # frames; some minutes of the busiest market
_MOST_CHARACTERS = 64 << 20


class FrameQueue:
    """Frames in the order in which they came."""

    def __init__(self, most: int = _MOST, most_characters: int = _MOST_CHARACTERS) -> None:
        self._frames: deque[Frame] = deque()
        self._characters = 0
        self._most = most
        self._most_characters = most_characters
        self._filled = asyncio.Event()
        self._closed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def half_full(self) -> bool:
        """Whether the reader is so slow that frames may soon be lost."""
        return len(self) > self._most // 2 or self._characters > self._most_characters // 2

    def put(self, frame: Frame) -> None:
        """Add a frame; never waits."""
        self._frames.append(frame)
        self._characters += len(frame[1])
        while len(self._frames) > self._most or self._characters > self._most_characters:
            self._characters -= len(self._frames.popleft()[1])
            self.dropped += 1
        self._filled.set()

    async def take(self) -> list[Frame]:
        """Wait for frames and return all that are there; empty once the queue is closed."""
        while not self._frames and not self._closed:
            self._filled.clear()
            await self._filled.wait()
        taken = list(self._frames)
        self._frames.clear()
        self._characters = 0
        return taken

    def close(self) -> None:
        """Let readers go; what is still there can be taken."""
        self._closed = True
        self._filled.set()
