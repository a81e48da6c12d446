"""Studies against plain loops over days with a known effect; too few days are said to be so."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.market.sessions import Market, session, session_dates
from pipelines.commands.main import main
from pipelines.evaluation.studies import ENOUGH, Study, gamma_study, premium_study
from pipelines.texts import Texts

DAYS = session_dates(Market.DERIVATIVES, date(2026, 4, 1), date(2026, 8, 31))
CONTRACT = "A01609"


def made_up(days: list[date], *, effect: bool = True) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return bars and a surface: of every second day gamma is negative, and the market wild.

    A straddle costs 0.5 % of 1000 points on calm days and 0.4 % on wild ones.
    """
    rng = np.random.default_rng(8)
    bars, surface = [], []
    for number, day in enumerate(days):
        hours = session(Market.DERIVATIVES, day)
        assert hours is not None
        stamps = list(hours.stamps())
        wild = number % 2 == 1 and effect
        close = 1000 + np.cumsum(rng.normal(0, 0.5 if wild else 0.2, len(stamps)))
        opened = np.concatenate([[1000.0], close[:-1]])
        bars.append(
            pl.DataFrame(
                {
                    "timestamp": stamps,
                    "symbol": CONTRACT,
                    "open": opened,
                    "high": np.maximum(opened, close) + 0.05,
                    "low": np.minimum(opened, close) - 0.05,
                    "close": close,
                }
            )
        )
        surface.append(
            pl.DataFrame(
                {
                    "timestamp": stamps,
                    "gamma_exposure": -1e9 if number % 2 else 1e9,
                    "expected_move_close": 4.0 if number % 2 else 5.0,
                }
            )
        )
    return pl.concat(bars), pl.concat(surface)


@pytest.fixture(scope="module")
def known() -> tuple[pl.DataFrame, pl.DataFrame]:
    return made_up(DAYS)


def figures(study: Study, figure: str) -> dict[str, dict[str, float]]:
    return {row["group"]: row for row in study.table.filter(figure=figure).to_dicts()}


