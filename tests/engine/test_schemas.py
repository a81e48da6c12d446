"""A batch for the store has exactly the columns and types of its stream, or is refused."""

import polars as pl
import pyarrow as pa
import pytest

from engine.schemas import FUTURES_BARS, conform

BARS = pl.DataFrame(
    {"volume": [3, None], "symbol": ["A01612", "A01612"], "beside": [1, 2], "close": [400, 401]}
)
WANTED = pa.schema([("symbol", pa.string()), ("close", pa.float64()), ("volume", pa.int64())])


def test_conform_selects_the_columns_and_types_of_the_stream() -> None:
    batch = conform(pl.concat([BARS, BARS], rechunk=False), WANTED)
    assert isinstance(batch, pa.RecordBatch)
    assert batch.schema == WANTED
    assert batch.to_pydict() == {
        "symbol": ["A01612"] * 4,
        "close": [400.0, 401.0] * 2,
        "volume": [3, None] * 2,
    }


def test_an_empty_frame_becomes_an_empty_batch() -> None:
    frame = pl.DataFrame(schema=pl.Schema(FUTURES_BARS))
    assert conform(frame, FUTURES_BARS).equals(pa.RecordBatch.from_pylist([], FUTURES_BARS))


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError, match="volume"):
        conform(BARS.drop("volume"), WANTED)


def test_a_value_that_does_not_fit_is_an_error() -> None:
    half = BARS.with_columns(volume=pl.lit(0.5))
    with pytest.raises(pa.ArrowInvalid, match="truncated"):
        conform(half, WANTED)
