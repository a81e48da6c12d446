"""`just backtest`: the bars it reads, what it prints, and what it refuses in one line."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from rich.console import Console

from engine import schemas
from engine.errors import InputError
from engine.market.products import KOSPI200
from engine.market.symbols import front_month
from engine.store import Store
from engine.store.export import export
from pipelines.commands.backtest import backtest
from pipelines.evaluation.backtest import parse_params, validate_model
from pipelines.evaluation.bars import read_bar_file, read_stored_bars
from pipelines.reports.evaluation_tables import trades_table
from strategies.backtesting.rules import BacktestRules
from strategies.dolpha1.params import Dolpha1Params
from tests.pipelines.random_bars import random_bars, with_kis_labels

FIRST, LAST = date(2025, 9, 1), date(2025, 9, 18)  # the roll is on the 12th
PARAMS = ("rolling_move=3", "band_multiplier=0.3")


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return random_bars("A01_FRONT", FIRST, LAST, minutes=60)


@pytest.fixture
def file(bars: pl.DataFrame, tmp_path: Path) -> Path:
    path = tmp_path / "bars.parquet"
    with_kis_labels(bars).write_parquet(path)
    return path


async def fill(store: Store, bars: pl.DataFrame) -> None:
    rows = bars.with_columns(
        fetched_at=pl.datetime(2025, 10, 1, time_unit="us"), source=pl.lit(schemas.REST)
    )
    await store.merge("futures_1m", schemas.conform(rows, schemas.FUTURES_BARS))


def test_a_file_as_kis_labels_it_is_read_as_stamps(bars: pl.DataFrame, file: Path) -> None:
    assert_frame_equal(read_bar_file(file), bars, check_exact=True)
    assert_frame_equal(read_bar_file(file, ("A01",)), bars, check_exact=True)


def test_rows_that_no_session_owes_are_left_out(bars: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    odd = with_kis_labels(bars.head(3)).with_columns(
        pl.Series(
            "timestamp", ["2025-09-01 15:40", "2025-09-06 10:00", "2025-09-01 08:45"]
        ).str.to_datetime(time_unit="us")
    )
    odd.write_parquet(path)
    stamps = read_bar_file(path)["timestamp"].dt.strftime("%Y-%m-%d %H:%M").to_list()
    assert stamps == ["2025-09-01 08:46"]


async def test_the_database_gives_the_trades_of_the_file(
    bars: pl.DataFrame, file: Path, store: Store, database_url: str
) -> None:
    codes = {
        day: front_month(KOSPI200).on(day).code for day in bars["timestamp"].dt.date().unique()
    }
    assert set(codes.values()) == {"101W09", "101W12"}
    code = bars["timestamp"].dt.date().replace_strict(codes, return_dtype=pl.String)
    await fill(store, bars.with_columns(code.alias("symbol")))
    stored = read_stored_bars(database_url, ("A01",), FIRST, LAST)
    assert_frame_equal(stored, read_bar_file(file), check_exact=True)
    own = read_stored_bars(database_url, ("101W12",), FIRST, LAST)
    assert own["timestamp"].min().date() == date(2025, 9, 12)


async def test_a_split_is_no_loss_of_who_holds(store: Store, database_url: str) -> None:
    """KIS gave the bars before the split at the old price; those of a file may be at either."""
    days = [datetime(2026, 11, day, 10) for day in (9, 10, 11)]
    bars = pl.DataFrame(
        {
            "timestamp": days,
            "symbol": "005930",
            "open": [80_000.0, 80_400.0, 20_200.0],
            "volume": [100, 100, 400],
            "source": [schemas.FILE, schemas.REST, schemas.REST],
        },
        schema_overrides={"timestamp": pl.Datetime("us")},
    ).with_columns(
        **dict.fromkeys(("high", "low", "close"), pl.col("open")),
        fetched_at=pl.col("timestamp"),
        timeframe=pl.lit("1m"),
    )
    await store.merge("stocks_1m", schemas.conform(bars, schemas.STOCK_BARS))
    split = {"symbol": ["005930"], "effective": [date(2026, 11, 11)], "factor": [0.25]}
    action = pl.DataFrame(split).with_columns(
        state=pl.lit("confirmed"),
        reason=pl.lit(""),
        first_seen=date(2026, 11, 9),
        found_at=days[2],
        checked_at=days[2],
    )
    await store.merge("adjustments", schemas.conform(action, schemas.ADJUSTMENTS))
    stored = read_stored_bars(database_url, ("005930",))
    assert stored["close"].to_list() == [80_000.0, 80_400.0, 20_200.0]
    found = read_stored_bars(database_url, ("005930",), adjusted=True)
    assert found.schema == stored.schema
    assert found.select("close", "volume").rows() == [(20_100.0, 400), (20_200.0, 400)]


async def test_nights_are_read_whole(store: Store, database_url: str) -> None:
    days = [datetime(2026, 11, day) for day in (2, 3, 4)]
    stamps = [day + timedelta(hours=hour) for day in days for hour in (5, 20, 29)]
    bars = (
        pl.DataFrame({"timestamp": stamps})
        .unique()
        .with_columns(
            symbol=pl.lit("A01612_NIGHT"),
            **dict.fromkeys(("open", "high", "low", "close"), pl.lit(400.0)),
            volume=pl.lit(1),
            fetched_at=pl.datetime(2026, 11, 10, time_unit="us"),
            source=pl.lit(schemas.REST),
        )
    )
    await store.merge("futures_night_1m", schemas.conform(bars, schemas.FUTURES_BARS))
    day = days[1].date()
    found = read_stored_bars(database_url, ("A01612_NIGHT",), day, day)
    assert found["timestamp"].to_list() == [datetime(2026, 11, 3, 20), datetime(2026, 11, 4, 5)]
    with pytest.raises(InputError, match="A01_NIGHT means several contracts"):
        read_stored_bars(database_url, ("A01_NIGHT",), day, day)


async def test_an_export_gives_the_bars_of_the_database(
    bars: pl.DataFrame, store: Store, database_url: str, tmp_path: Path
) -> None:
    await fill(store, bars.with_columns(symbol=pl.lit("101W12")))
    sessions = bars.select(symbol=pl.lit("101W12"), session=pl.col("timestamp").dt.date())
    await store.clock.thread(export, database_url, tmp_path, sessions.unique())
    file = tmp_path / "futures_1m" / "product=101" / "month=2025-09" / "futures_1m.parquet"
    stored = read_stored_bars(database_url, ("101W12",), FIRST, LAST)
    assert_frame_equal(read_bar_file(file), stored, check_exact=True)
    copy = tmp_path / "copy.csv"  # another program's, without our mark
    stored.write_csv(copy)
    with pytest.raises(InputError, match="--bar-times start or end: no bar"):
        read_bar_file(copy)  # the bars of the first hour and of the auction show nothing
    assert_frame_equal(read_bar_file(copy, times="end"), stored, check_exact=True)


async def test_warm_up_sessions_are_read_too(
    bars: pl.DataFrame, store: Store, database_url: str
) -> None:
    await fill(store, bars.with_columns(symbol=pl.lit("101W12")))
    found = read_stored_bars(database_url, ("101W12",), date(2025, 9, 16), LAST, warm_up=3)
    assert found["timestamp"].min().date() == date(2025, 9, 11)
    with pytest.raises(InputError, match="just backfill"):
        read_stored_bars(database_url, ("101W12",), date(2026, 1, 5), date(2026, 1, 6))


def test_the_command_prints_a_table_or_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert backtest(file=file, param=PARAMS, exit="inside") == 0
    shown = capsys.readouterr().out
    assert "max drawdown" in shown
    assert "A01_FRONT" in shown
    assert backtest(file=file, param=PARAMS, start=date(2025, 9, 10), json=True) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["params"]["rolling_move"] == 3
    assert said["figures"][0]["trades"] == len(said["trades"]) > 0
    assert min(t["session"] for t in said["trades"]) >= "2025-09-10"


def test_the_command_says_what_it_wrote_in_the_language_of_the_settings(
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for language, said in (("ko", "최대 낙폭"), ("en", "max drawdown")):
        monkeypatch.setenv("KRT_LANGUAGE", language)
        folder = tmp_path / language
        assert backtest(file=file, param=PARAMS, report=folder) == 0
        written = capsys.readouterr().err
        assert all(f"✅ {path}\n" in written for path in folder.iterdir())
        assert said in (folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("band_multiplier",), "name=value"),
        (("band_width=2",), "no band_width: choose one of.*band_multiplier"),
        (("rolling_move=two",), "rolling_move.*integer"),
        (("rolling_move=2",), "greater than or equal to 3"),
    ],
)
def test_a_wrong_parameter_is_one_clear_line(given: tuple[str, ...], said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        parse_params(Dolpha1Params, given)
    assert "\n" not in str(caught.value)


def test_a_wrong_rule_or_file_is_one_clear_line(tmp_path: Path, bars: pl.DataFrame) -> None:
    with pytest.raises(InputError, match="commission_ticks"):
        validate_model(BacktestRules, {"commission_ticks": -1})
    with pytest.raises(InputError, match="there is no file"):
        read_bar_file(tmp_path / "none.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("no parquet")
    with pytest.raises(InputError, match="cannot be read"):
        read_bar_file(text)
    short = tmp_path / "short.parquet"
    bars.drop("volume").write_parquet(short)
    with pytest.raises(InputError, match="lacks volume"):
        read_bar_file(short)
    whole = tmp_path / "whole.parquet"
    bars.write_parquet(whole)
    with pytest.raises(InputError, match="no bars of A06"):
        read_bar_file(whole, ("A06",))


def test_prices_are_printed_whole() -> None:
    moment = datetime(2025, 9, 1, 9, 1)
    trade = {
        "symbol": "000660",
        "entered": moment,
        "left": moment,
        "direction": 1,
        "entry": 1058000.0,
        "exit": 432.05,
        "why": "close",
        "net": 0.0,
    }
    console = Console(width=200, record=True, file=StringIO())
    console.print(trades_table(pl.DataFrame([trade]), "trades"))
    said = console.export_text()
    assert "1,058,000" in said
    assert "432.05" in said
