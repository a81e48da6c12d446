"""What to say to KIS next, whatever it answered before."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from engine.kis.stream.messages import StreamAnswer, Verdict, read_message, registration_of_frame
from engine.kis.stream.registrations import StreamRegistration
from engine.kis.stream.registry import Registry
from engine.kis.stream.silence import Silence
from tests.engine.kis.stream.sample_frames import FIRST_FUTURE
from tests.engine.kis.stream.stream_server import FUTURE, STOCK

START = datetime(2026, 11, 20, 10, 5, 2)
ALL = [StreamRegistration("H0STCNT0", f"{number:06d}") for number in range(8)]


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from(range(8))),
            st.sampled_from([*Verdict, None]),
            st.floats(0, 90),
        ),
        max_size=80,
    )
)
def test_no_answers_make_it_talk_in_a_loop(
    steps: list[tuple[set[int], Verdict | None, float]],
) -> None:
    registry, now, limit = Registry(4), START, 4
    said: Counter[tuple[StreamRegistration, datetime]] = Counter()
    for wanted, verdict, seconds in steps:
        now += timedelta(seconds=seconds)
        for _ in range(20):
            step = registry.next_step([ALL[number] for number in sorted(wanted)], now)
            if step is None:
                break
            # With the renewed key it is said again at once.
            said[step.registration, now] += verdict is not Verdict.APPROVAL_UNKNOWN
            registry.note_sent(step, now, "key")
            if verdict:
                registry.note_answer(StreamAnswer(step.registration, verdict, "", ""), now)
            if verdict is Verdict.APPROVAL_UNKNOWN:
                break  # the connection renews the key first
        assert registry.limit <= limit
        limit = registry.limit
        assert len(registry.registered) <= 4
        assert set(said.values()) <= {0, 1, 2}  # at most registered and removed


def test_an_unknown_approval_key_is_told_and_the_registration_made_again_at_once() -> None:
    registry = Registry(4)
    step = registry.next_step(ALL, START)
    assert step is not None
    registry.note_sent(step, START, "old")
    unknown = StreamAnswer(step.registration, Verdict.APPROVAL_UNKNOWN, "OPSP0011", "")
    assert registry.note_answer(unknown, START) == "old"
    assert registry.next_step(ALL, START) == step


def test_an_answer_that_names_nothing_is_about_what_was_sent_first() -> None:
    registry = Registry(4)
    for _ in range(2):
        step = registry.next_step(ALL, START)
        assert step is not None
        registry.note_sent(step, START, "key")
    nameless = StreamAnswer(StreamRegistration("(null)", ""), Verdict.REGISTERED, "OPSP0000", "")
    registry.note_answer(nameless, START)
    assert registry.registered == (ALL[0],)


@given(st.text() | st.text(alphabet='{}[]":,headrboytmsgcdrt_0123', max_size=80))
def test_no_message_raises(text: str) -> None:
    read_message(text)
    registration_of_frame(text)


def test_what_messages_mean() -> None:
    assert read_message('{"header":{"tr_id":"PINGPONG","datetime":"1"}}') == "PINGPONG"
    for text in ("1", "null", '{"header":{}}', '{"body":{}}', '{"body":{"output":1}}'):
        assert read_message(text) is None
    odd = read_message('{"header":{"tr_id":1},"body":{"msg_cd":9,"output":[]}}')
    assert odd == StreamAnswer(StreamRegistration("1", ""), Verdict.FAILED, "9", "")
    assert registration_of_frame(FIRST_FUTURE) == FUTURE


def test_patience_follows_the_rate_between_half_a_minute_and_a_minute() -> None:
    silence = Silence(lambda _one, _moment: True)
    silence.begin(None, START)
    now = START
    for _ in range(300):
        now += timedelta(seconds=0.1)
        silence.note(FUTURE, now)
    assert not silence.is_down(now + timedelta(seconds=29.9))
    assert silence.is_down(now + timedelta(seconds=30))
    silence.note_fault()
    assert not silence.is_down(now + timedelta(seconds=59))
    assert silence.is_down(now + timedelta(seconds=60))


def test_a_symbol_that_seldom_trades_is_silent_after_a_minute_and_not_before() -> None:
    silence = Silence(lambda _one, _moment: True)
    silence.begin(STOCK, START)
    assert silence.silent([STOCK], START + timedelta(seconds=59)) == []
    assert silence.silent([STOCK], START + timedelta(seconds=60)) == [STOCK]


def test_the_wait_for_data_begins_with_trading() -> None:
    opens = START + timedelta(hours=1)
    silence = Silence(lambda _one, moment: moment >= opens)
    silence.begin(None, START)
    for seconds in range(0, 3600, 2):
        now = START + timedelta(seconds=seconds)
        assert silence.silent([STOCK], now) == []
        assert not silence.is_down(now)
    assert silence.silent([STOCK], opens + timedelta(seconds=50)) == []
    assert silence.silent([STOCK], opens + timedelta(seconds=60)) == [STOCK]
