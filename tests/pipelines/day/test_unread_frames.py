"""Which frames are read at once, and which may wait to be read together with others."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import Frame
from engine.kis.stream.registrations import StreamRegistration
from pipelines.day.unread_frames import _MOST, UnreadFrames
from tests.engine.kis.stream.sample_frames import FUTURE_AT, at, frame, futures, made, stocks

FUTURE = StreamRegistration("H0IFCNT0", "A05608")
STOCK = StreamRegistration("H0STCNT0", "005930")


def unread() -> UnreadFrames:
    """Frames of a future and a stock of which bars are made, a second into 15:29."""
    found = UnreadFrames([FUTURE, STOCK])
    assert found.add(at(FUTURE_AT, future("152901"), stock("152902")))
    found.take()
    return found


def future(*times: str) -> str:
    return futures(*({"BSOP_HOUR": time} for time in times))


def stock(*times: str) -> str:
    return stocks(*({"STCK_CNTG_HOUR": time} for time in times))


def record_of(tr_id: str, time: str) -> str:
    return frame(tr_id, made(tr_id, {LAYOUTS[tr_id].columns["time"]: time}))


@pytest.mark.parametrize(
    "text", [future("152959"), stock("152959", "152959"), record_of("H0IOCNT0", "152959")]
)
def test_a_frame_of_the_running_minute_waits(text: str) -> None:
    found = unread()
    assert not found.add(at(FUTURE_AT, text))
    assert len(found) == 1


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(future("153000"), id="the next minute of a symbol ends its minute"),
        pytest.param(stock("152959", "152959", "153000"), id="so does its third record"),
        pytest.param(future("152859"), id="a late trade changes a bar that is over"),
        pytest.param(
            record_of("H0IOCNT0", "153001"), id="a second into the next: over for all symbols"
        ),
        pytest.param(record_of("H0IFASP0", "153001"), id="books tell the time, too"),
        pytest.param("1|H0IFCNT0|001|c2VjcmV0", id="what is encrypted may be anything"),
        pytest.param("0|H0STMKO0|001|005930^Y", id="a halt"),
        pytest.param("0|H0IFCNT0", id="garbled"),
        pytest.param(stock("152959", "152959") + "^1", id="records of another width"),
    ],
)
def test_a_frame_that_bars_or_halts_wait_for_is_read_at_once(text: str) -> None:
    found = unread()
    assert not found.add(at(FUTURE_AT, future("152930")))
    assert found.add(at(FUTURE_AT, text))
    assert [one for _, one in found.take()] == [future("152930"), text]  # in order, all of them


def test_the_first_second_of_a_minute_ends_it_for_no_other_symbol() -> None:
    assert not unread().add(at(FUTURE_AT, record_of("H0IOCNT0", "153000")))


def test_a_symbol_ends_its_minute_once() -> None:
    found = unread()
    assert [found.add(at(FUTURE_AT, future(time))) for time in ("153000", "153001", "153002")] == [
        True,
        True,  # the exchange's time is a second past the minute
        False,
    ]


def test_no_more_wait_than_can_be_read_in_a_moment() -> None:
    found = unread()
    frames: list[Frame] = [
        (FUTURE_AT + timedelta(microseconds=n), future("152930")) for n in range(_MOST)
    ]
    assert not found.add(frames)
    assert found.add(at(FUTURE_AT, future("152930")))
    assert len(found.take()) == _MOST + 1
    assert not found


@settings(deadline=None)
@given(st.sampled_from(["", "0|H0STCNT0|001|", "0|H0IFCNT0|003|", "0|"]), st.text())
def test_whatever_the_text_nothing_is_raised_and_nothing_is_lost(head: str, rest: str) -> None:
    found = unread()
    found.add(at(FUTURE_AT, head + rest))
    assert found.take() == at(FUTURE_AT, head + rest)


def test_frames_of_which_no_bars_are_made_wait_for_the_next_second() -> None:
    found = unread()
    texts = (
        record_of("H0IOCNT0", "153001"),
        stock("153001"),
        record_of("H0IFASP0", "153001"),
        "1|H0IOCNT0|001|c2VjcmV0",
        future("153002"),
        "nonsense",
    )
    assert found.add(at(FUTURE_AT, *texts))
    first, *rest = ([text for _, text in found.take_of_bars()] for _ in range(2))
    assert first == [texts[1], texts[3], texts[4], texts[5]]
    assert rest == [[texts[0], texts[2]]], "all that is left"
    assert not found
