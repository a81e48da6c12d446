"""`just sweep`: each trial is the backtest of its parameters, made once; luck is counted."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.errors import InputError
from pipelines.commands.sweep import sweep
from pipelines.evaluation.runners import run_on_all_cores
from pipelines.evaluation.sweep import best_trial, luck_of_best, luck_warning, run_trials
from pipelines.evaluation.trials import (
    Outcome,
    Trial,
    TrialLog,
    batches,
    fingerprint,
    grid,
    outcome_table,
    run_batch,
)
from pipelines.reports.evaluation_tables import best_trials_table
from strategies.backtesting.positions import market, positions_on
from strategies.backtesting.results import trades
from strategies.backtesting.run import backtest
from strategies.base import SharesFeatures
from strategies.registry import strategy_named
from tests.pipelines.random_bars import random_bars, with_kis_labels
from tests.strategies.histories import needs_real_file, real_bars

AXES = ("band_multiplier=0.2,0.4", "exit=opposite,inside", "rolling_move=3")


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    days = date(2025, 9, 1), date(2025, 9, 12)
    symbols = ("A01_FRONT", "A05_FRONT")
    return pl.concat(
        random_bars(symbol, *days, minutes=40, seed=n) for n, symbol in enumerate(symbols)
    )


def run_trial(trial: Trial, bars: pl.DataFrame) -> Outcome:
    """Do what `just backtest` does."""
    strategy = strategy_named(trial.strategy)
    try:
        found = backtest(bars.lazy(), strategy, trial.params, trial.rules, start=trial.start)
    except InputError:
        return []
    return found.figures.with_columns(pl.col("ruined").cast(pl.String)).to_dicts()


def straight(bars: pl.DataFrame) -> pl.DataFrame:
    trials = grid("dolpha1", AXES)
    return outcome_table(trials, {trial.key: run_trial(trial, bars) for trial in trials})


def test_a_grid_is_every_combination_in_order() -> None:
    trials = grid("dolpha1", AXES)
    assert [dict(t.values)["band_multiplier"] for t in trials] == [0.2, 0.2, 0.4, 0.4]
    assert [t.rules.exit for t in trials] == ["opposite", "inside"] * 2
    assert {t.params.model_dump()["rolling_move"] for t in trials} == {3}
    assert len({t.key for t in trials}) == 4


@pytest.mark.parametrize(
    ("axes", "said"),
    [
        (("band=1",), "write name=value,value"),
        (("band_multiplier=",), "write name=value,value"),
        (("rolling_move=1,5",), "not possible"),
        (("exit=inside", "exit=opposite"), "is given twice"),
    ],
)
def test_a_wrong_axis_is_refused(axes: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        grid("dolpha1", axes)


def test_processes_find_what_one_finds_and_nothing_is_made_twice(
    bars: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data, trials = tmp_path / "s.jsonl", fingerprint(bars), grid("dolpha1", AXES)
    memory = TrialLog(path, data)
    memory.remember(trials[2], run_trial(trials[2], bars))
    with path.open("ab") as file:
        file.write(b'{"trial": "interrup')  # as if the power had gone
    memory = TrialLog(path, data)
    made = dict(run_on_all_cores([t for t in trials if t.key not in memory.outcomes], bars, 2))
    assert set(made) == {trials[0], trials[1], trials[3]}
    for trial, outcome in made.items():
        memory.remember(trial, outcome)
    again = TrialLog(path, data)
    assert_frame_equal(outcome_table(trials, again.outcomes), straight(bars), check_exact=True)
    monkeypatch.setattr(
        "pipelines.evaluation.sweep.run_on_all_cores", lambda *_: pytest.fail("made again")
    )
    run_trials(trials, bars, again)


def assert_as_backtests(trials: list[Trial], bars: pl.DataFrame, workers: int = 1) -> None:
    parts = batches(trials, bars.height, workers)
    made: dict[str, Outcome] = {}
    for part in parts:
        made |= zip((trial.key for trial in part), run_batch(part, bars), strict=True)
    assert sum(map(len, parts)) == len(made) == len(trials)
    for trial in trials:
        assert made[trial.key] == run_trial(trial, bars), trial


@given(
    axes=st.fixed_dictionaries(
        {
            "band_multiplier": st.lists(st.floats(0, 2), min_size=1, max_size=3),
            "rolling_move": st.lists(st.integers(3, 6), min_size=1, max_size=2),
            "atr_period": st.lists(st.integers(1, 20), min_size=1, max_size=2),
            "use_vwap": st.sampled_from([[True], [False], [True, False]]),
            "observe_interval_minutes": st.lists(st.integers(1, 7), min_size=1, max_size=2),
            "exit": st.sampled_from([["inside"], ["opposite", "inside"]]),
            "capital": st.sampled_from([["1e5"], ["1e9"], ["2e6", "1e9"]]),
        }
    ),
    start=st.sampled_from([None, date(2025, 9, 8), date(2025, 10, 1)]),
    workers=st.integers(1, 3),
    part=st.integers(1, 7),
)
@settings(max_examples=15, deadline=None)
def test_trials_that_share_their_features_are_the_backtests_of_each(
    bars: pl.DataFrame, axes: dict[str, list[Any]], start: date | None, workers: int, part: int
) -> None:
    texts = [f"{name}={','.join(map(str, values))}" for name, values in axes.items()]
    assert_as_backtests(grid("dolpha1", texts, start)[::part], bars, workers)


def test_a_strategy_that_shares_nothing_is_swept_as_well(bars: pl.DataFrame) -> None:
    trials = grid("opening_range", ("range_minutes=5,10,20", "exit=inside,opposite"))
    assert_as_backtests(trials, bars)


def test_a_batch_has_one_set_of_features_and_every_worker_has_work(bars: pl.DataFrame) -> None:
    axes = "band_multiplier=" + ",".join(f"{n / 10}" for n in range(1, 31)), "rolling_move=3,4"
    trials = grid("dolpha1", axes)
    for workers, expected in (1, 30), (2, 15), (60, 1):
        parts = batches(trials, bars.height, workers)
        assert max(map(len, parts)) == expected
        assert all(len({trial.params.rolling_move for trial in part}) == 1 for part in parts)


@needs_real_file
def test_a_sweep_over_real_bars_is_the_backtest_of_each() -> None:
    axes = ("band_multiplier=0.4,1,1.7", "rolling_move=5,14", "exit=opposite,inside")
    assert_as_backtests(grid("dolpha1", axes), real_bars())


@needs_real_file
def test_signals_of_shared_features_make_the_same_trades() -> None:
    bars, strategy = real_bars().lazy(), strategy_named("dolpha1")
    assert isinstance(strategy, SharesFeatures)
    trials = grid("dolpha1", ("band_multiplier=0.4,1.7", "rolling_move=5", "use_vwap=true,false"))
    shared = strategy.shared(bars, trials[0].params).collect().lazy()
    for trial in trials:
        held = positions_on(
            market(bars), strategy.signals(shared, trial.params), trial.params, trial.rules
        )
        found = backtest(bars, strategy, trial.params, trial.rules).trades
        assert found.height > 30
        assert_frame_equal(trades(held, trial.rules), found, check_exact=True)


def test_a_file_of_other_data_is_refused(bars: pl.DataFrame, tmp_path: Path) -> None:
    TrialLog(tmp_path / "s.jsonl", fingerprint(bars))
    with pytest.raises(InputError, match="other data"):
        TrialLog(tmp_path / "s.jsonl", fingerprint(bars.head(10)))


@pytest.mark.parametrize(
    "content",
    [b"notes without a line's end", b"[1]\n", b'{"a": 1}\n', b"\xff\x00", b'{"data": "x"}\n1\n'],
)
def test_a_file_that_is_not_of_a_sweep_is_refused_and_left_alone(
    content: bytes, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"notes\.txt is"):
        TrialLog(file, "x")
    assert file.read_bytes() == content


def test_the_command_counts_all_trials_on_the_data(
    bars: pl.DataFrame,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, results = tmp_path / "bars.parquet", tmp_path / "s.jsonl"
    with_kis_labels(bars).write_parquet(file)
    monkeypatch.setattr(
        "pipelines.evaluation.sweep.run_on_all_cores",
        lambda trials, frame, _: zip(trials, run_batch(trials, frame), strict=True),
    )
    assert sweep(axis=AXES, file=file, results=results) == 0
    assert "8 trials were run" in " ".join(capsys.readouterr().out.split())
    assert sweep(axis=("band_multiplier=0.3", "rolling_move=3"), file=file, results=results) == 0
    assert "10 trials were run" in " ".join(capsys.readouterr().out.split())
    report = tmp_path / "report"
    assert sweep(axis=AXES, file=file, results=results, json=True, report=report) == 0
    assert "10 trials" in (report / "report.html").read_text("utf-8")
    said = capsys.readouterr()
    assert "🔄 4 of 4 trials were run before" in said.err
    assert f"✅ {report / 'report.png'}" in said.err
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert [(r["band_multiplier"], r["exit"], r["symbol"]) for r in rows[:3]] == [
        (0.2, "opposite", "A01_FRONT"),
        (0.2, "opposite", "A05_FRONT"),
        (0.2, "inside", "A01_FRONT"),
    ]


def test_the_best_trial_is_the_one_of_the_highest_sharpe_ratio(bars: pl.DataFrame) -> None:
    trials = grid("dolpha1", AXES)
    outcomes = {trial.key: run_trial(trial, bars) for trial in trials}
    luck = luck_of_best(outcome_table(trials, outcomes), 8)
    assert luck is not None
    found = {row["symbol"]: row["sharpe"] for row in outcomes[best_trial(trials, outcomes).key]}
    assert found[luck.symbol] == luck.sharpe
    assert best_trial(trials, {trials[1].key: outcomes[trials[1].key]}) == trials[1]


def test_the_more_is_tried_the_less_the_best_is_worth(bars: pl.DataFrame) -> None:
    found = straight(bars)

    def probability(tried: int) -> int:
        return int(luck_warning(found, tried).rpartition("is ")[2].rstrip("%."))

    assert probability(8) > probability(1000)
    assert "too few" in luck_warning(found.head(1), 1)
    assert best_trials_table(found, ["exit"], 3).row_count == 3


def test_a_ruined_trial_is_logged_and_shown_as_such(bars: pl.DataFrame, tmp_path: Path) -> None:
    """A trial that lost its capital has no Sharpe ratio, and so is not the best."""
    trials = grid("dolpha1", ("capital=10000,1e12", "band_multiplier=0.2", "rolling_move=3"))
    log = TrialLog(tmp_path / "s.jsonl", fingerprint(bars))
    for trial in trials:
        log.remember(trial, run_trial(trial, bars))
    again = TrialLog(tmp_path / "s.jsonl", fingerprint(bars)).outcomes
    figures = outcome_table(trials, again)
    ruined = figures.filter(pl.col("ruined").is_not_null())
    assert ruined["capital"].unique().to_list() == [10_000]
    assert ruined["sharpe"].null_count() == ruined.height
    assert best_trials_table(figures, ["capital"]).row_count == figures.height
    assert "Sharpe" in luck_warning(figures, figures.height)
