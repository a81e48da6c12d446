"""`just live --every-day` as a service of the system: installed once, and forgotten.

Each system has a template of its own (systemd, launchd, the Task Scheduler), which turns a job into
a plan: files, commands, and what cannot be done there.
"""
