"""Where the trials of a sweep run: on all cores of this machine, or on a Ray cluster.

Both yield a trial and its outcome when it is done, in any order. The outcome depends neither on
where it was computed nor on the number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from engine.errors import InputError, KrtError
from pipelines.evaluation.lake import Lake
from pipelines.evaluation.trials import Outcome, Trial, batches, run_batch
from strategies.base import Params, Strategy
from strategies.by_session import evaluate_sessions, sessions_between
from strategies.registry import strategy_named

_bars: pl.DataFrame  # in a worker process; read once

_THREADS = "POLARS_MAX_THREADS"
_BARS_OF_SYMBOL = 100_000  # of a year
_MOST_PROCESSES = 61  # Windows cannot wait for more
# By itself Ray gives short tasks to the machine that it is asked on, while others have nothing.
_ON_ALL_MACHINES = {"num_cpus": 1, "scheduling_strategy": "SPREAD"}


def run_on_all_cores(
    trials: Sequence[Trial], bars: pl.DataFrame, workers: int | None = None
) -> Iterator[tuple[Trial, Outcome]]:
    """Run the trials in as many processes as there are cores, one Polars thread in each.

    Raises KrtError if a process dies.
    """
    count = min(workers or os.cpu_count() or 1, len(trials), _MOST_PROCESSES)
    todo = batches(trials, bars.height, count)
    with TemporaryDirectory() as folder, _one_thread_each():
        file = Path(folder) / "bars.arrow"
        bars.write_ipc(file)
        spawn = multiprocessing.get_context("spawn")  # forking a process with threads can hang
        with ProcessPoolExecutor(count, spawn, initializer=_read, initargs=(file,)) as pool:
            running = {pool.submit(_run_here, batch): batch for batch in todo}
            try:
                for done in as_completed(running):
                    yield from zip(running[done], done.result(), strict=True)
            except BrokenProcessPool as error:
                raise KrtError(
                    "a worker process died (not enough memory?); finished trials are kept, so run"
                    " the same command again, with fewer --workers"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let processes that start in the block use one Polars thread; Polars reads it on import."""
    before = os.environ.get(_THREADS)
    os.environ[_THREADS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_THREADS]
        else:
            os.environ[_THREADS] = before


def _read(file: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for the process that shows progress
    global _bars  # noqa: PLW0603 - a worker process has no other place to keep it
    _bars = pl.read_ipc(file.read_bytes())  # not mapped: Windows cannot delete a mapped file


def _run_here(batch: list[Trial]) -> list[Outcome]:
    return run_batch(batch, _bars)


def run_on_ray(
    trials: Sequence[Trial], bars: pl.DataFrame, address: str
) -> Iterator[tuple[Trial, Outcome]]:
    """Run the trials on a Ray cluster (`ray_cluster`), whose store has the bars once."""
    with ray_cluster(address) as (ray, workers):
        remote, shared = ray.remote(**_ON_ALL_MACHINES)(run_batch), ray.put(bars)
        todo = batches(trials, bars.height, workers)
        running = {remote.remote(batch, shared): batch for batch in todo}
        while running:
            (done, *_), _ = ray.wait(list(running))
            yield from zip(running.pop(done), ray.get(done), strict=True)


def run_lake_on_ray(
    trials: Sequence[Trial], lake: Lake, address: str
) -> Iterator[tuple[Trial, Outcome]]:
    """Run the trials over a lake on a Ray cluster: each task reads its own symbols.

    All machines must see the lake's files under the same path. No process holds all bars.
    """
    with ray_cluster(address) as (ray, workers):
        groups, remote = lake.groups(workers), ray.remote(**_ON_ALL_MACHINES)(_run_group)
        todo = batches(trials, _BARS_OF_SYMBOL * len(groups[0]), 1)
        # All at once: no worker waits for the last group of a batch.
        running = [[remote.remote(batch, lake, group) for group in groups] for batch in todo]
        for batch, tasks in zip(todo, running, strict=True):
            parts = ray.get(tasks)  # in the order of the symbols
            for n, trial in enumerate(batch):
                yield trial, [figures for part in parts for figures in part[n]]


def _run_group(batch: list[Trial], lake: Lake, symbols: list[str]) -> list[Outcome]:
    return run_batch(batch, lake.read(symbols))


def evaluate_lake_on_ray(
    strategy: Strategy[Any], params: Params, lake: Lake, address: str, first: date, last: date
) -> pl.DataFrame:
    """Compute the signals of a lake's sessions on a Ray cluster, as `run_lake_on_ray` does.

    The lake has the bars of the warm-up before `first`, too.
    """
    with ray_cluster(address) as (ray, workers):
        remote = ray.remote(**_ON_ALL_MACHINES)(_evaluate_group)
        groups = lake.groups(workers)
        tasks = [remote.remote(strategy.name, params, lake, group, first, last) for group in groups]
        parts: list[pl.DataFrame] = ray.get(tasks)
        return pl.concat(parts)


def _evaluate_group(
    strategy: str, params: Params, lake: Lake, symbols: list[str], first: date, last: date
) -> pl.DataFrame:
    bars = lake.read(symbols)
    days = sessions_between(bars, first, last)
    return evaluate_sessions(strategy_named(strategy), params, bars, days)


@contextmanager
def ray_cluster(address: str) -> Iterator[tuple[Any, int]]:
    """Connect to a Ray cluster whose workers have this project installed; yield Ray and its CPUs.

    `address` is Ray's: auto, ray://HOST:10001, HOST:PORT, or local. Raises InputError if
    Ray is not installed or the cluster does not answer.
    """
    # Without this Ray would start its workers with `uv run` if the sweep itself was started so.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray  # noqa: PLC0415 - an optional dependency
    except ImportError as error:
        raise InputError("--ray needs Ray: uv sync --group ray") from error
    try:
        ray.init(address, log_to_driver=False, runtime_env={"env_vars": {_THREADS: "1"}})
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"no Ray cluster at {address}: {error}") from error
    try:
        resources: Callable[[], dict[str, float]] = ray.cluster_resources  # Ray has no type for it
        yield ray, max(int(resources().get("CPU", 1)), 1)
    finally:
        ray.shutdown()
