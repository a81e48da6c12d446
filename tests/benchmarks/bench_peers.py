"""Ours beside what people would use instead: fast-vollib, vectorbt, connectorx, SQLAlchemy, pandas.

The peers have an environment of their own in out/bench, which uv makes of peers.txt (from its
cache, or the network) at the first time: their versions need not go with ours. Each side runs in
processes of its own, in turns; ours as `just live` runs where a live minute is meant, with one
thread of Polars. That both give the same is checked before anything counts.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import numpy as np
import polars as pl

from engine.errors import InputError
from engine.features.black76 import GREEKS, RATE
from engine.features.greeks import with_model_greeks
from engine.history.gaps import gaps_in
from engine.history.scan import scan
from engine.market.expected import expected_stamps
from pipelines.evaluation.trials import batches, grid, run_batch
from strategies.dolpha1.params import ENOUGH_BARS, Dolpha1Params
from tests.benchmarks import bench_strategy
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.bench_options import ENGINE, chains
from tests.benchmarks.results import KEPT
from tests.benchmarks.rows import Row, as_in_a_day, in_own_process, seconds_taken
from tests.engine.features.prepared import ready

HERE = Path(__file__).parent
PINS = HERE / "peers.txt"
QUERY = "SELECT timestamp, symbol, open, high, low, close, volume FROM stocks_1m"
# fast-vollib's rho of an option on a future is that of one on spot, which is another number.
COMPARED = ("iv", *(greek for greek in GREEKS if greek != "rho"))
MOSTLY = 0.999
FILES = "stocks_1m/*/*/*.parquet"
TINY = {"turns": 1, "options": (40,), "trials": (10,), "swept": 12, "symbols": 2, "days": 5}
QUICK = {"turns": 1, "options": (700,), "trials": (20,), "symbols": 10, "days": 22}


class Peers:
    """Runs jobs of peer_jobs.py in the peers' environment; remembers the versions."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = peers_python()
        self.versions: set[str] = set()

    def run(self, job: str, rounds: int, *arguments: str) -> dict[str, Any]:
        """Return what the job writes. Raises InputError where there is no such environment."""
        script = HERE / "peer_jobs.py"
        command = [self.python, script, job, self.folder, rounds, *arguments]
        found: dict[str, Any] = json.loads(_run(f"the peers' {job}", *map(str, command)))
        self.versions.add(found["versions"])
        return found


