"""What people would use instead of ours. Runs in the peers' own environment (peers.txt).

    python peer_jobs.py JOB FOLDER ROUNDS …

Reads what bench_peers.py has written into the folder, leaves its results there for comparison, and
writes seconds and versions as JSON. Each way is the library's usual one, from data in memory (or a
database's address) to a frame.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

GREEKS = ("delta", "gamma", "vega", "theta", "rho")


def versions(*names: str) -> str:
    """Return the names with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def median_seconds(work: Callable[[], object], rounds: int) -> float:
    """Return the median of the rounds, the first one (loading, compiling) left out."""
    work()
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return float(np.median(took))


def greeks(folder: Path, rounds: int, name: str, rate: str) -> dict[str, Any]:
    """Implied volatility and greeks of options on a future, arrays to a frame, by fast-vollib."""
    import fast_vollib

    options = pd.read_parquet(folder / f"{name}.parquet")
    flag = options["flag"].to_numpy()
    price, forward, strike, years = (
        options[column].to_numpy() for column in ("price", "forward", "strike", "years")
    )
    r = float(rate)

    def solve() -> pd.DataFrame:
        iv = fast_vollib.fast_implied_volatility_black(
            price, forward, strike, r, years, flag, return_as="numpy", on_error="ignore"
        )
        found = fast_vollib.get_all_greeks(
            flag, forward, strike, years, r, iv, model="black", return_as="dataframe"
        )
        return found.assign(iv=iv)

    seconds = median_seconds(solve, rounds)
    solve()[["iv", *GREEKS]].to_parquet(folder / f"{name}.peer.parquet")
    return {"seconds": seconds, "versions": versions("fast-vollib", "numpy")}


def sweep(folder: Path, rounds: int, spec: str) -> dict[str, Any]:
    """dolpha1 for each width of the bands and each rolling_move, by vectorbt: CPU seconds."""
    import vectorbt as vbt

    asked = json.loads(spec)
    bars = pd.read_parquet(folder / "bars.parquet")
    begin = time.process_time()
    counts: dict[str, list[int]] = {}

    def run() -> None:
        counts.clear()
        shared = _features(bars)
        for rolling in asked["rolling_moves"]:
            counts[str(rolling)] = _trades(vbt, shared, rolling, asked)

    run()
    first = time.process_time() - begin
    took = []
    for _ in range(rounds):
        start = time.process_time()
        run()
        took.append(time.process_time() - start)
    (folder / "sweep.peer.json").write_text(json.dumps(counts))
    seconds = float(np.median(took)) if took else first
    return {"seconds": seconds, "first": first, "versions": versions("vectorbt", "numba")}


def _features(bars: pd.DataFrame) -> pd.DataFrame:
    """What is the same for all parameters."""
    frame = bars.copy()
    day = frame["timestamp"].dt.date
    frame["day"] = day
    by_day = frame.groupby("day")
    frame["open_d"] = by_day["open"].transform("first")
    frame["prev_close"] = day.map(by_day["close"].last().shift(1))
    first = by_day["timestamp"].transform("first").dt.normalize() + pd.Timedelta("9h1min")
    frame["minute"] = (frame["timestamp"] - first).dt.total_seconds().astype(int) // 60
    frame["move"] = (frame["close"] / frame["open_d"] - 1).abs()
    value = (frame["high"] + frame["low"] + frame["close"]) / 3 * frame["volume"]
    traded = frame["volume"].groupby(day).cumsum()
    frame["vwap"] = (value.groupby(day).cumsum() / traded).where(traded > 0)
    frame["first"] = by_day.cumcount() == 0
    frame["last"] = by_day.cumcount(ascending=False) == 0
    return frame


