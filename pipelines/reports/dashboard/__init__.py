"""A web page for during the session: is the day going well?"""

# How `krt dashboard` tells the page, which runs in a process of its own, what to show.
URL, SIMULATED, STALE = "KRT_DASHBOARD_URL", "KRT_DASHBOARD_SIMULATED", "KRT_DASHBOARD_STALE"
REFRESH = "KRT_DASHBOARD_REFRESH"
STALE_AFTER = 150.0  # seconds without a heartbeat: two and a half of them
