"""Text from outside reaches terminal, log and tables without any control character."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
import zipfile
from collections.abc import Iterator
from datetime import datetime, timedelta

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import KisError, KrtError
from engine.fetchers.halts import HaltRequest, VolatilityInterruptionFetcher
from engine.kis import codec
from engine.kis.answer import Answer, read_body, without_secrets
from engine.kis.auth import _read_answer
from engine.kis.master import parse_master
from engine.kis.stream.frames import read_frames
from engine.kis.stream.market_states import FIELDS, MARKET_STATES, MarketStates
from engine.kis.transport import Reply
from engine.log import setup_logging
from engine.text import visible, visible_json
from tests.engine.kis.stream.sample_frames import FUTURE_AT, at, futures

ACTING = ["\x1b[2J", "\x1b]0;title\x07", "\x9b31m", "\r", "\x00", "\x7f", "\u202e", "\u2028"]
any_text = st.text() | st.lists(st.sampled_from([*ACTING, "KIS", " 한글"])).map("".join)
# As a body of KIS can hold it: UTF-8 has no lone surrogates.
sent_text = any_text.filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text))


def acts(text: str) -> bool:
    """Whether a terminal would do anything but show the text."""
    return any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in text)


def test_escapes_are_written_as_python_does() -> None:
    assert visible("\x1b[31m KIS\x9b\u202e\u3000한글 ✅ ⚠️\n") == (
        "\\x1b[31m KIS\\x9b\\u202e\u3000한글 ✅ ⚠️\\n"
    )
    assert visible("a\nb\tc", keep="\n") == "a\nb\\tc"
    assert visible_json('"\x7f\x9b\U000e0001한"') == '"\\u007f\\u009b\\udb40\\udc01한"'


@given(any_text)
def test_any_text_becomes_visible_and_what_was_visible_stays(text: str) -> None:
    shown = visible(text)
    assert not acts(shown)
    assert visible(shown) == shown
    assert shown == text or not text.isprintable()


@given(any_text)
def test_json_says_the_same_in_characters_that_do_not_act(text: str) -> None:
    written = visible_json(json.dumps([text], ensure_ascii=False))
    assert not acts(written)
    assert json.loads(written) == [text]


@given(any_text, any_text)
def test_an_error_is_a_line_that_does_not_act(text: str, code: str) -> None:
    error = KrtError(text, msg_cd=code)
    assert not acts(str(error))
    assert not acts(str(error.args[0]))


@pytest.fixture(scope="module")
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    setup_logging(handler=logging.StreamHandler(stream))
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


@given(any_text)
def test_a_line_of_the_log_does_not_act(log: io.StringIO, text: str) -> None:
    log.seek(0)
    log.truncate()
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("engine.kis").exception("❌ %s", text)
    line = log.getvalue()
    assert line.endswith("\n")
    assert not acts(line[:-1])


@given(sent_text, sent_text, st.sampled_from([200, 403, 500]))
def test_a_refusal_of_kis_does_not_act(code: str, words: str, status: int) -> None:
    body = orjson.dumps({"rt_cd": "1", "msg_cd": code, "msg1": words})
    with pytest.raises(KisError) as refused:
        read_body(Reply(status, body, None))
    assert not acts(str(refused.value))
    assert not acts(without_secrets(["secret"], words))
    body = orjson.dumps({"error_code": code, "error_description": words})
    with pytest.raises(KisError) as refused:
        _read_answer(Reply(status, body, None), ["secret"])
    assert not acts(str(refused.value))


@given(st.dictionaries(sent_text, sent_text))
def test_a_rejected_row_is_kept_as_kis_sent_it_in_json_that_does_not_act(
    row: dict[str, str],
) -> None:
    marked = pl.DataFrame({codec.ROW: [0], codec.REASON: ["odd"]})
    source = codec.Source("FHKST", "005930", datetime(2026, 11, 27))
    kept = codec.rejected_rows(marked, [row], source)["raw"][0].as_py()
    assert not acts(kept)
    assert json.loads(kept) == row


@given(st.lists(any_text.map(lambda text: text.replace("|", "")), min_size=9, max_size=9))
def test_no_code_or_name_of_the_master_file_acts(fields: list[str]) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fo.mst", "|".join(fields).encode("cp949", errors="ignore"))
    for symbol, name, _ in parse_master(packed.getvalue()).iter_rows():
        assert not acts(symbol + name)


FIELD = sent_text.map(lambda text: text.replace("|", "").replace("^", ""))


@given(FIELD)
def test_no_word_of_the_feed_acts_in_the_table_of_trades(text: str) -> None:
    """One NUL, which Postgres takes in no text, would have had a whole batch refused."""
    found = read_frames(at(FUTURE_AT, futures({"DYNM_PRC_LIMT_YN": text}))).trades
    (state,) = found["limit_state"].to_pylist()
    assert not acts(state or "")


@given(FIELD)
def test_no_symbol_of_the_feed_acts_in_the_table_of_rejected_rows(text: str) -> None:
    record = "^".join(text if name == "MKSC_SHRN_ISCD" else "" for name in FIELDS)
    frames = at(FUTURE_AT, f"0|{MARKET_STATES}|001|{record}")
    _, rejected = MarketStates({}).read(frames, (), timedelta())
    (row,) = rejected.to_pylist()
    assert not acts(row["symbol"] + row["raw"])


@given(sent_text)
def test_no_code_of_an_interruption_acts_in_the_table_of_events(text: str) -> None:
    moment = datetime(2026, 11, 18, 16)
    row = {"mksc_shrn_iscd": "005930", "bsop_date": "20261118", "cntg_vi_hour": "100000"}
    body = {"output": [row | {"vi_cncl_hour": "100200", "vi_kind_code": text}]}
    answer = Answer("FHPST01390000", "005930", body, moment, moment)
    fetcher = VolatilityInterruptionFetcher(None)  # type: ignore[arg-type]
    events = fetcher._read(answer, HaltRequest("005930", moment.date()))
    assert not any(acts(code) for code in events["code"].drop_nulls())
    assert events.height == 1
