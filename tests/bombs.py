"""What is small on the way and large when it is unpacked."""

from __future__ import annotations

import gzip
from functools import cache


@cache
def bomb() -> bytes:
    """256 MB of blanks, packed: made where it is used, and not by each worker that lists tests."""
    return gzip.compress(b" " * (256 << 20), 1)