def test_hours_are_what_a_plain_loop_gives(known: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    bars, surface = known
    found = gamma_study(bars.lazy(), surface.lazy()).samples
    by_day = {day[0]: rows for day, rows in bars.group_by(pl.col("timestamp").dt.date())}
    earlier: dict[int, list[float]] = {}
    rows = []
    for number, day in enumerate(DAYS):
        hours = session(Market.DERIVATIVES, day)
        assert hours is not None
        before = None
        for hour in range(10):
            begin = hours.opens + timedelta(hours=hour)
            if begin + timedelta(hours=1) > hours.continuous_end:
                break
            inside = by_day[day].filter(
                (pl.col("timestamp") > begin) & (pl.col("timestamp") <= begin + timedelta(hours=1))
            )
            opened, closed = inside["open"][0], inside["close"][-1]
            span = (inside["high"].max() - inside["low"].min()) / opened * 100
            change = np.log(closed / opened) * 100
            if before is not None:
                past = earlier.setdefault(hour, [])
                usual = np.mean(past[-20:]) if len(past) >= 5 else None
                rows.append((begin, "negative" if number % 2 else "positive", span, usual))
                assert found["reversal"][len(rows) - 1] == pytest.approx(-np.sign(before) * change)
                past.append(span)
            before = change
    assert found["timestamp"].to_list() == [row[0] for row in rows]
    assert found["group"].to_list() == [row[1] for row in rows]
    assert found["range"].to_list() == pytest.approx([row[2] for row in rows])
    for ours, row in zip(found["relative_range"], rows, strict=True):
        assert ours == (None if row[3] is None else pytest.approx(row[2] / row[3]))


def test_an_effect_that_is_there_is_found_with_its_samples(
    known: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    bars, surface = known
    study = gamma_study(bars.lazy(), surface.lazy())
    found = figures(study, "range")
    assert found["negative"]["mean"] > 1.8 * found["positive"]["mean"]
    assert found["difference"]["high"] < 0
    assert found["all"]["samples"] == study.samples.height
    assert found["positive"]["sessions"] == (len(DAYS) + 1) // 2
    assert found["positive"]["low"] < found["positive"]["mean"] < found["positive"]["high"]
    assert "differs from 0" in study.conclusion
    again = gamma_study(bars.lazy(), surface.lazy())
    assert again.table.equals(study.table)


def test_an_effect_that_is_not_there_is_within_chance() -> None:
    bars, surface = made_up(DAYS, effect=False)
    study = gamma_study(bars.lazy(), surface.lazy())
    gap = figures(study, "relative_range")["difference"]
    assert gap["low"] < 0 < gap["high"]
    assert "is within chance" in study.conclusion


def test_a_day_is_judged_by_what_came_before_it(known: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    bars, surface = known
    cut = pl.col("timestamp") < datetime.combine(DAYS[60], datetime.min.time())
    for study in (gamma_study, premium_study):
        whole = study(bars.lazy(), surface.lazy()).samples
        part = study(bars.filter(cut).lazy(), surface.filter(cut).lazy()).samples
        assert part.height > 0
        assert whole.filter(cut).equals(part)
    # What is known of options at a moment is of then, not of later, and not old.
    late = surface.filter(pl.col("timestamp").dt.time() > datetime(2026, 1, 1, 9, 46).time())
    hours = gamma_study(bars.lazy(), late.lazy()).samples["timestamp"].dt.time()
    assert hours.min() > datetime(2026, 1, 1, 10, 0).time()  # type: ignore[operator]
    taken = (15, 45)  # the snapshots of these minutes are taken after the half hour and the hour
    turned = pl.when(pl.col("timestamp").dt.minute().is_in(taken)).then(-1).otherwise(1)
    later = surface.with_columns(pl.col("gamma_exposure", "expected_move_close") * turned)
    for study in (gamma_study, premium_study):
        of_then = study(bars.lazy(), surface.lazy()).samples
        assert study(bars.lazy(), later.lazy()).samples.equals(of_then)
    gone = surface.filter(pl.col("timestamp").dt.minute() == 30)
    assert gamma_study(bars.lazy(), gone.lazy()).samples.is_empty()


def test_the_premium_is_what_the_straddle_cost_less_the_move(
    known: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    bars, surface = known
    study = premium_study(bars.lazy(), surface.lazy())
    moves, rows = [], []
    for number, day in enumerate(DAYS):
        of_day = bars.filter(pl.col("timestamp").dt.date() == day)
        hours = session(Market.DERIVATIVES, day)
        assert hours is not None
        entry = hours.opens + timedelta(minutes=30)
        price = of_day.filter(pl.col("timestamp") <= entry)["close"][-1]
        move = abs(of_day["close"][-1] / price - 1) * 100
        if len(moves) >= 5:
            expected = (4.0 if number % 2 else 5.0) / price * 100
            group = "dear" if expected > np.mean(moves[-20:]) else "cheap"
            rows.append((day, group, expected - move, float(move > expected)))
        moves.append(move)
    found = study.samples
    assert found["session"].to_list() == [row[0] for row in rows]
    assert found["group"].to_list() == [row[1] for row in rows]
    assert found["premium"].to_list() == pytest.approx([row[2] for row in rows])
    assert found["exceeded"].to_list() == [row[3] for row in rows]
    assert figures(study, "premium")["all"]["mean"] == pytest.approx(
        np.mean([row[2] for row in rows])
    )


@pytest.mark.parametrize("days", [0, 1, 2 * ENOUGH - 2])
def test_too_few_days_are_said_to_be_too_few(days: int) -> None:
    bars, surface = made_up(DAYS[: days or 1])
    wanted = pl.lit(days > 0)
    for judge in (gamma_study, premium_study):
        study = judge(bars.filter(wanted).lazy(), surface.filter(wanted).lazy())
        assert study.conclusion.startswith("Too few days to say anything")
        assert study.table.height == 4 * study.table["figure"].n_unique()


def test_the_command_says_it_and_draws_what_there_is(
    filled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", filled)
    monkeypatch.chdir(tmp_path)
    for what in ("gamma", "premium"):
        assert main(["study", what]) == 0
        assert "Too few days to say anything" in " ".join(capsys.readouterr().out.split())
        assert main(["study", what, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["study"] == what
    for arguments, said in (
        (["gamma", "--symbol", "005930"], "not a futures product"),
        (["premium", "--from", "2026-11-16", "--out", "a.png"], "nothing to draw"),
    ):
        assert main(["study", *arguments]) == 2
        assert said in capsys.readouterr().err


def test_a_study_is_drawn_whole(known: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path) -> None:
    from pipelines.reports.study import save_study

    bars, surface = known
    for judge in (gamma_study, premium_study):
        study = judge(bars.lazy(), surface.lazy())
        save_study(study, tmp_path / f"{study.name}.png", Texts("ko"), "live")
        assert (tmp_path / f"{study.name}.png").stat().st_size > 10_000
