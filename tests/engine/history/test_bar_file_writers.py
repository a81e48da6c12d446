"""The same bars as pandas, polars and DuckDB write them: any form, any order, one frame."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl
from hypothesis import event, given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.history.bar_file import COLUMNS, scan_bar_file
from engine.market.symbols import parse
from tests.databases import LONG
from tests.engine.history.bar_files import CSAT, DAY, EXPIRY, FIRST_OF_YEAR, as_read, bars_of

SESSIONS = [
    ("A01612", DAY),
    ("A01612", CSAT),
    ("A01609", EXPIRY),
    ("A01_FRONT", FIRST_OF_YEAR),
    ("005930", DAY),
    ("0001A0", CSAT),
    ("005930", date(2016, 7, 29)),
]


def with_duckdb(frame: pl.DataFrame, file: Path, options: str) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'Asia/Seoul'")
        connection.register("bars", frame.to_arrow())
        connection.execute(f"COPY bars TO '{file}' ({options})")


WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "polars.parquet": lambda frame, file: frame.write_parquet(file),
    "pandas.parquet": lambda frame, file: frame.to_pandas().to_parquet(file),
    "pandas_index.parquet": lambda frame, file: (
        frame.to_pandas().set_index("timestamp").to_parquet(file)
    ),
    "duckdb.parquet": lambda frame, file: with_duckdb(frame, file, "FORMAT parquet"),
    "polars.csv": lambda frame, file: frame.write_csv(file),
    "pandas.csv": lambda frame, file: frame.to_pandas().to_csv(file),
    "pandas_index.csv": lambda frame, file: frame.to_pandas().set_index("timestamp").to_csv(file),
    "excel.csv": lambda frame, file: frame.to_pandas().to_csv(file, index=False, encoding="cp949"),
    "duckdb.csv": lambda frame, file: with_duckdb(frame, file, "FORMAT csv, HEADER"),
    "duckdb.tsv": lambda frame, file: with_duckdb(frame, file, "FORMAT csv, HEADER, DELIM '\t'"),
}
ZONES = [None, "Asia/Seoul", "UTC", "America/New_York"]


@st.composite
def labels_and_stamps(draw: st.DrawFn) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Draw bars with gaps, with labels and with stamps, in which a first and a last minute is."""
    labels, stamps = [], []
    for symbol, day in draw(st.lists(st.sampled_from(SESSIONS), min_size=1, unique=True)):
        session, ends = bars_of(symbol, day), bars_of(symbol, day, ends=True)
        drawn = draw(st.sets(st.integers(0, session.height - 1), max_size=20))
        rows = sorted({0, session.height - 1, session.height - 2, *drawn})
        labels.append(session[rows])
        stamps.append(ends[rows])
    return pl.concat(labels), pl.concat(stamps)


@settings(max_examples=150 if LONG else 60, deadline=None)
@given(
    bars=labels_and_stamps(),
    ends=st.booleans(),
    zone=st.sampled_from(ZONES),
    writer=st.sampled_from(sorted(WRITERS)),
    seed=st.integers(0, 99),
)
def test_the_same_bars_are_read_alike_whoever_wrote_them(
    bars: tuple[pl.DataFrame, pl.DataFrame], ends: bool, zone: str | None, writer: str, seed: int
) -> None:
    labels, stamps = bars
    frame = (stamps if ends else labels).sample(fraction=1, shuffle=True, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / writer
        WRITERS[writer](in_zone(frame, zone), file)
        assert scan_bar_file(file).collect().equals(as_read(labels))


def in_zone(frame: pl.DataFrame, zone: str | None) -> pl.DataFrame:
    if zone is None:
        return frame
    time = pl.col("timestamp").dt.replace_time_zone("Asia/Seoul")
    return frame.with_columns(time.dt.convert_time_zone(zone))


BARS = pl.concat(bars_of("A01612", day)[[0, 1, 2, 50, 51, -2, -1]] for day in (DAY, CSAT))
NUMBER = (
    st.text(max_size=8)
    | st.floats().map(str)
    | st.integers().map(str)
    | st.floats(900, 1100).map("{:.2f}".format)
)
VALUES = dict.fromkeys(COLUMNS, NUMBER) | {
    "symbol": st.text(max_size=8) | st.sampled_from(["005930", "A01703", "A01", "5930", "A01612"]),
    "timestamp": st.text(max_size=20)
    | st.datetimes(datetime(2026, 11, 15), datetime(2026, 11, 21)).map(str)
    | st.integers(0, 24 * 60 - 1).map(lambda n: f"2026-11-16 {n // 60:02d}:{n % 60:02d}"),
}
MEANINGS: dict[str, Callable[[str], object]] = dict.fromkeys(COLUMNS, float) | {
    "symbol": lambda text: parse(text).code,
    "timestamp": lambda text: datetime.fromisoformat(text.strip()),
}


@settings(max_examples=300 if LONG else 100, deadline=None)
@given(column=st.sampled_from(COLUMNS), row=st.integers(0, BARS.height - 1), data=st.data())
def test_a_value_that_was_changed_is_refused_or_read_as_what_it_says(
    column: str, row: int, data: st.DataObject
) -> None:
    """One value of a file becomes any other text; the other bars are read as before, or none."""
    value = data.draw(VALUES[column])
    changed = pl.int_range(pl.len()) == row
    texts = BARS.select(pl.all().cast(pl.String))
    texts = texts.with_columns(pl.when(changed).then(pl.lit(value)).otherwise(column).alias(column))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bars.csv"
        texts.write_csv(file)
        try:
            found = scan_bar_file(file).collect()
        except InputError:
            event("refused")
            return
    others = BARS.filter(~changed)
    extra = found.join(others, on=COLUMNS, how="anti")
    assert found.join(extra, on=COLUMNS, how="anti").equals(as_read(others))
    for read in extra.iter_rows(named=True):
        event("read")
        said = BARS.row(row, named=True) | {column: MEANINGS[column](value)}
        assert read == said
    assert extra.height <= 1
