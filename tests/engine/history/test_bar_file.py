"""Files of bars: read right, or refused in one line."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from engine.errors import InputError
from engine.history.bar_file import scan_bars
from tests.paths import SHARED, needs

CASES = SHARED / "cases"
START = datetime(2026, 11, 16, 8, 45)


def bars(count: int = 3) -> pl.DataFrame:
    price = pl.Series([1000.5 + n for n in range(count)])
    return pl.DataFrame(
        {
            "symbol": ["A01612"] * count,
            "timestamp": [START + timedelta(minutes=n) for n in range(count)],
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": list(range(count)),
        }
    )


def write(frame: pl.DataFrame, file: Path, **metadata: str) -> Path:
    table = frame.to_arrow()
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return file


@pytest.mark.parametrize("zone", ["UTC", "Asia/Seoul", "America/New_York"])
def test_l16_times_with_a_zone_are_those_of_seoul(zone: str, tmp_path: Path) -> None:
    zoned = pl.col("timestamp").dt.replace_time_zone("Asia/Seoul").dt.convert_time_zone(zone)
    file = write(bars().with_columns(zoned), tmp_path / "bars.parquet")
    assert scan_bars(file).collect().equals(bars())


@pytest.mark.parametrize("kind", [pl.UInt64, pl.UInt32, pl.Float64, pl.Int32])
def test_l16_a_volume_may_be_any_number(kind: pl.DataType, tmp_path: Path) -> None:
    file = write(bars().with_columns(pl.col("volume").cast(kind)), tmp_path / "bars.parquet")
    assert scan_bars(file).collect().equals(bars())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1.5, 1e300, None])
def test_l16_a_volume_that_is_no_count_is_refused(value: float | None, tmp_path: Path) -> None:
    file = write(bars().with_columns(volume=pl.Series([1.0, value, 2.0])), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"volume is .* in row 2"):
        scan_bars(file)


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), None])
def test_l16_a_price_that_is_no_number_is_refused(value: float | None, tmp_path: Path) -> None:
    file = write(bars().with_columns(close=pl.Series([1.0, 2.0, value])), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"close is .* in row 3"):
        scan_bars(file)


@needs(CASES / "volume_nan.parquet", CASES / "volume_uint64.parquet")
@pytest.mark.parametrize("name", ["volume_nan.parquet", "volume_uint64.parquet"])
def test_l16_the_files_that_ended_in_a_traceback(name: str) -> None:
    with pytest.raises(InputError, match=r"volume is (?:NaN|nan|18446744073709551615) in row"):
        scan_bars(CASES / name)


def test_t5_a_file_that_says_its_times_are_ends_is_read_so(tmp_path: Path) -> None:
    ends = bars().with_columns(pl.col("timestamp").dt.offset_by("1m"))
    auction = ends.tail(1).with_columns(timestamp=pl.lit(datetime(2026, 11, 16, 15, 45)))
    file = write(
        pl.concat([ends, auction]), tmp_path / "b.parquet", **{"krt.stamps": "end of minute"}
    )
    labels = scan_bars(file).collect()["timestamp"].to_list()
    assert labels == [*bars()["timestamp"], datetime(2026, 11, 16, 15, 45)]
