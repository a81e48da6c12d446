"""A file's rows one by one: what becomes a bar, and what is refused with its reason."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.errors import InputError
from engine.history.bar_import import batches_to_store, read_bars_of_file
from engine.schemas import FILE
from tests.engine.history.bar_files import DAY, FUTURE, STOCK, bars_of, write
from tests.stamps import session_on

NOW = datetime(2026, 11, 20, 18)


def bars_as_stored(symbol: str) -> pl.DataFrame:
    stamps = pl.Series("timestamp", session_on(symbol, DAY).stamps()).cast(pl.Datetime("us"))
    return bars_of(symbol).with_columns(stamps)


def reasons(refused: pl.DataFrame) -> dict[str, int]:
    return dict(refused.group_by("reason").agg(pl.len()).iter_rows())


@pytest.mark.parametrize("ends", [False, True])
def test_a_whole_file_becomes_bars_at_their_stamps(tmp_path: Path, ends: bool) -> None:
    frame = pl.concat([bars_of(STOCK, ends=ends), bars_of(FUTURE, ends=ends)])
    found = read_bars_of_file(write(frame.sample(fraction=1, shuffle=True), tmp_path / "a"), NOW)
    assert found.refused.is_empty()
    expected = pl.concat([bars_as_stored(STOCK), bars_as_stored(FUTURE)])
    assert_frame_equal(found.bars, expected.cast({"volume": pl.Int64}), check_column_order=False)
    tables = {table: pl.DataFrame(batch) for table, batch in batches_to_store(found.bars, NOW)}
    assert {table: rows.height for table, rows in tables.items()} == {
        "futures_1m": bars_of(FUTURE).height,
        "stocks_1m": bars_of(STOCK).height,
    }
    assert set(tables["stocks_1m"]["source"]) == {FILE}


def test_every_row_that_cannot_be_a_bar_is_refused_with_its_reason_and_the_rest_stays(
    tmp_path: Path,
) -> None:
    good = bars_of(STOCK)
    labels = good["timestamp"]
    other = good.row(9, named=True)
    wrong = [
        good.row(10, named=True) | {"high": 1.0},
        good.row(1, named=True) | {"low": 1001.0},
        good.row(2, named=True) | {"close": None},
        good.row(3, named=True) | {"symbol": "5930"},
        good.row(4, named=True) | {"symbol": "A01_FRONT"},
        good.row(5, named=True) | {"volume": -1},
        good.row(6, named=True) | {"timestamp": labels[0] - timedelta(hours=3)},
        other | {"close": other["close"] + 0.05},
        good.row(8, named=True),
        good.row(7, named=True) | {"open": 0.0, "low": 0.0},
    ]
    frame = pl.concat(
        [good[:1], good[8:10], good[11:], pl.DataFrame(wrong, good.schema, orient="row")]
    )
    found = read_bars_of_file(write(frame, tmp_path / "bars"), NOW)
    assert found.rows == frame.height
    assert found.repeated == 1
    assert reasons(found.refused) == {
        "high is not the highest price": 1,
        "low is not the lowest price": 1,
        "close is missing": 1,
        "a symbol has lost the zeros at its beginning": 1,
        "a product's front month is not a contract: name the contract": 1,
        "volume is not a count": 1,
        "outside the session": 1,
        "a price is not above 0": 1,
        "a minute stands there again with other values": 2,
    }
    assert found.bars.height == good.height - 9  # 8 are not there, and one has two values
    assert found.bars.height + found.refused.height + found.repeated == found.rows
    raw = json.loads(found.refused.filter(reason="close is missing")["raw"].item())
    assert raw["close"] is None
    assert raw["high"] == str(good["high"][2])


def test_minutes_that_are_not_over_are_refused(tmp_path: Path) -> None:
    file = write(bars_of(STOCK), tmp_path / "bars")
    now = datetime(DAY.year, DAY.month, DAY.day, 10)
    found = read_bars_of_file(file, now)
    assert found.bars["timestamp"].max() == now
    assert reasons(found.refused) == {"the minute is not over": bars_of(STOCK).height - 60}


def test_rows_of_a_minute_before_the_first_trade_are_no_bars_and_no_fault(tmp_path: Path) -> None:
    zeros = dict.fromkeys(("open", "high", "low", "close"), 0.0) | {"volume": 0}
    first = [bars_of(STOCK).row(0, named=True) | zeros]
    frame = pl.concat(
        [pl.DataFrame(first, bars_of(STOCK).schema, orient="row"), bars_of(STOCK)[1:]]
    )
    found = read_bars_of_file(write(frame, tmp_path / "bars"), NOW)
    assert (found.empty, found.refused.height) == (1, 0)
    assert found.bars.height == frame.height - 1


def test_a_csv_of_nothing_but_faults_is_read_to_its_end(tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("symbol,timestamp,open,high,low,close,volume\n005930,soon,1,1,1,1,1\n,,,,,,1\n")
    found = read_bars_of_file(file, NOW)
    assert found.bars.is_empty()
    assert reasons(found.refused) == {
        "timestamp is not a time in ISO form (2026-11-16 09:00)": 1,
        "symbol is missing": 1,
    }


def test_a_file_whose_times_nothing_shows_is_not_guessed_at(tmp_path: Path) -> None:
    file = write(bars_of(STOCK)[30:60], tmp_path / "bars")
    with pytest.raises(InputError, match="--bar-times start or end"):
        read_bars_of_file(file, NOW)
    assert (
        read_bars_of_file(file, NOW, "end").bars["timestamp"][0] == bars_of(STOCK)["timestamp"][30]
    )
