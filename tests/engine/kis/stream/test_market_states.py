"""Frames of H0STMKO0 to events: begin, end, auction; nothing raises, nothing gets lost."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kis.stream.market_states import FIELDS, MARKET_STATES, MarketStates, is_state_frame
from engine.kis.stream.registrations import StreamRegistration
from tests.paths import KIS_API, require

AT = datetime(2026, 11, 20, 10, 20)
STOCK, OTHER = "005930", "000660"
REGISTERED = {StreamRegistration(MARKET_STATES, code) for code in (STOCK, OTHER)}
Row = tuple[str, str, float, float | None, str | None]


def record(symbol: str = STOCK, code: str = "", halted: str = "N", interrupted: str = "N") -> str:
    values = {
        "MKSC_SHRN_ISCD": symbol,
        "TRHT_YN": halted,
        "MKOP_CLS_CODE": code,
        "VI_CLS_CODE": interrupted,
    }
    return "^".join(values.get(field, "") for field in FIELDS)


def frame(*records: str) -> str:
    return f"0|{MARKET_STATES}|{len(records):03d}|" + "^".join(records)


def states() -> MarketStates:
    return MarketStates({STOCK: "derivatives"})


def told(
    day: MarketStates, *frames: tuple[float, str], ahead: float = 0.0
) -> tuple[list[Row], pa.RecordBatch]:
    """Return name, kind, begin and end (minutes after AT), code of what the frames changed."""
    received = [(AT + timedelta(minutes=minute), text) for minute, text in frames]
    events, rejected = day.read(received, REGISTERED, timedelta(minutes=ahead))
    rows = [
        (
            row["symbol"],
            row["kind"],
            (row["started_at"] - AT) / timedelta(minutes=1),
            row["ended_at"] and (row["ended_at"] - AT) / timedelta(minutes=1),
            row["code"],
        )
        for row in events.to_pylist()
    ]
    return rows, rejected


def test_the_fields_are_those_of_kis() -> None:
    table = json.loads((require(KIS_API) / f"{MARKET_STATES}.json").read_text("utf-8"))
    assert [*FIELDS] == [field[0] for field in table["response"]]


def test_a_breaker_stops_the_stock_and_the_market_that_it_is_the_witness_of() -> None:
    day = states()
    begun, _ = told(day, (0, frame(record(code="174"))))
    assert begun == [
        (STOCK, "circuit_breaker", 0, None, "174"),
        ("derivatives", "circuit_breaker", 0, None, "174"),
    ]
    assert day.is_stopped({"derivatives"}, AT + timedelta(minutes=19))
    assert not day.is_stopped({OTHER}, AT)
    lifted, _ = told(day, (20, frame(record(code="175"))))
    assert [row[2:] for row in lifted] == [(0, 20, "174")] * 2
    auction, _ = told(day, (20.1, frame(record(code="184"))), (30, frame(record(code="185"))))
    assert [row[2:] for row in auction] == [(0, 30, "174")] * 2
    again, _ = told(day, (90, frame(record(code="174"))))
    assert [row[2:] for row in again] == [(90, None, "174")] * 2


def test_one_stock_is_halted_and_interrupted_alone_and_a_sidecar_stops_nothing() -> None:
    day = states()
    rows, rejected = told(
        day,
        (0, frame(record(code="112"), record(OTHER, code="112"))),
        (1, frame(record(OTHER, halted="Y"))),
        (2, frame(record(OTHER, halted="Y", interrupted="Y"))),
        (3, frame(record(code="387"))),
        (4, frame(record(OTHER))),
        (8, frame(record(code="388"))),
    )
    assert rejected.num_rows == 0
    assert rows == [
        (OTHER, "halt", 1, 4, None),
        (OTHER, "vi", 2, 4, None),
        (STOCK, "sidecar", 3, 8, "387"),
        ("derivatives", "sidecar", 3, 8, "387"),
    ]
    told(day, (20, frame(record(OTHER, halted="Y"))))
    assert day.is_stopped({OTHER}, AT + timedelta(minutes=21))
    assert not day.is_stopped({STOCK, "derivatives"}, AT + timedelta(minutes=21))


def test_times_are_those_of_kis_clock_and_fields_that_say_nothing_end_nothing() -> None:
    day = states()
    told(day, (5, frame(record(OTHER, halted="Y"))), ahead=3)
    rows, _ = told(day, (6, frame(record(OTHER, code="F01", halted="", interrupted=""))), ahead=3)
    assert rows == []
    rows, _ = told(day, (7, frame(record(OTHER))), ahead=3)
    assert rows == [(OTHER, "halt", 2, 4, None)]


@pytest.mark.parametrize("end", ["175", "182", "185", "388", "398"])
def test_an_end_without_a_begin_is_no_event(end: str) -> None:
    assert told(states(), (0, frame(record(code=end)))) == ([], told(states())[1])


def test_records_may_grow_and_what_cannot_be_read_is_kept() -> None:
    wide = frame(record(OTHER, halted="Y") + "^new^fields")
    rows, rejected = told(states(), (0, wide), (1, frame(record("000020", halted="Y"))))
    assert [row[:2] for row in rows] == [(OTHER, "halt")]
    assert rejected["reason"].to_pylist() == ["a symbol that nobody registered"]
    torn = frame(record())[:-20]
    _, rejected = told(states(), (0, torn))
    assert (rejected["reason"].to_pylist(), json.loads(rejected["raw"][0].as_py())) == (
        ["torn"],
        torn,
    )


@given(st.text() | st.text("0123456789^|YN").map(lambda text: f"0|{MARKET_STATES}|{text}"))
def test_no_text_raises_and_none_is_lost(text: str) -> None:
    rows, rejected = told(states(), (0, text))
    assert is_state_frame(text) == text.startswith((f"0|{MARKET_STATES}|", f"1|{MARKET_STATES}|"))
    assert rows == [] or rejected.num_rows == 0
