"""Names of what is told once: read, and which minutes it must have."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from engine.errors import InputError
from engine.market.symbols import parse
from engine.market.told_once import STREAMS, ToldOnce, parse_collect

DAY, EXPIRY = date(2026, 11, 18), date(2026, 12, 10)


@pytest.mark.parametrize(
    ("code", "first", "last", "count"),
    [
        ("STATE_A01612", "08:46", "15:45", 411),
        ("FLOWS_KOSPI200_FUTURES", "08:46", "15:45", 420),
        ("FLOWS_KOSDAQ", "09:01", "15:30", 390),
        ("PROGRAMME_KOSPI", "09:01", "15:30", 390),
        ("INDEX_KOSPI200", "09:01", "15:30", 381),
        ("AUCTIONS_A01612", "08:31", "15:45", 15 + 10),
        ("AUCTIONS_005930", "08:31", "15:30", 30 + 10),
    ],
)
def test_each_stream_has_its_minutes(code: str, first: str, last: str, count: int) -> None:
    found = parse(code)
    assert isinstance(found, ToldOnce)
    assert found.code == code
    stamps = found.expected_stamps(DAY)
    assert (f"{stamps[0]:%H:%M}", f"{stamps[-1]:%H:%M}", len(stamps)) == (first, last, count)


def test_a_contract_has_a_state_until_its_last_minute() -> None:
    found = parse("STATE_A01612")
    assert found.expected_stamps(EXPIRY)[-1] == datetime(2026, 12, 10, 15, 20)
    assert found.session(date(2026, 12, 11)) is None
    auctions = parse("AUCTIONS_A01612")  # a contract that expires has none at the close
    assert auctions.expected_stamps(EXPIRY)[-1] == datetime(2026, 12, 10, 8, 45)
    assert found.session(DAY, night=True) is None


def test_a_choice_means_a_streams_usual_subjects_or_the_one_named() -> None:
    assert len(parse_collect("flows", [])) == 9
    assert [told.code for told in parse_collect("state", ["A01612"])] == ["STATE_A01612"]
    assert [told.code for told in parse_collect("index:KOSDAQ150", [])] == ["INDEX_KOSDAQ150"]
    both = parse_collect("auctions", ["A01612"], ["005930"])
    assert [told.code for told in both] == ["AUCTIONS_A01612", "AUCTIONS_005930"]
    assert [told.code for told in parse_collect("index:0503", [])] == ["INDEX_0503"]
    for wrong, says in (
        ("flow", f"choose from {', '.join(STREAMS)}"),
        ("programme:KOSPI200", "choose one of KOSPI, KOSDAQ"),
        ("state:B01612A97", "is not one"),
        ("index:503", "choose one of KOSPI"),
        ("programme:0001", "choose one of KOSPI, KOSDAQ"),
        ("state:005930", "codes of derivatives begin with"),
    ):
        with pytest.raises(InputError, match=says):
            parse_collect(wrong, [])
