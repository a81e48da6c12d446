"""What `just dashboard` and `just research` tell their page, which runs in a process of its own.

These are names of environment variables, set for the child process alone.
"""

from __future__ import annotations

READER_URL = "KRT_READER_URL"  # the database that was opened, with the reader's rights
READER_SIMULATED = "KRT_READER_SIMULATED"  # 1 if that database holds simulated data
STALE_SECONDS = "KRT_DASHBOARD_STALE"  # seconds without a heartbeat: the component has stopped
PAGE_NAMES = "KRT_PAGE_NAMES"  # hosts that may be asked for, with commas; empty: any
PAGE_ALLOWED = "KRT_PAGE_ALLOWED"  # hosts of proxies whose pages are ours too, with commas
PAGE_VIEWERS = "KRT_PAGE_VIEWERS"  # how many may watch at once
PAGE_FEED = "KRT_PAGE_FEED"  # what the settings say is collected, as `feed_text` writes it
PAGE_DAYS = "KRT_PAGE_DAYS"  # the file of the trading days that KIS announced
REFRESH_PERIOD = "KRT_DASHBOARD_REFRESH"  # how often the page looks again: 5s, 1m

STALE_AFTER = 150.0  # the default of STALE_SECONDS: two and a half heartbeats
