"""Positions and money of a stored day: what `just backtest` says of it, at every minute."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl
import pytest

from engine.columns import BARS
from engine.history.scan import query
from pipelines.commands.main import main
from pipelines.evaluation.bars import read_stored_bars
from pipelines.evaluation.standing import read_positions, read_session_signals
from pipelines.reports.dashboard.content import Viewer
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.run import Backtest, backtest
from strategies.backtesting.standing import standing_positions, trades_so_far
from strategies.registry import STRATEGIES
from tests.pipelines.conftest import DAY, FUTURE
from tests.pipelines.reports.noon import Noon

RULES = BacktestRules()
DOLPHA1 = STRATEGIES["dolpha1"]
END = datetime(2026, 11, 16, 15, 45)
SEALED = END + timedelta(hours=1)


def backtest_of_day(url: str, name: str) -> Backtest:
    strategy = STRATEGIES[name]
    params = strategy.params()
    warm_up = strategy.warm_up_sessions(params)
    bars = read_stored_bars(url, [FUTURE], DAY, DAY, warm_up=warm_up)
    return backtest(bars.lazy(), strategy, params, RULES, start=DAY)


def positions_at(url: str, name: str, now: datetime) -> pl.DataFrame:
    ask = partial(query, url)
    day, signals = read_session_signals(ask, now, name, None, ())
    assert day == DAY
    return read_positions(ask, signals[name], STRATEGIES[name], now, RULES)


@pytest.mark.parametrize("name", STRATEGIES)
def test_position_and_profit_equal_the_backtest_of_the_day_minute_by_minute(
    filled: str, name: str
) -> None:
    whole = backtest_of_day(filled, name)
    equity = whole.equity.with_columns(net=pl.col("equity") - whole.daily["capital"][0])
    assert whole.trades.height > 0
    moments = equity["timestamp"].to_list()
    # every twentieth minute, and those around every fill
    fills = {stamp for column in ("entered", "left") for stamp in whole.trades[column]}
    around = {stamp + timedelta(minutes=m) for stamp in fills for m in (-1, 0, 1)}
    for moment in sorted({*moments[::20], *around.intersection(moments)} - {END}):
        (now,) = standing_positions(positions_at(filled, name, moment), RULES).rows(named=True)
        row = equity.row(by_predicate=pl.col("timestamp") == moment, named=True)
        assert now["net"] == pytest.approx(row["net"], abs=1e-3), moment
        assert now["position"] == row["position"], moment
        assert now["timestamp"] == moment
    (over,) = standing_positions(positions_at(filled, name, SEALED), RULES).rows(named=True)
    assert (over["position"], over["trades"]) == (0, whole.trades.height)
    assert over["net"] == pytest.approx(whole.daily["net"][0])
    traded = trades_so_far(positions_at(filled, name, SEALED), RULES)
    assert traded.equals(whole.trades)


@pytest.mark.parametrize(("end", "held"), [("15:30", 1), ("15:35", 0)])
def test_with_only_the_closing_auction_left_no_position_is_opened(end: str, held: int) -> None:
    """As the backtest does: none is opened at a session's last bar."""
    last = datetime.fromisoformat(f"2026-11-16 {end}")
    stamps = [last - timedelta(minutes=n) for n in (2, 1, 0)]
    bars = pl.DataFrame(
        {"symbol": FUTURE, "timestamp": stamps, "open": 400.0, "high": 401.0, "low": 399.0},
        schema_overrides={"timestamp": pl.Datetime("us")},
    ).with_columns(close=pl.lit(400.0), volume=pl.lit(1, pl.Int64))
    signals = bars.select("symbol", "timestamp", trade_signal=pl.Series([0, 0, 1]), ub=400, lb=390)
    found = read_positions(lambda _: bars.select(list(BARS)), signals, DOLPHA1, last, RULES)
    (now,) = standing_positions(found, RULES).rows(named=True)
    assert (now["position"], now["next_position"]) == (0, held)


def test_the_page_shows_position_and_profit_of_now(filled: str) -> None:
    look = Viewer(filled, simulated=False, clock=Noon()).read()
    html = look.html()
    assert html.index("포지션과 손익") < html.index("시각 (KST)"), "the market comes first"
    assert look.board is not None
    day = look.board.day
    for standing in day.positions.values():
        (row,) = standing.rows(named=True)
        assert row["timestamp"] <= datetime(2026, 11, 16, 12)
        assert f"{row['net']:+,.0f}</td>" in html
        if row["position"]:
            assert f"{row['entered']:%H:%M} · {row['entry']:,.2f}" in html
    shown = day.turns.filter(pl.col("strategy") == "dolpha1")
    assert shown["trade_signal"].n_unique() == min(shown.height, 2)
    given = query(
        filled,
        "SELECT count(*)::bigint AS n FROM dolpha1_signal WHERE trade_signal <> 0"
        " AND timestamp BETWEEN '2026-11-16' AND '2026-11-16 12:00'",
    )["n"][0]
    assert given > shown.height, "one position is one line"


@pytest.fixture
def krt(
    filled: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., pl.DataFrame]:
    """Run a command on the stored day; return what it prints as JSON."""
    monkeypatch.setenv("KRT_DATABASE_URL", filled)

    def run(*arguments: str) -> pl.DataFrame:
        assert main([*arguments, "--format", "json"]) == 0
        return pl.DataFrame(json.loads(capsys.readouterr().out))

    return run


def test_trades_and_signals_by_command(krt: Callable[..., pl.DataFrame], filled: str) -> None:
    whole = backtest_of_day(filled, "dolpha1")
    traded = krt("trades", "--strategy", "dolpha1", "--date", f"{DAY}")
    assert traded["net"].sum() == pytest.approx(whole.trades["net"].sum())
    assert traded["entry"].to_list() == whole.trades["entry"].to_list()
    turned = krt("signals", "--strategy", "dolpha1")
    assert turned.height >= traded.height
    assert (turned["trade_signal"].diff().drop_nulls() != 0).all()
    assert krt("signals", "--strategy", "dolpha1", "--repeated").height > turned.height
    assert set(krt("trades")["strategy"]) <= set(STRATEGIES)


@pytest.mark.parametrize("command", ["signals", "trades"])
def test_what_is_not_there_is_said_in_one_line(
    command: str,
    filled: str,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KRT_DATABASE_URL", database_url)
    assert main([command]) == 2
    assert "no signals are stored" in capsys.readouterr().err
    monkeypatch.setenv("KRT_DATABASE_URL", filled)
    assert main([command, "--strategy", "x"]) == 2
    assert "there is no strategy 'x'" in capsys.readouterr().err
    assert main([command, "--date", f"{date(2026, 11, 10)}"]) == 0
    assert "2026-11-10: 0" in capsys.readouterr().out
