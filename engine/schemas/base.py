"""The types of columns, and how a frame becomes a batch of a schema."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl
import pyarrow as pa

TIME = pa.timestamp("us")
POSTGRES_TYPES = {  # the types that a column of a table may have
    pa.float64(): "double precision",
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    TIME: "timestamp without time zone",
}


def conform(frame: pl.DataFrame, schema: pa.Schema) -> pa.RecordBatch:
    """Return the frame's columns in the order and types of a stream, as one Arrow batch.

    Raises pyarrow.ArrowInvalid where a value does not fit its type (polars raises
    ColumnNotFoundError where a column is missing): both are mistakes of ours, not of the data.
    """
    arrays = (frame[field.name].to_arrow() for field in schema)
    cast = [a if a.type == f.type else a.cast(f.type) for a, f in zip(arrays, schema, strict=True)]
    return pa.RecordBatch.from_arrays(cast, schema=schema)


def one_frame(batches: Iterable[pa.RecordBatch]) -> pl.DataFrame:
    """Return batches of one schema as a frame: put together first, for many are slow to read."""
    table = pa.Table.from_batches(batches).combine_chunks()
    return pl.DataFrame(table.to_batches()[0] if table.num_rows else table)
