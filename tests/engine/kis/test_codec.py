"""No input raises an error, and what cannot be read becomes null and never a number."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import KisError
from engine.kis import codec
from engine.kis.answer import read_body
from engine.kis.transport import Reply
from engine.schemas import REJECTED_ROWS

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)

READABLE = {
    "1": 1.0,
    "0": 0.0,
    "-0.0000": 0.0,
    "0012": 12.0,
    "+1.5": 1.5,
    ".5": 0.5,
    "5.": 5.0,
    "  359.60": 359.6,
    "359.60  ": 359.6,
    "9999.99": 9999.99,
    "-12.5": -12.5,
    "7000000": 7000000.0,
    "00000000000000123": 123.0,
}
UNREADABLE = [
    "",
    " ",
    "-",
    "+",
    ".",
    "--1",
    "1-",
    "1.2.3",
    "1,234",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "1e5",
    "1E5",
    "1_000",
    "0x10",
    "３５９",
    "１",
    "1 2",
    "12a",
    "null",
    "None",
    "true",
    "½",
    "²",
    "٣",
    "9" * 18,
    "1" * 400,
    "1\x00",
    "\x00",
    "1.2" + "3" * 40,
]


def numbers(*texts: Any) -> list[float | None]:
    frame = codec.columns([{"x": text} for text in texts], ["x"])
    return frame.select(codec.number("x"))["x"].to_list()


def test_numbers_are_read_as_kis_writes_them() -> None:
    assert numbers(*READABLE) == list(READABLE.values())


@pytest.mark.parametrize("text", UNREADABLE)
def test_text_that_is_not_a_number_is_null(text: str) -> None:
    frame = codec.columns([{"x": text}], ["x"])
    assert frame.select(codec.number("x"), codec.whole("x").alias("y")).row(0) == (None, None)
    assert codec.value({"x": text}, "x") is None


@pytest.mark.parametrize("text", ["1.0", "1.5", ".5", "1e3"])
def test_a_volume_is_whole(text: str) -> None:
    assert codec.columns([{"x": text}], ["x"]).select(codec.whole("x")).item() is None


def test_single_values_are_read_like_columns() -> None:
    for text, expected in READABLE.items():
        assert codec.value({"x": text}, "x") == expected
    for odd in (None, 5, 1.5, True, [], {}):
        assert codec.value({"x": odd}, "x") is None


@pytest.mark.parametrize("odd", [None, True, [], ["1"], {}, {"a": 1}, [[1]], "x"])
def test_a_value_of_the_wrong_type_is_null_and_spares_the_rest(odd: object) -> None:
    assert numbers("1.5", odd, "2.5") == [1.5, None, 2.5]


def test_a_json_number_is_a_number() -> None:
    assert numbers(1.5, 3, "2") == [1.5, 3.0, 2.0]


@pytest.mark.parametrize("odd", [None, 5, "x", [], [1], True, {}])
def test_a_row_that_is_not_an_object_is_a_row_of_nulls(odd: object) -> None:
    frame = codec.columns([{"x": "1"}, odd, {"x": "2"}], ["x"])
    assert frame["x"].to_list() == ["1", None, "2"]
    assert frame[codec.ROW].to_list() == [0, 1, 2]


@given(st.lists(JSON, max_size=6), st.lists(st.sampled_from("abc"), min_size=1, unique=True))
@example([{"a": 2**64 - 1}, {"a": "1"}], ["a"])
@example([{"a": [1, "x"]}, {"a": {"y": []}}], ["a", "b"])
def test_any_json_becomes_columns(rows: list[Any], fields: list[str]) -> None:
    frame = codec.columns(rows, fields)
    assert len(frame) == len(rows)
    assert frame.columns == [codec.ROW, *fields]
    parsed = frame.select(
        *(codec.number(f).alias(f"n{f}") for f in fields),
        *(codec.whole(f).alias(f"w{f}") for f in fields),
        *(codec.label(f, date(2026, 11, 20)).alias(f"l{f}") for f in fields),
        *(codec.day(f).alias(f"d{f}") for f in fields),
    )
    for name in (f"n{f}" for f in fields):
        assert not any(v is not None and not math.isfinite(v) for v in parsed[name])


@given(st.text(max_size=12) | st.from_regex(r"[+-]?[0-9]{0,20}[.]?[0-9]{0,20}", fullmatch=True))
def test_a_number_that_is_read_is_the_number_that_is_written(text: str) -> None:
    (read,) = numbers(text)
    if read is not None:
        assert text.strip().isascii()
        assert read == float(text)
        assert codec.value({"x": text}, "x") == read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("084500", datetime(2026, 11, 20, 8, 45)),
        (" 154500", datetime(2026, 11, 20, 15, 45)),
        ("141430", datetime(2026, 11, 20, 14, 14, 30)),
        ("235900", datetime(2026, 11, 20, 23, 59)),
        ("240000", datetime(2026, 11, 21)),
        ("250100", datetime(2026, 11, 21, 1, 1)),
        ("300000", datetime(2026, 11, 21, 6)),
        ("310000", None),
        ("246000", None),
        ("084560", None),
        ("84500", None),
        ("0845", None),
        ("08:45:00", None),
        ("", None),
        ("-84500", None),
        ("０８４５００", None),
    ],
)
def test_hours_of_a_night_go_on_past_midnight(text: str, expected: datetime | None) -> None:
    frame = codec.columns([{"x": text}], ["x"])
    assert frame.select(codec.label("x", date(2026, 11, 20))).item() == expected


@pytest.mark.parametrize(
    "text", ["20261301", "20260230", "2026112", "202611200", "", "２０２６１１２０"]
)
def test_text_that_is_not_a_date_is_null(text: str) -> None:
    frame = codec.columns([{"x": text}], ["x"])
    assert frame.select(codec.day("x")).item() is None


def test_the_first_reason_counts_and_null_is_a_reason() -> None:
    frame = pl.DataFrame({"a": [1, 2, None], "b": [5, 0, 5]})
    checks = ((pl.col("a") > 1, "a"), (pl.col("b") < 1, "b"))
    assert frame.select(codec.first_reason(*checks))[codec.REASON].to_list() == [None, "a", "a"]


@given(JSON)
def test_a_rejected_row_is_kept_as_it_came(row: Any) -> None:
    marked = codec.columns([row], ["x"]).with_columns(pl.lit("odd").alias(codec.REASON))
    source = codec.Source("TR", "A01612", datetime(2026, 11, 20))
    batch = codec.rejected_rows(marked, [row], source)
    assert batch.schema == REJECTED_ROWS
    assert orjson.loads(batch["raw"][0].as_py()) == row
    assert "\x00" not in batch["raw"][0].as_py()  # Postgres has no such character


@given(st.binary(max_size=40) | JSON.map(orjson.dumps), st.sampled_from([200, 403, 404, 500, 503]))
@example(b'{"rt_cd":0}', 200)
@example(b'{"rt_cd":"1","msg_cd":["x"],"msg1":{}}', 200)
def test_any_body_is_an_answer_or_a_kis_error(body: bytes, status: int) -> None:
    with suppress(KisError):
        assert str(read_body(Reply(status, body))["rt_cd"]) == "0"
