"""A lake as the source of sweeps and of signals: the same as the database gives in one process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path

import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.errors import InputError
from engine.store import Store
from engine.store.export import export
from pipelines.evaluation.bars import read_stored_bars
from pipelines.evaluation.lake import open_lake
from pipelines.evaluation.replay import replay_signals, store_signals
from pipelines.evaluation.runners import run_lake_on_ray, run_on_ray
from pipelines.evaluation.sweep import run_trials
from pipelines.evaluation.trials import TrialLog, batches, grid, outcome_table, run_batch
from strategies.registry import strategy_named
from tests.pipelines.random_bars import random_bars

FIRST, LAST = date(2025, 8, 27), date(2025, 9, 9)  # over the end of a month
SYMBOLS = [f"0000{n}0" for n in range(1, 8)]
AXES = ("band_multiplier=0.2,0.4", "exit=opposite,inside", "rolling_move=3")
STRATEGY = strategy_named("dolpha1")
Lake = tuple[str, Path]


async def store_bars(store: Store, bars: pl.DataFrame) -> None:
    told = {"timeframe": "1m", "fetched_at": datetime(2025, 9, 9, 18), "source": schemas.REST}
    rows = bars.with_columns(pl.lit(value).alias(name) for name, value in told.items())
    await store.merge("stocks_1m", schemas.conform(rows, schemas.STOCK_BARS))


@pytest.fixture
async def lake(database_url: str, store: Store, tmp_path: Path) -> Lake:
    """A database of a few stocks, and the lake that was exported from it."""
    bars = [random_bars(s, FIRST, LAST, minutes=40, seed=n) for n, s in enumerate(SYMBOLS)]
    await store_bars(store, pl.concat(bars).with_columns(pl.exclude("symbol", "timestamp").round()))
    sealed = pl.concat(bars).select("symbol", session=pl.col("timestamp").dt.date()).unique()
    export(database_url, tmp_path / "lake", sealed)
    return database_url, tmp_path / "lake"


@contextmanager
def cluster(workers: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # read on import
    pytest.importorskip("ray", reason="Ray is not installed: uv sync --group ray")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(workers - 1):
            made.add_node(num_cpus=1)
        yield made.address
    finally:
        made.shutdown()


def cpu_of_workers() -> dict[int, float]:
    """Return the CPU seconds of each worker of Ray: of an idle one some 0.6."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.name().startswith("ray::"):
                times = process.cpu_times()
                found[process.pid] = times.user + times.system
    return found


def test_a_lake_has_the_bars_of_the_database(lake: Lake) -> None:
    url, folder = lake
    bars = read_stored_bars(url, SYMBOLS)
    found = open_lake(folder)
    assert found.symbols == tuple(SYMBOLS)
    assert_frame_equal(found.read(SYMBOLS), bars)
    assert found.groups(1) == [[symbol] for symbol in SYMBOLS]
    some, span = [SYMBOLS[1], SYMBOLS[4]], (date(2025, 9, 2), date(2025, 9, 4))
    for warm_up in (0, 3):
        part = open_lake(folder, some, *span, warm_up=warm_up).read(some)
        assert_frame_equal(part, read_stored_bars(url, some, *span, warm_up=warm_up))


async def test_other_bars_have_another_fingerprint(lake: Lake, store: Store) -> None:
    url, folder = lake
    before = open_lake(folder).fingerprint()
    assert before == open_lake(folder).fingerprint()
    assert before != open_lake(folder, SYMBOLS[:3]).fingerprint()
    bars = read_stored_bars(url, SYMBOLS)
    await store_bars(store, bars[100:101].with_columns(volume=pl.col("volume") + 1))
    export(url, folder, bars.select("symbol", session=pl.col("timestamp").dt.date()).unique())
    assert before != open_lake(folder).fingerprint()


