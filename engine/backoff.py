"""How long to wait before the next try, where the same may succeed later."""

from __future__ import annotations

import random
from dataclasses import dataclass

_MOST_DOUBLINGS = 60  # far beyond any `longest`; a float overflows at 1,024


@dataclass(frozen=True)
class Backoff:
    """Waits in seconds: `first` after one failure, doubled with each further one, up to `longest`.

    `jitter` is the share of a wait that chance may take off, so that callers that failed together
    do not come back together. The wait itself is the caller's, on its clock.
    """

    first: float
    longest: float
    jitter: float = 0.0

    def wait_after(self, failures: int, chance: random.Random | None = None) -> float:
        """Return the wait after so many failures in a row (1 or more); `chance` is for jitter."""
        wait = min(self.first * 2.0 ** min(failures - 1, _MOST_DOUBLINGS), self.longest)
        return wait * chance.uniform(1.0 - self.jitter, 1.0) if chance else wait