def peers_python() -> Path:
    """Return the interpreter of the peers' environment, which is made once for these versions.

    Raises InputError where uv cannot make it.
    """
    name = hashlib.sha256(PINS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = KEPT / f"peers-{name}"
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    if not (folder / "complete").exists():
        uv = shutil.which("uv") or "uv"
        _run("uv venv", uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        install = ("pip", "install", "--quiet", "--python", str(python), "--requirements")
        _run("uv pip install", uv, *install, str(PINS))
        (folder / "complete").touch()
    return python


def _run(what: str, *command: str) -> str:
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    if ran.returncode:
        why = (ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"])[-1]
        raise InputError(f"{what} did not run: {why}")
    return ran.stdout


def measure(
    env: BenchEnv,
    *,
    turns: int = 3,
    options: Sequence[int] = (700, 20_000, 1_000_000),
    trials: Sequence[int] = (200, 1_000),
    swept: int = 87,
    symbols: int = 20,
    days: int = 132,
) -> list[Row]:
    """Measure each pair in turns; 132 sessions of 20 stocks are a million bars."""
    folder = env.folder / "peers"
    folder.mkdir(exist_ok=True)
    peers = Peers(folder)
    rows = [greeks_row(peers, count, turns) for count in options]
    for count in trials:
        rows += sweep_rows(peers, count, swept, turns)
    history = env.history(symbols, days)
    rows += read_rows(peers, history.url, history.rows, turns)
    rows.append(gaps_row(peers, env.export_folder(history), history.targets, turns))
    sys.stderr.write(f"({'; '.join(sorted(peers.versions))}) ")
    return rows


def greeks_row(peers: Peers, count: int, turns: int) -> Row:
    """Implied volatility and greeks of so many options, frame to frame and arrays to frame."""
    name, rounds = f"options-{count}", max(3, min(200, 400_000 // count))
    strikes = min(count // 2, 350)
    chain = ready(chains(-(-count // (2 * strikes)), strikes=strikes)).collect().head(count)
    chain.write_parquet(peers.folder / f"{name}.ours.parquet")
    years = (pl.col("expiry") - pl.col("timestamp")).dt.total_microseconds() / (365 * 86_400e6)
    chain.select(
        pl.col("option_type").str.to_lowercase().alias("flag"),
        "price",
        "forward",
        "strike",
        years=years,
    ).write_parquet(peers.folder / f"{name}.parquet")
    ours, theirs = [], []
    for _ in range(turns):
        found = as_in_a_day(__spec__.name, "greeks", peers.folder, rounds, name)
        ours.append(found["seconds"])
        theirs.append(peers.run("greeks", rounds, name, str(RATE))["seconds"])
    made, peer = (
        pl.read_parquet(peers.folder / f"{name}.{side}.parquet") for side in ("result", "peer")
    )
    # Ours leaves out a row whose quotes cannot be (of 20,000 here one, whose bid is just below 0).
    solved = np.isfinite(peer["iv"].to_numpy()) & made["iv"].is_not_null().to_numpy()
    if solved.mean() < MOSTLY:
        raise AssertionError(f"only {solved.mean():.0%} of the options are solved by both")
    for column in COMPARED:
        mine, others = made[column].to_numpy()[solved], peer[column].to_numpy()[solved]
        np.testing.assert_allclose(mine, others, rtol=1e-6, atol=1e-7)
    what = f"iv and greeks of {count:,} options vs fast-vollib"
    return Row(what, statistics.median(ours), statistics.median(theirs), count)


def our_greeks(folder: Path, rounds: int, name: str) -> dict[str, Any]:
    """Solve the chain in this process; leave the result beside it."""
    chain = pl.read_parquet(folder / f"{name}.ours.parquet")

    def solve() -> pl.DataFrame:
        return with_model_greeks(chain.lazy()).collect(engine=ENGINE)

    found = solve().select(
        (pl.col("model_iv") / 100).alias("iv"), *(pl.col(f"model_{g}").alias(g) for g in GREEKS)
    )
    found.write_parquet(folder / f"{name}.result.parquet")
    return {"seconds": statistics.median(seconds_taken(solve) for _ in range(rounds))}


def sweep_rows(peers: Peers, count: int, swept: int, turns: int) -> list[Row]:
    """A sweep of dolpha1 in seconds of CPU, beside vectorbt compiled, and as it comes."""
    moves = [3, 4, 5, 6, 7, 8, 10, 12, 14, 20][: max(1, count // 2)]
    widths = [round(0.2 + 0.02 * n, 2) for n in range(count // len(moves))]
    bench_strategy.bars(1, swept).write_parquet(peers.folder / "bars.parquet")
    every = Dolpha1Params().observe_interval_minutes
    asked = {"rolling_moves": moves, "widths": widths, "every": every, "enough": ENOUGH_BARS}
    ours, theirs, first = [], [], []
    for _ in range(turns):
        found = as_in_a_day(__spec__.name, "sweep", peers.folder, 1, json.dumps(asked))
        ours.append(found["seconds"])
        peer = peers.run("sweep", 1, json.dumps(asked))
        theirs.append(peer["seconds"])
        first.append(peer["first"])
    made, peer_made = (
        json.loads((peers.folder / f"sweep.{side}.json").read_text()) for side in ("ours", "peer")
    )
    if made != peer_made:
        raise AssertionError("the trades of the sweep differ from those of vectorbt")
    n, mine = len(moves) * len(widths), statistics.median(ours)
    return [
        Row(f"{n:,} trials vs vectorbt compiled, CPU", mine, statistics.median(theirs), n),
        Row(f"{n:,} trials vs vectorbt's first run, CPU", mine, statistics.median(first), n),
    ]


def our_sweep(folder: Path, _rounds: int, spec: str) -> dict[str, Any]:
    """Sweep in this process; leave the number of each trial's trades."""
    asked = json.loads(spec)
    frame = pl.read_parquet(folder / "bars.parquet")
    axes = [
        f"{name}={','.join(map(str, values))}"
        for name, values in (
            ("rolling_move", asked["rolling_moves"]),
            ("band_multiplier", asked["widths"]),
        )
    ]
    # Nobody is ruined, who would trade no more: the peer has as much cash, and knows no tick.
    free = ["capital=1e9", "commission_ticks=0", "slippage_ticks=0"]
    chosen = grid("dolpha1", [*axes, *free])
    counts: dict[str, list[int]] = {str(move): [] for move in asked["rolling_moves"]}
    begin = time.process_time()
    made = {
        (trial.params.rolling_move, trial.params.band_multiplier): outcome[0]["trades"]
        for batch in batches(chosen, frame.height, workers=1)
        for trial, outcome in zip(batch, run_batch(batch, frame), strict=True)
    }
    seconds = time.process_time() - begin
    for move in asked["rolling_moves"]:
        counts[str(move)] = [made[move, width] for width in asked["widths"]]
    (folder / "sweep.ours.json").write_text(json.dumps(counts))
    return {"seconds": seconds}


def read_rows(peers: Peers, url: str, rows: int, turns: int) -> list[Row]:
    """All bars of a table as a frame."""
    jobs = {"read_connectorx": "connectorx", "read_pandas": "SQLAlchemy and pandas"}
    took: dict[str, list[float]] = {job: [] for job in ("ours", *jobs)}
    for _ in range(turns):
        found = [in_own_process(__spec__.name, "read", peers.folder, 1, url)]
        found.append(peers.run("read_connectorx", 1, _with_host(url), QUERY))
        found.append(peers.run("read_pandas", 1, url, QUERY))
        for job, one in zip(took, found, strict=True):
            took[job].append(one["seconds"])
            if (one["rows"], one["volume"]) != (rows, found[0]["volume"]):
                raise AssertionError(f"{job} has read something else")
    mine = statistics.median(took["ours"])
    return [
        Row(f"all bars to a frame vs {name}", mine, statistics.median(took[job]), rows)
        for job, name in jobs.items()
    ]


def _with_host(url: str) -> str:
    """Return the address with the folder of the server's socket as its host, as connectorx asks."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host")
    if parts.hostname or not folder:
        return url
    login = f"{parts.username}@{quote(folder[0], safe='')}:{parts.port or 5432}"
    return urlunsplit((parts.scheme, login, parts.path, "", ""))


def our_read(_folder: Path, rounds: int, url: str) -> dict[str, Any]:
    """Read the table in this process."""
    wanted = scan("stocks_1m", url, order_by=()).select(
        "timestamp", "symbol", "open", "high", "low", "close", "volume"
    )
    frame = wanted.collect()
    sums = {"rows": frame.height, "volume": int(frame["volume"].sum())}
    seconds = statistics.median(seconds_taken(wanted.collect) for _ in range(rounds))
    return {"seconds": seconds, **sums}


def gaps_row(peers: Peers, export: Path, targets: pl.DataFrame, turns: int) -> Row:
    """The missing minutes of the export."""
    targets.write_parquet(peers.folder / "targets.parquet")
    expected_stamps(targets).select("symbol", "stamp").write_parquet(
        peers.folder / "expected.parquet"
    )
    files = f"{export.as_posix()}/{FILES}"
    listed = sorted(map(str, export.glob(FILES)))
    (peers.folder / "files.json").write_text(json.dumps(listed))
    ours, theirs = [], []
    for _ in range(turns):
        found = in_own_process(__spec__.name, "gaps", peers.folder, 1, files)
        peer = peers.run("gaps", 1, str(peers.folder / "files.json"))
        if found["missing"] != peer["missing"]:
            raise AssertionError("pandas finds other minutes missing")
        ours.append(found["seconds"])
        theirs.append(peer["seconds"])
    mine, other = statistics.median(ours), statistics.median(theirs)
    return Row("missing minutes, Parquet vs pandas", mine, other, targets.height)


def our_gaps(folder: Path, rounds: int, files: str) -> dict[str, Any]:
    """Find them in this process."""
    wanted = pl.read_parquet(folder / "targets.parquet")
    query = f"SELECT symbol, timestamp FROM read_parquet('{files}', hive_partitioning = false)"
    missing = int(gaps_in(wanted, query)["bars"].sum())
    seconds = statistics.median(
        seconds_taken(lambda: gaps_in(wanted, query)) for _ in range(rounds)
    )
    return {"seconds": seconds, "missing": missing}


JOBS = {"greeks": our_greeks, "sweep": our_sweep, "read": our_read, "gaps": our_gaps}

if __name__ == "__main__":
    asked, where, times, *rest = sys.argv[1:]
    sys.stdout.write(json.dumps(JOBS[asked](Path(where), int(times), *rest)))