def test_what_is_no_lake_is_refused(lake: Lake, tmp_path: Path) -> None:
    _, folder = lake
    with pytest.raises(InputError, match="has no bars: `just export"):
        open_lake(tmp_path / "nothing")
    with pytest.raises(InputError, match="several contracts"):
        open_lake(folder, ["A01"])
    with pytest.raises(InputError, match="--ray local"):
        run_trials(grid("dolpha1", AXES), open_lake(folder), TrialLog(tmp_path / "log", "x"))
    with pytest.raises(InputError, match="go together"):
        replay_signals("postgresql:///nowhere", STRATEGY, STRATEGY.params(), lake=folder)


async def test_two_workers_of_ray_find_what_one_process_finds(
    lake: Lake, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the lake, and on bars that are sent to them; a cluster takes long to start."""
    url, folder = lake
    bars, trials = read_stored_bars(url, SYMBOLS), grid("dolpha1", AXES)
    straight = {
        trial.key: outcome
        for batch in batches(trials, bars.height, 1)
        for trial, outcome in zip(batch, run_batch(batch, bars), strict=True)
    }
    params, days = STRATEGY.params(), (date(2025, 9, 5), LAST)
    once = replay_signals(url, STRATEGY, params, symbols=tuple(SYMBOLS), start=days[0], end=LAST)
    await store_signals(store, STRATEGY, once.computed)
    with cluster(2, monkeypatch) as address:
        log = TrialLog(tmp_path / "log", "lake")
        run_trials(trials, open_lake(folder), log, ray=address)
        again = replay_signals(
            url, STRATEGY, params, start=days[0], end=LAST, lake=folder, ray=address
        )
        sent = {trial.key: outcome for trial, outcome in run_on_ray(trials, bars, address)}
    expected = outcome_table(trials, straight)
    assert set(expected["symbol"]) == set(SYMBOLS)
    assert_frame_equal(outcome_table(trials, log.outcomes), expected, check_exact=True)
    assert_frame_equal(outcome_table(trials, sent), expected, check_exact=True)
    assert again.is_clean
    assert again.computed.height > 0
    order = ["symbol", "timestamp"]
    assert_frame_equal(again.computed.sort(order), once.computed.sort(order), check_exact=True)


_WIDTHS = ",".join(f"{0.2 + 0.05 * n:.2f}" for n in range(16))


@pytest.mark.long
def test_how_much_quicker_two_workers_are_than_one(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It prints seconds, and CPU of each worker; it asserts no more than that both find the same.

    On a machine that does other work, too, the CPU shows how the work was divided and what it grew.
    """
    folder = tmp_path / "lake" / "stocks_1m" / "product=stocks" / "month=2025-09"
    folder.mkdir(parents=True)
    names = [f"{n:06}" for n in range(10, 490, 10)]
    bars = [random_bars(name, date(2025, 9, 1), date(2025, 9, 30), minutes=380) for name in names]
    pl.concat(bars).with_columns(pl.exclude("symbol", "timestamp").round()).write_parquet(
        folder / "stocks_1m.parquet", row_group_size=50_000
    )
    trials, lake = (
        grid("dolpha1", (f"band_multiplier={_WIDTHS}", "rolling_move=8,10,12,14")),
        open_lake(tmp_path / "lake"),
    )
    seconds, spent, found = {}, {}, []
    for workers in (1, 2):
        with cluster(workers, monkeypatch) as address:
            list(run_lake_on_ray(trials[:1], lake, address))  # Ray starts workers with a first task
            start, outcomes = time.perf_counter(), {}
            for trial, outcome in run_lake_on_ray(trials, lake, address):
                outcomes[trial.key] = outcome
                spent[workers] = cpu_of_workers()  # they end with the connection
            found.append(outcomes)
            seconds[workers] = time.perf_counter() - start
    print(f"sweep of a lake on Ray: {seconds} s, of CPU by worker {spent}")  # noqa: T201
    assert_frame_equal(*(outcome_table(trials, outcomes) for outcomes in found), check_exact=True)
