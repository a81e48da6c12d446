"""Frames of H0STANC0 and H0UPPGM0: every record in its place, and no text that raises an error."""

from __future__ import annotations

from datetime import datetime, timedelta

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.told_once import EXPECTATIONS, FIELDS, PROGRAMMES, read_told
from engine.simulator.stream.told_once import EXPECTATION_FIELDS, PROGRAMME_RECORD
from tests.paths import KIS_API, needs

NOW = datetime(2026, 11, 18, 8, 59, 50)
REGISTERED = {
    StreamRegistration(EXPECTATIONS, "005930"),
    StreamRegistration(PROGRAMMES, "0001"),
    StreamRegistration(PROGRAMMES, "1001"),
}
NOTHING = timedelta()


def record(tr_id: str, **values: str) -> str:
    fields = dict.fromkeys(FIELDS[tr_id], "1")
    key = "MKSC_SHRN_ISCD" if tr_id == EXPECTATIONS else "BSTP_CLS_CODE"
    code = "005930" if tr_id == EXPECTATIONS else "0001"
    hour = "STCK_CNTG_HOUR" if tr_id == EXPECTATIONS else "BSOP_HOUR"
    assert set(values) <= set(fields)
    return "^".join((fields | {key: code, hour: "085945"} | values).values())


def frame(tr_id: str, *records: str) -> str:
    return f"0|{tr_id}|{len(records):03d}|{'^'.join(records)}"


def read(*texts: str) -> tuple[pl.DataFrame, pl.DataFrame, list[str]]:
    expected, programmes, rejected = read_told([(NOW, text) for text in texts], REGISTERED, NOTHING)
    return pl.DataFrame(expected), pl.DataFrame(programmes), rejected["reason"].to_pylist()


@needs(KIS_API)
@pytest.mark.parametrize("tr_id", FIELDS)
def test_fields_are_those_of_kis_in_its_order(tr_id: str) -> None:
    table = orjson.loads((KIS_API / f"{tr_id}.json").read_bytes())
    official = [row[0] for row in table["response"]]
    assert official == FIELDS[tr_id]
    simulated = EXPECTATION_FIELDS if tr_id == EXPECTATIONS else list(PROGRAMME_RECORD)
    assert simulated == official


def test_all_records_of_a_frame_are_read_and_those_of_others_rejected() -> None:
    later = record(EXPECTATIONS, STCK_CNTG_HOUR="085949", STCK_PRPR="0", CNTG_VOL="0")
    foreign = record(EXPECTATIONS, MKSC_SHRN_ISCD="000660")
    first = record(EXPECTATIONS, STCK_PRPR="71900", CNTG_VOL="1200")
    expected, programmes, rejected = read(frame(EXPECTATIONS, first, later, foreign))
    assert programmes.is_empty()
    assert rejected == ["a symbol that nobody registered"]
    assert expected.select("timestamp", "said_at", "price", "size", "source").rows() == [
        (
            NOW.replace(hour=9, minute=0, second=0),
            NOW.replace(second=45),
            71_900,
            1_200,
            "H0STANC0",
        ),
        # no orders meet
        (NOW.replace(hour=9, minute=0, second=0), NOW.replace(second=49), None, 0, "H0STANC0"),
    ]


@pytest.mark.parametrize(
    ("hour", "minute"), [("085900", "08:59"), ("085901", "09:00"), ("085950", "09:00")]
)
def test_sums_belong_to_the_minute_that_ends_at_or_after_them(hour: str, minute: str) -> None:
    _, programmes, rejected = read(frame(PROGRAMMES, record(PROGRAMMES, BSOP_HOUR=hour)))
    assert rejected == []
    assert programmes["timestamp"].dt.strftime("%H:%M").to_list() == [minute]
    assert programmes["symbol"].to_list() == ["KOSPI"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (frame(PROGRAMMES, record(PROGRAMMES, BSOP_HOUR="85")), "unreadable time"),
        (frame(PROGRAMMES, record(PROGRAMMES, BSOP_HOUR="100000")), "a time that has not come yet"),
        (frame(PROGRAMMES, record(PROGRAMMES, WHOL_NTBY_TR_PBMN="")), "unreadable value"),
        (frame(EXPECTATIONS, record(EXPECTATIONS, STCK_PRPR="nan")), "unreadable value"),
        (f"0|{PROGRAMMES}|001|0001^085945^1", "torn"),
        (f"1|{EXPECTATIONS}|001|{record(EXPECTATIONS)}", "torn"),  # encrypted, which it never is
    ],
)
def test_what_cannot_be_used_is_kept_aside_with_the_reason(text: str, reason: str) -> None:
    expected, programmes, rejected = read(text)
    assert expected.is_empty()
    assert programmes.is_empty()
    assert rejected == [reason]


def test_a_volume_that_cannot_be_read_costs_no_amount() -> None:
    _, programmes, rejected = read(frame(PROGRAMMES, record(PROGRAMMES, WHOL_NTBY_QTY="-")))
    assert rejected == []
    assert programmes.select("net", "net_volume").row(0) == (1, None)


@given(st.sampled_from(sorted(FIELDS)), st.text(alphabet="0123456789^|.-A\0가", max_size=300))
def test_no_text_raises_an_error(tr_id: str, body: str) -> None:
    expected, programmes, _ = read(f"0|{tr_id}|{body}", f"1|{tr_id}|001|{body}")
    assert expected.height + programmes.height <= 999
