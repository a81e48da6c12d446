"""Whatever the text of a frame is: nothing raised, every record accounted for."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from engine.kis import codec
from engine.kis.stream.fields import LAYOUTS
from engine.kis.stream.frames import StreamRows, read_frames
from engine.kis.stream.gather import gather
from tests.engine.kis.stream.rows_read import GOOD, column, reasons
from tests.engine.kis.stream.sample_frames import (
    STOCK_AT,
    frame,
)


def check(rows: StreamRows) -> None:
    """What holds of any text: every record is accounted for, and Postgres can store the rows."""
    counts = rows.counts
    torn = sum(r.startswith(("torn", "not a", "no fields", "cannot be d")) for r in reasons(rows))
    trades_and_quotes = len(rows.trades) + len(rows.quotes)
    counted = counts["expected prices"] + counts["without a trade"]
    assert counts["records"] == trades_and_quotes + counted + counts["rejected"] - torn
    for batch in (rows.trades, rows.quotes, rows.option_quotes, rows.rejected):
        batch.validate(full=True)
        for name in batch.schema.names:
            if batch.schema.field(name).type == pa.string():
                assert not any("\0" in text for text in batch.column(name).to_pylist() if text)
    for name in ("session", "symbol", "traded_at", "price", "size", "day_volume"):
        assert rows.trades.column(name).null_count == 0
    assert all(size > 0 for size in column(rows, "size"))


@given(st.lists(st.text(st.characters(), max_size=60), max_size=5))
def test_no_text_raises(texts: list[str]) -> None:
    heads = ["", "0|H0STCNT0|001|", "0|H0IFCNT0|", "1|H0IOCNT0|001|", "0|H0STASP0|x|"]
    check(read_frames([(STOCK_AT, head + text) for text in texts for head in heads]))


@given(st.data())
def test_no_change_of_a_good_frame_raises(data: st.DataObject) -> None:
    moment, text = data.draw(st.sampled_from(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text)))
        removed = data.draw(st.integers(0, 40))
        text = text[:place] + data.draw(st.text(max_size=6)) + text[place + removed :]
    rows = read_frames([*GOOD, (moment, text), *GOOD])
    check(rows)
    assert len(rows.trades) >= 10  # the good frames around it are not touched


@given(st.data())
def test_any_values_in_whole_records_are_accounted_for(data: st.DataObject) -> None:
    tr_id = data.draw(st.sampled_from(sorted(LAYOUTS)))
    value = st.text(st.characters(exclude_characters="^|"), max_size=8) | st.sampled_from(
        ["", "0", "-1", "1080.3", "A05608", "005930", "B01612A97", "152953", "Y", "20250730"]
    )
    given_records = data.draw(
        st.lists(st.lists(value, min_size=LAYOUTS[tr_id].width, max_size=70), max_size=3)
    )
    check(read_frames([(STOCK_AT, frame(tr_id, one)) for one in given_records]))


@given(
    st.lists(
        st.text(alphabet="0123456789.-+ eE_n", max_size=20)
        | st.from_regex(r"[+-]?[0-9]{0,18}[.]?[0-9]{0,4}", fullmatch=True),
        min_size=1,
        max_size=8,
    )
)
def test_numbers_are_read_as_everywhere_else(texts: list[str]) -> None:
    found = gather(texts, 1, [0], [0], [])
    frame = pl.DataFrame({"text": texts})
    wholes = frame.select(codec.whole("text")).to_series().fill_null(-(2**63))
    numbers = frame.select(codec.number("text")).to_series().fill_null(float("nan"))
    assert found.wholes[0].tolist() == wholes.to_list()
    assert [repr(n) for n in found.numbers[0].tolist()] == [repr(n) for n in numbers.to_list()]
