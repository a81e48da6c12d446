"""What `just research` tells its notebook, which runs in a process of its own.

These are names of environment variables, set for the child process alone.
"""

from __future__ import annotations

READER_URL = "KRT_READER_URL"  # the database that was opened, with the reader's rights
READER_SIMULATED = "KRT_READER_SIMULATED"  # 1 if that database holds simulated data
PAGE_NAMES = "KRT_PAGE_NAMES"  # hosts that may be asked for, with commas; empty: any
PAGE_ALLOWED = "KRT_PAGE_ALLOWED"  # hosts of proxies whose pages are ours too, with commas
PAGE_VIEWERS = "KRT_PAGE_VIEWERS"  # how many may watch at once

# seconds without a heartbeat, two and a half: a component has stopped; for status and page
STALE_AFTER = 150.0
