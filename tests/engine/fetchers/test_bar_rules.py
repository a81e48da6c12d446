"""Which rows of an answer become bars, and what becomes of the others."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fetchers.base import BarRequest
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.stock import StockBarFetcher
from engine.kis import codec
from engine.kis.answer import Answer
from engine.market.sessions import Market
from engine.schemas import conform
from tests.engine.fetchers.futures_rows import (
    FAR,
    FIELDS,
    NOW,
    labels,
    reasons,
    row,
    rows,
    session,
    split,
)
from tests.engine.kis.stub_kis import StubKis, fine, open_client


@pytest.mark.parametrize("odd", ["", "-", " ", "nan", "inf", "１.0", "1e5", "1,000", None, [], {}])
@pytest.mark.parametrize(
    ("field", "name"),
    [
        ("futs_oprc", "open"),
        ("futs_hgpr", "high"),
        ("futs_lwpr", "low"),
        ("futs_prpr", "close"),
        ("cntg_vol", "volume"),
    ],
)
def test_a_value_that_cannot_be_read_rejects_its_row(odd: object, field: str, name: str) -> None:
    answer = rows(5)
    answer[2][field] = odd
    assert reasons(answer) == {2: f"{name} cannot be read"}
    assert len(labels(answer)) == 4


@pytest.mark.parametrize("field", ["stck_bsop_date", "stck_cntg_hour", "futs_hgpr", "cntg_vol"])
def test_a_missing_field_rejects_its_row(field: str) -> None:
    answer = rows(5)
    del answer[2][field]
    assert list(reasons(answer)) == [2]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"stck_bsop_date": "2026-11-20"}, "date cannot be read"),
        ({"stck_bsop_date": "20261121"}, "another date"),
        ({"stck_cntg_hour": "10:01"}, "time cannot be read"),
        ({"stck_cntg_hour": "100130"}, "not a full minute"),
        ({"stck_cntg_hour": "084400"}, "outside the session"),
        ({"futs_oprc": "0.00"}, "price not above zero"),
        ({"futs_lwpr": "-350.00"}, "price not above zero"),
        ({"futs_hgpr": "349.95"}, "open, high, low, close differ"),
        ({"futs_lwpr": "350.05"}, "open, high, low, close differ"),
        ({"futs_prpr": "351.00"}, "open, high, low, close differ"),
        ({"cntg_vol": "-1"}, "volume below zero"),
    ],
)
def test_a_row_that_is_not_a_bar_is_rejected_with_the_reason(changed, reason: str) -> None:
    answer = rows(5)
    answer[3] |= changed
    assert reasons(answer) == {3: reason}


@pytest.mark.parametrize(
    ("label", "ok"),
    [
        ("08:44", False),
        ("08:45", True),
        ("15:34", True),
        ("15:35", False),
        ("15:44", False),
        ("15:45", True),
        ("15:46", False),
        ("16:30", False),
    ],
)
def test_only_rows_with_a_label_of_the_session_are_bars(label: str, ok: bool) -> None:
    assert bool(labels([row(label)], as_of=NOW + timedelta(days=1))) is ok


def test_an_unfinished_minute_is_neither_a_bar_nor_rejected() -> None:
    answer = rows(5, first="10:07")  # 10:05 is running, 10:06 and 10:07 are filled forward
    assert labels(answer) == ["10:04", "10:03"]
    assert reasons(answer) == {}


def test_a_minute_is_finished_only_if_it_was_when_the_question_was_sent() -> None:
    before, after = datetime(2026, 11, 20, 10, 4, 59, 999999), datetime(2026, 11, 20, 10, 5)
    assert labels([row("10:04")], as_of=before) == []
    assert labels([row("10:04")], as_of=after) == ["10:04"]


def test_a_row_of_another_date_is_rejected_at_any_hour() -> None:
    answer = [row("15:45", stck_bsop_date="20261118"), row("09:00", stck_bsop_date="20261118")]
    assert set(reasons(answer).values()) == {"another date"}


def test_rows_of_the_session_before_at_the_end_of_a_page_are_counted_and_not_rejected() -> None:
    answer = [*rows(3), *(row("15:45", stck_bsop_date="20261118") for _ in range(7))]
    assert reasons(answer) == {}
    assert split(answer).counts["of the session before"] == 7


def test_a_row_that_is_repeated_is_one_bar() -> None:
    answer = rows(5)
    answer[2:2] = [answer[2]] * 6
    assert labels(answer) == ["10:04", "10:03", "10:02", "10:01", "10:00"]
    assert reasons(answer) == {}


def test_of_two_rows_of_a_minute_the_first_counts_and_the_other_is_rejected() -> None:
    answer = rows(5)
    answer.insert(3, answer[2] | {"cntg_vol": "9"})
    assert labels(answer) == ["10:04", "10:03", "10:02", "10:01", "10:00"]
    assert split(answer).bars["volume"].to_list() == [5] * 5
    assert reasons(answer) == {3: "another row of the same minute"}


def test_a_night_has_its_own_labels_past_midnight() -> None:
    night = session(Market.NIGHT)
    hours = ("30:00", "29:59", "29:49", "24:00", "23:59", "18:00", "17:59")
    answer = [row(hour) for hour in hours]  # 05:50-06:00 is the wait for the auction
    found = split(answer, session=night, as_of=datetime(2026, 11, 22))
    assert found.bars["label"].to_list() == [
        datetime(2026, 11, 21, 6),
        datetime(2026, 11, 21, 5, 49),
        datetime(2026, 11, 21),
        datetime(2026, 11, 20, 23, 59),
        datetime(2026, 11, 20, 18),
    ]


ANY_VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["100400", "20261120", "350.00", "0", "-1", "１００", "nan", "084500"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)
NEARLY = st.fixed_dictionaries(dict.fromkeys(FIELDS.names(), ANY_VALUE))
GOOD = st.builds(lambda n: row(f"{9 + n // 60:02d}:{n % 60:02d}"), st.integers(0, 70))
PARTS = st.dictionaries(st.sampled_from(FIELDS.names()), ANY_VALUE)
ANY_ROW = ANY_VALUE | PARTS | NEARLY | GOOD


@given(st.lists(ANY_ROW, max_size=12))
def test_any_rows_are_split_without_loss(answer: list[Any]) -> None:
    found = split(answer, max_price_ratio=FAR)
    bars = found.bars
    assert bars["label"].is_unique().all()
    assert bars.drop("turnover").null_count().select(pl.sum_horizontal(pl.all())).item() == 0
    assert (bars["low"] > 0).all()
    assert (bars["volume"] >= 0).all()
    assert (bars["label"] + timedelta(minutes=1) <= NOW).all()
    assert len(bars) + len(found.rejected) <= len(answer)
    if len(found.rejected):
        assert found.rejected[codec.REASON].null_count() == 0
        assert not set(found.rejected[codec.ROW]) & set(bars[codec.ROW])


@given(st.one_of(ANY_VALUE, st.lists(ANY_ROW, max_size=5)), ANY_VALUE)
async def test_any_answer_becomes_a_batch(output2: Any, output1: Any) -> None:
    class Client:
        secrets = list

    for fetcher in (DerivativeBarFetcher(Client()), StockBarFetcher(Client())):  # type: ignore[arg-type]
        body = {"rt_cd": "0", "output1": output1, "output2": output2}
        answer = Answer("TR", "A01612", body, NOW, NOW)
        frame = fetcher.read(answer, session())
        batch = conform(frame, fetcher.schema)
        assert batch.schema == fetcher.schema
        for kept in fetcher.take_rejected()["raw"].to_pylist():
            assert orjson.loads(kept) in output2


async def test_rejected_rows_come_once_with_source_and_reason(kis: StubKis, tmp_path: Path) -> None:
    odd = row("10:03", cntg_vol="-", extra="x")
    kis.answer = lambda _asked: fine(output1={}, output2=[row("10:04"), odd])
    async with open_client(kis, tmp_path) as client:
        fetcher = DerivativeBarFetcher(client)
        await fetcher.fetch(BarRequest("A01612", session()))
    (kept,) = fetcher.take_rejected().to_pylist()
    assert orjson.loads(kept.pop("raw")) == odd
    assert kept == {
        "received_at": kis.clock.now(),
        "tr_id": "FHKIF03020200",
        "symbol": "A01612",
        "reason": "volume cannot be read",
    }
    assert fetcher.take_rejected().num_rows == 0
    assert fetcher.counts == Counter(
        {"rows": 2, "bars": 1, "volume cannot be read": 1, "of the session before": 0}
    )


async def test_an_answer_that_ignores_the_hour_does_not_page_for_ever(kis, tmp_path) -> None:
    kis.answer = lambda _asked: fine(output1={}, output2=rows(20))
    async with open_client(kis, tmp_path) as client:
        batch = await DerivativeBarFetcher(client).fetch(
            BarRequest("A01612", session(), whole_day=True)
        )
    assert batch.num_rows == 20
    assert len(kis.asked) == 2


def test_the_after_market_leaves_the_rows_of_the_regular_session_to_the_other_table():
    """KRX's answers hold both; the minutes between the two belong to neither, and are kept."""
    after = session(Market.AFTER)
    labels = ["16:02", "16:00", "15:50", "15:30", "15:19", "09:00"]
    found = split([row(label) for label in labels], session=after, as_of=after.sealed_at)
    stamps = found.bars.sort("label")["label"].dt.strftime("%H:%M").to_list()
    assert stamps == ["16:00", "16:02"]
    assert found.rejected.select("label", "reason").rows() == [
        (datetime(2026, 11, 20, 15, 50), "outside the session")
    ]
    assert found.counts["of the session before"] == 3
    assert found.goes_back
    assert found.in_order

    none_yet = split([row(label) for label in labels[3:]], session=after, as_of=after.opens)
    assert none_yet.bars.is_empty()
    assert none_yet.rejected.is_empty()


def test_what_kis_has_in_a_break_of_a_venue_is_a_bar():
    whole = session(Market.NXT)
    found = split(
        [row("20:00"), row("15:25"), row("08:55"), row("07:59")],
        session=whole,
        as_of=whole.sealed_at,
    )
    assert found.bars["label"].dt.strftime("%H:%M").to_list() == ["15:25", "08:55"]
    assert found.rejected.height == 2
