"""Files of bars: read right, or refused in one line with a table of what is wrong."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from engine.errors import FileError, InputError
from engine.history.bar_file import scan_bar_file
from tests.engine.history.bar_files import FUTURE, STOCK, as_read, bars_of, write
from tests.paths import CASES, DIRTY_STOCKS_FILE, FUTURES_FILE, STOCKS_FILE, needs

BARS = bars_of(FUTURE).head(3)
CSV = "symbol,timestamp,open,high,low,close,volume\n"
ROW = "A01612,{},1000.5,1000.5,1000.5,1000.5,7\n"


def read(file: Path, **options: Any) -> pl.DataFrame:
    return scan_bar_file(file, **options).collect()


def csv(tmp_path: Path, *rows: str, header: str = CSV, encoding: str = "utf-8") -> Path:
    file = tmp_path / "bars.csv"
    file.write_bytes((header + "".join(rows)).encode(encoding))
    return file


def refusal(file: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        scan_bar_file(file, **options)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    return str(caught.value)


def reasons(file: Path, **options: Any) -> dict[str, int]:
    with pytest.raises(FileError) as caught:
        scan_bar_file(file, **options)
    return dict(caught.value.findings.select("reason", "rows").iter_rows())


def test_a_name_may_have_signs_that_patterns_have(tmp_path: Path) -> None:
    """Polars would take [2] for the sign 2, and read the other file."""
    write(BARS.head(1), tmp_path / "bars2.parquet")
    file = write(BARS, tmp_path / "bars[2].parquet")
    assert read(file).height == BARS.height


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York"])
def test_times_with_a_zone_are_those_of_seoul(zone: str, tmp_path: Path) -> None:
    zoned = pl.col("timestamp").dt.replace_time_zone("Asia/Seoul").dt.convert_time_zone(zone)
    assert read(write(BARS.with_columns(zoned), tmp_path / "bars.parquet")).equals(BARS)


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_times_may_have_any_unit(unit: Any, tmp_path: Path) -> None:
    cast = pl.col("timestamp").dt.cast_time_unit(unit)
    assert read(write(BARS.with_columns(cast), tmp_path / "bars.parquet")).equals(BARS)


@pytest.mark.parametrize("kind", ["TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS", "TIMESTAMPTZ"])
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_times_of_duckdb(kind: str, form: str, tmp_path: Path) -> None:
    file = tmp_path / f"bars.{form}"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Seoul'")
        connection.register("bars", BARS.to_arrow())
        columns = f"symbol, timestamp::{kind} AS timestamp, open, high, low, close, volume"
        connection.execute(f"COPY (SELECT {columns} FROM bars) TO '{file}'")
    assert read(file).equals(BARS)


@pytest.mark.parametrize("kind", [pl.UInt64, pl.UInt32, pl.Float64, pl.Int32, pl.Decimal(18, 2)])
def test_a_volume_may_be_any_number(kind: pl.DataType, tmp_path: Path) -> None:
    file = write(BARS.with_columns(pl.col("volume").cast(kind)), tmp_path / "bars.parquet")
    assert read(file).equals(BARS)


@pytest.mark.parametrize("kind", [pl.Float32, pl.Decimal(38, 4), pl.Decimal(12, 2)])
def test_prices_with_fewer_digits_are_the_decimals_that_they_stand_for(
    kind: pl.DataType, tmp_path: Path
) -> None:
    cast = pl.col("open", "high", "low", "close").cast(kind)
    assert read(write(BARS.with_columns(cast), tmp_path / "bars.parquet")).equals(BARS)


@pytest.mark.parametrize("kind", [pl.Categorical(), pl.Enum([FUTURE, STOCK]), pl.String()])
def test_symbols_may_be_categories(kind: pl.DataType, tmp_path: Path) -> None:
    file = tmp_path / "bars.parquet"
    BARS.with_columns(pl.col("symbol").cast(kind)).write_parquet(file)
    assert read(file).equals(BARS)


def test_the_index_of_pandas_is_the_time(tmp_path: Path) -> None:
    frame = BARS.to_pandas()
    for name in ("timestamp", "when", None):
        indexed = frame.set_index("timestamp")
        indexed.index.name = name
        indexed.to_parquet(tmp_path / "bars.parquet")
        assert read(tmp_path / "bars.parquet").equals(BARS)
    indexed.to_csv(tmp_path / "bars.csv")
    assert read(tmp_path / "bars.csv").equals(BARS)
    frame.to_csv(tmp_path / "bars.csv")  # the numbers of the rows are not times
    assert read(tmp_path / "bars.csv").equals(BARS)
    frame.set_index(["symbol", "timestamp"]).to_parquet(tmp_path / "bars.parquet")
    assert read(tmp_path / "bars.parquet").equals(BARS)


def test_rows_in_any_order_are_sorted(tmp_path: Path) -> None:
    both = pl.concat([bars_of(STOCK), bars_of(FUTURE)])
    file = write(both.sample(fraction=1, shuffle=True, seed=1), tmp_path / "bars.parquet")
    assert read(file).equals(as_read(both))


@pytest.mark.parametrize("text", ["A01", "A01_FRONT", "101_FRONT"])
def test_a_product_means_its_front_month(text: str, tmp_path: Path) -> None:
    file = write(BARS.with_columns(symbol=pl.lit(text)), tmp_path / "bars.parquet")
    assert set(read(file)["symbol"]) == {"A01_FRONT"}


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-16 08:45",
        "2026-11-16 8:45",
        " 2026-11-16T08:45:00.000000 ",
        "2026-11-16T08:45:00+09:00",
        "2026-11-16T08:45:00.000000+0900",
        "2026-11-15 23:45:00+00",
        "2026-11-15T23:45:00Z",
        "2026-11-15 18:45:00-05:00",
    ],
)
def test_times_as_text_are_in_iso_form(text: str, tmp_path: Path) -> None:
    found = read(csv(tmp_path, ROW.format(text)))
    assert found["timestamp"].to_list() == [datetime(2026, 11, 16, 8, 45)]
    frame = BARS.head(1).with_columns(timestamp=pl.lit(text))
    assert read(write(frame, tmp_path / "text.parquet"))["timestamp"].equals(found["timestamp"])


@pytest.mark.parametrize(
    "text", ["16.11.2026 08:45", "2026/11/16 08:45", "20261116084500", "2026-02-30 08:45", "noon"]
)
def test_other_times_as_text_are_refused(text: str, tmp_path: Path) -> None:
    says = refusal(csv(tmp_path, ROW.format("2026-11-16 08:46"), ROW.format(text)))
    assert f"timestamp is {text}" in says
    assert "in line 3" in says


def test_times_with_and_without_a_zone_in_one_file_are_refused(tmp_path: Path) -> None:
    file = csv(tmp_path, ROW.format("2026-11-16 08:45+09:00"), ROW.format("2026-11-16 08:46"))
    assert "no zone, where others have one" in refusal(file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_of_korean_excel(encoding: str, separator: str, tmp_path: Path) -> None:
    header = "종목코드,일시,시가,고가,저가,종가,거래량\r\n"
    rows = ["005930,2026-11-16 9:00,71000,71100,70900,71000,1200\r\n", ",,,,,,\r\n"]
    told = [line.replace(",", separator) for line in (header, *rows)]
    found = read(csv(tmp_path, *told[1:], header=told[0], encoding=encoding))
    start = datetime(2026, 11, 16, 9)
    assert found.rows() == [("005930", start, 71000.0, 71100.0, 70900.0, 71000.0, 1200)]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('A01612,{},"1,000.5",1000.5,1000.5,1000.5,7\n', "open has a thousands separator"),
        ('A01612,{},1000.5,1000.5,1000.5,1000.5,"7,000"\n', "volume has a thousands separator"),
        ("A01612,{},1,000.5,1000.5,1000.5,1000.5,7\n", "is a comma inside a number"),
        ("A01612,{},1000.5,1000.5,1000.5,1000.5,7주\n", "volume is not a number: volume is 7주"),
        ("A01612,{},1000.5,1000.5,1000.5,,7\n", "close is missing: close is empty"),
        ("A01612,{},1000.5,1000.5,1000.5,nan,7\n", "close is not a number"),
        ("A01612,{},1000.5,inf,1000.5,1000.5,7\n", "high is not a number"),
        ("A01612,{},1000.5,1000.5,1000.5,1000.5,-7\n", "volume is not a count"),
        ("5930,{},1000.5,1000.5,1000.5,1000.5,7\n", "has lost the zeros at its beginning"),
        ("SAMSUNG,{},1000.5,1000.5,1000.5,1000.5,7\n", "an unknown symbol: symbol is SAMSUNG"),
        ("202612_KOSPI200,{},1000.5,1000.5,1000.5,1000.5,7\n", "an option chain has no bars"),
        (",{},1000.5,1000.5,1000.5,1000.5,7\n", "symbol is missing"),
    ],
)
def test_text_that_is_no_value_is_refused(row: str, says: str, tmp_path: Path) -> None:
    file = csv(tmp_path, ROW.format("2026-11-16 08:45"), row.format("2026-11-16 08:46"))
    said = refusal(file)
    assert says in said
    assert "in line 3" in said or "comma" in says


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has no bars"),
        (CSV.encode(), "has no bars"),
        (b"time,price\n1,2\n", "lacks symbol, timestamp, open"),
        (CSV.replace("open", "Close").encode() + b"1,2,3,4,5,6,7\n", "lacks open"),
        (b"\xff\xff\xfe\x81", "not text in UTF-8 or cp949"),
        ((CSV.strip() + ",Close\n").encode() + b"1,2,3,4,5,6,7,8\n", "several columns for close"),
    ],
)
def test_a_file_that_is_no_table_of_bars_is_refused(
    content: bytes, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "bars.csv"
    file.write_bytes(content)
    assert says in refusal(file)


def test_a_folder_and_a_spreadsheet_are_refused(tmp_path: Path) -> None:
    assert "is a folder: name one file" in refusal(tmp_path)
    spreadsheet = tmp_path / "bars.xlsx"
    spreadsheet.write_bytes(b"PK\3\4" + bytes(100))
    assert "CSV has one of the endings .csv, .tsv, .txt" in refusal(spreadsheet)


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pl.col("timestamp").dt.date(), "timestamp is Date"),
        (pl.col("timestamp").dt.epoch("ns"), "timestamp is Int64"),
        (pl.col("open").cast(pl.String), "open is String"),
        (pl.lit(5930).alias("symbol"), "symbol is Int32; it has to be text: the zeros"),
        (pl.lit(value=True).alias("volume"), "volume is Boolean"),
    ],
)
def test_a_column_of_another_type_is_refused(column: pl.Expr, says: str, tmp_path: Path) -> None:
    assert says in refusal(write(BARS.with_columns(column), tmp_path / "bars.parquet"))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1.5, 1e300, None])
def test_a_volume_that_is_no_count_is_refused(value: float | None, tmp_path: Path) -> None:
    file = write(BARS.with_columns(volume=pl.Series([1.0, value, 2.0])), tmp_path / "b.parquet")
    assert "volume is " in refusal(file)
    assert "in row 2" in refusal(file)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), None])
def test_a_price_that_is_no_number_is_refused(value: float | None, tmp_path: Path) -> None:
    close = pl.Series([1000.55, 1000.6, value])
    file = write(BARS.with_columns(close=close), tmp_path / "b.parquet")
    assert "close is " in refusal(file)
    assert "in row 3" in refusal(file)


@needs(CASES / "volume_nan.parquet", CASES / "volume_uint64.parquet")
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("volume_nan.parquet", "volume is not a number: volume is nan"),
        ("volume_uint64.parquet", "volume is not a count: volume is 18446744073709551615"),
    ],
)
def test_the_files_that_ended_in_a_traceback(name: str, says: str) -> None:
    assert says in refusal(CASES / name)


def test_a_decimal_is_the_number_that_it_says(tmp_path: Path) -> None:
    prices = [Decimal("1000.05"), Decimal("1000.10"), Decimal("1000.15")]
    low = pl.Series(prices, dtype=pl.Decimal(18, 2))
    file = write(BARS.with_columns(low=low, open=low, close=low), tmp_path / "bars.parquet")
    assert read(file)["low"].to_list() == [1000.05, 1000.1, 1000.15]


def test_prices_that_no_market_can_have_had_are_a_table_of_findings(tmp_path: Path) -> None:
    at = pl.int_range(pl.len())
    odd = bars_of(FUTURE).with_columns(
        high=pl.when(at.is_in([4, 5])).then(1.0).otherwise("high"),
        low=pl.when(at == 7).then(2000.0).otherwise("low"),
        close=pl.when(at == 9).then(-1.0).otherwise("close"),
    )
    file = write(odd, tmp_path / "bars.parquet")
    with pytest.raises(FileError) as caught:
        scan_bar_file(file)
    found = caught.value.findings
    # Rows 5 and 6 have a low above their high, row 8 a low above all, row 10 a close below its low.
    assert found.select("reason", "rows", "first_row").rows() == [
        ("high is not the highest price", 3, 5),
        ("low is not the lowest price", 4, 5),
        ("a price is not above 0", 1, 10),
    ]
    assert "high is 1.0" in found["example"][0]
    assert "A01612 2026-11-16 08:49" in found["example"][0]
    assert "3 kinds of faults" in str(caught.value)
    # What KIS once answered is for the collector to refuse: the simulated KIS serves it.
    assert read(file, as_recorded=True)["high"].to_list() == odd["high"].to_list()


def test_minutes_before_the_first_trade_are_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = (pl.lit(0.0).alias(name) for name in ("open", "high", "low", "close"))
    empty = BARS.head(1).with_columns(*nothing, volume=pl.lit(0))
    file = write(pl.concat([empty, BARS.tail(2)], how="vertical_relaxed"), tmp_path / "b.parquet")
    assert read(file).equals(BARS.tail(2))
    assert "1 rows without price and volume are left out" in caplog.text
    assert read(file, as_recorded=True).height == 3


def test_a_minute_that_stands_there_twice_counts_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(pl.concat([BARS, BARS.head(2)]), tmp_path / "bars.parquet")
    assert read(file).equals(BARS)
    assert "2 rows say what another says" in caplog.text


def test_a_minute_that_stands_there_twice_with_other_values_is_refused(tmp_path: Path) -> None:
    other = BARS.head(1).with_columns(volume=pl.lit(99, pl.Int64))
    said = refusal(write(pl.concat([BARS, other]), tmp_path / "bars.parquet"))
    assert "a minute stands there again with other values" in said
    assert "(A01612 2026-11-16 08:45:00) in row 1, and 1 more such rows" in said


def test_rows_outside_the_session_are_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    later = BARS.tail(1).with_columns(pl.col("timestamp").dt.offset_by("10h"))
    saturday = BARS.tail(1).with_columns(pl.col("timestamp").dt.offset_by("5d"))
    file = write(pl.concat([BARS, later, saturday]), tmp_path / "bars.parquet")
    assert read(file).equals(BARS)
    assert "2 of 5 rows lie outside their session" in caplog.text
    assert read(file, as_recorded=True).height == 5


def test_a_day_that_the_calendar_does_not_know_is_refused(tmp_path: Path) -> None:
    early = BARS.tail(1).with_columns(pl.col("timestamp") - timedelta(days=365 * 20))
    file = write(pl.concat([BARS, early]), tmp_path / "bars.parquet")
    assert "a day that the calendar does not know" in refusal(file)


@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("epoch", [-(2**63) + 1, -(2**58), 2**62, 2**63 - 1])
def test_a_time_beyond_all_calendars_is_refused(
    epoch: int, unit: Any, zone: str | None, tmp_path: Path
) -> None:
    far = (
        BARS["timestamp"]
        .dt.epoch(unit)
        .to_frame()
        .with_columns(
            pl.when(pl.int_range(pl.len()) == 1)
            .then(epoch)
            .otherwise("timestamp")
            .alias("timestamp")
        )
    )
    time = far.to_series().cast(pl.Datetime(unit, zone))
    file = tmp_path / "bars.parquet"
    BARS.with_columns(timestamp=time).write_parquet(file)
    assert "a day that the calendar does not know" in refusal(file)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    """Each byte of the end of a Parquet file, where its description is, is changed in turn."""
    whole = write(BARS, tmp_path / "whole.parquet").read_bytes()
    file = tmp_path / "bars.parquet"
    for at in range(len(whole) - 400, len(whole), 3):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            found = read(file)
        except InputError:
            continue
        assert found.equals(BARS)


@needs(FUTURES_FILE, STOCKS_FILE)
def test_real_files_are_read_whole() -> None:
    futures = pl.read_parquet(FUTURES_FILE)
    assert read(FUTURES_FILE).equals(futures)
    stocks = pl.read_parquet(STOCKS_FILE)
    assert read(STOCKS_FILE, as_recorded=True).equals(stocks)
    is_bar = (pl.col("close") > 0) & ~(
        pl.col("timestamp").dt.time().is_between(pl.time(15, 20), pl.time(15, 29))
    )
    assert read(STOCKS_FILE).equals(stocks.filter(is_bar))


@needs(DIRTY_STOCKS_FILE)
def test_answers_of_two_collectors_contradict_each_other() -> None:
    found = reasons(DIRTY_STOCKS_FILE)
    dirty = pl.read_parquet(DIRTY_STOCKS_FILE)
    columns = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    once = dirty.select(columns).unique()
    assert found.keys() == {"a minute stands there again with other values"}
    assert 0 < sum(found.values()) <= 2 * (once.height - once.unique(columns[:2]).height)
    told_apart = read(DIRTY_STOCKS_FILE, besides=("asked_date", "collector"), as_recorded=True)
    assert told_apart.height == dirty.unique().height