def _trades(vbt: Any, frame: pd.DataFrame, rolling: int, asked: dict[str, Any]) -> list[int]:
    """Trade all widths at once; return how many trades each makes, its figures computed as well."""
    needed = max(rolling // 2, 3)
    sigma = frame.groupby("minute")["move"].transform(
        lambda x: x.shift(1).rolling(rolling, min_periods=needed).mean()
    )
    sigma = sigma.groupby(frame["day"]).ffill()
    width = sigma.to_numpy()[:, None] * np.asarray(asked["widths"])[None, :]
    known = frame["prev_close"].notna().to_numpy()
    upper, lower = (
        (frame[["open_d", "prev_close"]].agg(which, axis=1).where(known)).to_numpy()[:, None]
        for which in ("max", "min")
    )
    close, vwap = frame["close"].to_numpy()[:, None], frame["vwap"].to_numpy()[:, None]
    at = (frame["timestamp"].dt.minute % asked["every"] == 0).to_numpy()
    at = at & (np.arange(len(frame)) >= asked["enough"] - 1)
    up = (close > upper * (1 + width)) & (close > vwap) & at[:, None]
    down = (close < lower * (1 - width)) & (close < vwap) & at[:, None]
    first, last = (frame[name].to_numpy()[:, None] for name in ("first", "last"))
    entries, shorts = (np.roll(signal, 1, axis=0) & ~first & ~last for signal in (up, down))
    price = np.where(last, frame["close"].to_numpy()[:, None], frame["open"].to_numpy()[:, None])
    whole = np.broadcast_to(last, entries.shape).copy()
    folio = vbt.Portfolio.from_signals(
        close=np.broadcast_to(close, entries.shape).copy(),
        entries=entries,
        exits=whole,
        short_entries=shorts,
        short_exits=whole,
        price=np.broadcast_to(price, entries.shape).copy(),
        size=1.0,
        upon_opposite_entry="reverse",
        init_cash=1e9,
        freq="1min",
    )
    for figure in ("total_return", "sharpe_ratio", "max_drawdown"):
        getattr(folio, figure)()
    folio.trades.win_rate()
    return [int(count) for count in folio.trades.count()]


def read_connectorx(folder: Path, rounds: int, url: str, query: str) -> dict[str, Any]:
    """A query to a frame of pandas, by connectorx."""
    import connectorx as cx

    return _read(folder, lambda: cx.read_sql(url, query), rounds, "connectorx", "pandas")


def read_pandas(folder: Path, rounds: int, url: str, query: str) -> dict[str, Any]:
    """A query to a frame of pandas, by SQLAlchemy and psycopg2."""
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg2:", 1))

    def read() -> pd.DataFrame:
        with engine.connect() as connection:
            return pd.read_sql(sqlalchemy.text(query), connection)

    return _read(folder, read, rounds, "sqlalchemy", "psycopg2-binary", "pandas")


def _read(
    folder: Path, read: Callable[[], pd.DataFrame], rounds: int, *names: str
) -> dict[str, Any]:
    frame = read()
    sums = {"rows": len(frame), "volume": int(frame["volume"].sum())}
    del frame
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        read()
        took.append(time.perf_counter() - start)
    return {"seconds": float(np.median(took)), "versions": versions(*names), **sums}


def gaps(folder: Path, rounds: int, files: str) -> dict[str, Any]:
    """The expected minutes that no bar has, by pandas: the difference of two indices."""
    expected = pd.read_parquet(folder / "expected.parquet")
    listed = json.loads(Path(files).read_text())

    def find() -> int:
        parts = (pd.read_parquet(one, columns=["symbol", "timestamp"]) for one in listed)
        bars = pd.concat(parts, ignore_index=True)
        stored = pd.MultiIndex.from_frame(bars[["symbol", "timestamp"]])
        wanted = pd.MultiIndex.from_frame(expected[["symbol", "stamp"]])
        return len(wanted.difference(stored, sort=False))

    missing = find()
    seconds = median_seconds(find, rounds)
    return {"seconds": seconds, "missing": missing, "versions": versions("pandas", "pyarrow")}


JOBS = {job.__name__: job for job in (greeks, sweep, read_connectorx, read_pandas, gaps)}

if __name__ == "__main__":
    name, folder, rounds, *rest = sys.argv[1:]
    sys.stdout.write(json.dumps(JOBS[name](Path(folder), int(rounds), *rest)))
