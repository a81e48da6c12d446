"""All commands in the groups of `just --list`, each with what its recipe there says of it.

The commands are named, not imported: `just sql` need not load what `just live` needs.
"""

from __future__ import annotations

# By group and name; each is the function of its name in the module of its name.
COMMANDS = {
    "Run": {
        "live": "run a trading day: simulated without KIS credentials, real with them",
        "sim": "run the KIS simulator on its own, for any KIS client to talk to",
        "status": "what is missing, heartbeats, last bars; exit code 0 well, 1 amiss, 2 unknown",
        "service": "collect every session as a service of the system:"
        " just service install, remove, status, log",
        "doctor": "check key, clock, network, rights, disk, database and more, and say what to do",
        "dashboard": "open the page: market, position, options, and how the day is going",
        "plan": "what the settings cost in calls, time and disk;"
        " exit code 1 if something does not fit",
        "calendar": "show the sessions of a year",
    },
    "History": {
        "backfill": "fetch what the history lacks: the fewest calls, newest first;"
        " --again: also what was settled",
        "validate": "check the history with DuckDB; --fix mends what it finds",
        "import": "store the bars of a file (Parquet, CSV) by the checks of live ones:"
        " just import FILE",
        "export": "write sealed sessions as Parquet: just export --to DIR",
    },
    "Research": {
        "symbols": "search what is listed by code or Korean name: just symbols 005930; --refresh",
        "signals": "the signals of a session at which a strategy turned",
        "trades": "the trades that a session's signals make, and what they earn,"
        " by the rules of just backtest",
        "replay": "compute the signals of the history again and compare them with those given",
        "backtest": "run a strategy over the history or a file and say what it would have earned",
        "sweep": "backtest a grid of parameters on all cores, or on a Ray cluster",
        "study": "does gamma exposure, does the straddle's premium say anything:"
        " just study gamma, premium",
        "plot": "draw a day, its flows, options, the matrix or the coverage as PNG or SVG",
        "research": "open the notebook on the history",
    },
    "Database": {
        "sql": 'query the database, read-only: just sql "SELECT count(*) FROM futures_1m";'
        " --tables, --describe TABLE",
        "db": "open the embedded database and print its address",
        "spool": "batches that wait on disk or were set aside; --retry stores them",
        "migrate": "bring your own server to the newest schema",
        "backup": "write the database into a new folder, verified: just backup --to DIR",
        "restore": "bring a backup back into an empty database: just restore FROM",
        "db-roles": "write the SQL for a reader and a writer with least privileges",
    },
}

# What the long help of a command ends with; each is taken as it stands.
EXAMPLES = {
    "live": (
        "just live",
        "just live --every-day",
        "just live --stock 005930 --future A01 --chain front --speed max",
    ),
    "sim": (
        "just sim --date today",
        "just sim --recorded bars.parquet --date 2026-11-27",
    ),
    "status": (
        "just status",
        "just status --json",
    ),
    "service": (
        "just service install --dry-run",
        "just service log --lines 20",
    ),
    "doctor": ("just doctor",),
    "dashboard": (
        "just dashboard",
        "just dashboard --host 0.0.0.0",
    ),
    "plan": (
        "just plan",
        "just plan --json",
    ),
    "calendar": ("just calendar 2027", "just calendar --unusual --coming"),
    "backfill": (
        "just backfill --days 5 --dry-run",
        "just backfill --symbol 005930 --from 2026-11-02",
    ),
    "import": (
        "just import bars.parquet",
        "just import bars.csv --bar-times end --json",
    ),
    "validate": (
        "just validate",
        "just validate --from 2026-11-02 --fix",
    ),
    "export": ("just export --to parquet",),
    "symbols": (
        "just symbols 하이닉스",
        "just symbols 005 --format csv",
    ),
    "signals": (
        "just signals --date today",
        "just signals --strategy dolpha1 --format csv",
    ),
    "trades": (
        "just trades --date 2026-11-27",
        "just trades --strategy dolpha1 --slippage 1",
    ),
    "replay": ("just replay --from 2026-11-02",),
    "backtest": (
        "just backtest --from 2026-01-02 --report report",
        "just backtest --file bars.parquet --strategy opening_range",
    ),
    "sweep": ("just sweep --grid band_multiplier=0.8,1.0,1.2 --grid rolling_move=10,14",),
    "study": (
        "just study gamma",
        "just study premium --out premium.png",
    ),
    "plot": (
        "just plot day --out day.png",
        "just plot surface --minute 14:30 --out surface.svg",
    ),
    "research": ("just research",),
    "sql": (
        'just sql "SELECT * FROM futures_1m ORDER BY timestamp DESC LIMIT 5"',
        "just sql --describe option_summary",
    ),
    "db": ("just db",),
    "spool": (
        "just spool",
        "just spool --retry",
    ),
    "migrate": ("just migrate",),
    "backup": ("just backup --to backups --keep 30",),
    "restore": ("just restore backups/krt-live-20261127-154500",),
    "db-roles": ("just db-roles",),
}
