"""Every query gets JSON in KIS's envelope, or a refusal in KIS's words."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.simulator import SyntheticMarket
from engine.simulator.endpoints import endpoints
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.refusals import Refusal

EXCHANGE = SimulatedExchange(SyntheticMarket(7))
ENDPOINTS = {endpoint.tr_id: endpoint for endpoint in endpoints().values()}
LIKELY = st.sampled_from(
    [
        "",
        "F",
        "O",
        "CM",
        "EU",
        "J",
        "Y",
        "N",
        "60",
        "A01612",
        "A01_FRONT",
        "101W12",
        "005930",
        "B01612B00",
        "20261118",
        "20251117",
        "20270101",
        "20990101",
        "20261399",
        "100000",
        "235959",
        "300000",
        "999999",
        "202612",
        "261103",
        "MKI",
        "WKI",
        "WKM",
        "KQI",
        "20261118            ",
        "'; DROP TABLE x; --",
        "../../etc",
        "１２３４５６",
        "²²²²²²",
        "\x00",
    ]
)
MOMENTS = st.sampled_from(
    [
        datetime(2026, 11, 18, 7),
        datetime(2026, 11, 18, 12, 3, 4),
        datetime(2026, 11, 22, 12),
        datetime(2025, 1, 2, 9, 0),
        datetime(2027, 12, 31, 23, 59),
    ]
)


@pytest.mark.parametrize("tr_id", sorted(ENDPOINTS))
@settings(max_examples=60)
@given(data=st.data(), now=MOMENTS)
def test_any_query_is_answered(tr_id: str, data: Any, now: datetime) -> None:
    endpoint = ENDPOINTS[tr_id]
    query = {name: data.draw(LIKELY | st.text(max_size=9)) for name in endpoint.fields}
    try:
        answer = orjson.loads(endpoint.answer(EXCHANGE, query, now))
    except Refusal as refusal:
        answer = orjson.loads(refusal.body())
    assert {"rt_cd", "msg_cd", "msg1"} <= answer.keys()
