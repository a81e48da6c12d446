"""Who makes the trials of a sweep: all cores of this machine, or a Ray cluster.

Both yield a trial and its outcome as it is done, in any order. The outcome does not depend on who
made it, nor on how many did.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from engine.errors import InputError, KrtError
from pipelines.evaluation.trials import Outcome, Trial, run_trial

_bars: pl.DataFrame  # of a worker process, read once

_THREADS = "POLARS_MAX_THREADS"
_MOST_PROCESSES = 61  # Windows waits for no more


def run_on_all_cores(
    trials: Sequence[Trial], bars: pl.DataFrame, workers: int | None = None
) -> Iterator[tuple[Trial, Outcome]]:
    """Make the trials in as many processes as there are cores, one Polars thread in each.

    Raises KrtError if a process dies.
    """
    count = min(workers or os.cpu_count() or 1, len(trials), _MOST_PROCESSES)
    with TemporaryDirectory() as folder, _one_thread_each():
        file = Path(folder) / "bars.arrow"
        bars.write_ipc(file)
        spawn = multiprocessing.get_context("spawn")  # forking a process with threads can hang
        with ProcessPoolExecutor(count, spawn, initializer=_read, initargs=(file,)) as pool:
            under_way = {pool.submit(_tried_here, trial): trial for trial in trials}
            try:
                for done in as_completed(under_way):
                    yield under_way[done], done.result()
            except BrokenProcessPool as error:
                raise KrtError(
                    "a worker process died (was the memory enough?); what was done is remembered,"
                    " so run the same command again, with fewer --workers"
                ) from error
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let the processes that start meanwhile use one Polars thread; it is read on import."""
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
    _bars = pl.read_ipc(file.read_bytes())  # not mapped: Windows deletes no file that is


def _tried_here(trial: Trial) -> Outcome:
    return run_trial(trial, _bars)


def run_on_ray(
    trials: Sequence[Trial], bars: pl.DataFrame, address: str
) -> Iterator[tuple[Trial, Outcome]]:
    """Make the trials on a Ray cluster whose workers have this project installed.

    `address` is Ray's: auto, ray://HOST:10001, HOST:PORT, or local. Raises InputError where Ray
    is not installed or the cluster does not answer.
    """
    # Without this Ray would run its workers by `uv run` wherever the sweep itself is run so.
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
        remote = ray.remote(num_cpus=1)(run_trial)
        shared = ray.put(bars)
        under_way = {remote.remote(trial, shared): trial for trial in trials}
        while under_way:
            (done, *_), _ = ray.wait(list(under_way))
            yield under_way.pop(done), ray.get(done)
    finally:
        ray.shutdown()
