"""Frames to rows: every record, every value, and nothing raised whatever the text is."""

from __future__ import annotations

import base64
import json
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from engine.kis.stream.cipher import StreamKey
from engine.kis.stream.frames import read_frames
from engine.kis.stream.registrations import StreamRegistration
from engine.market.products import MINI_KOSPI200
from engine.schemas import REJECTED_ROWS, TRADES
from tests.engine.kis.stream.rows_read import GOOD, column, reasons, trades
from tests.engine.kis.stream.sample_frames import (
    FIRST_FUTURE,
    FUTURE_AT,
    SECOND_FUTURE,
    STOCK_AT,
    THREE_STOCKS,
    at,
    frame,
    futures,
    records,
    stocks,
)


def test_the_real_frames_of_a_future_give_every_value() -> None:
    first = {
        "session": date(2026, 7, 22),
        "symbol": "A05608",
        "traded_at": datetime(2026, 7, 22, 15, 29, 53),
        "received_at": FUTURE_AT,
        "price": 1080.30,
        "size": 1,
        "side": "B",  # no trade before it is known: its price is the ask
        "day_volume": 134935,
        "day_turnover": 7587962447_000.0,
        "day_bought": 65657,
        "day_sold": 69150,
        "bid": 1080.04,
        "ask": 1080.30,
        "bid_size": 1,
        "ask_size": 1,
        "open_interest": 76672,
        "limit_state": "2",
    }
    second = first | {
        "traded_at": datetime(2026, 7, 22, 15, 29, 54),
        "day_volume": 134936,
        "day_turnover": 7588016462_000.0,
        "day_bought": 65658,
        "bid": 1080.26,
    }
    rows = read_frames(at(FUTURE_AT, FIRST_FUTURE, SECOND_FUTURE))
    assert trades(rows) == [first, second]
    assert rows.newest == second["traded_at"]
    assert rows.trades.schema == TRADES
    assert len(rows.rejected) == 0


def test_the_real_frame_of_a_stock_gives_all_three_records_in_order() -> None:
    same = {
        "session": date(2025, 7, 30),
        "symbol": "005930",
        "traded_at": datetime(2025, 7, 30, 9, 47, 51),
        "received_at": STOCK_AT,
        "bid": 71900.0,
        "ask": 72000.0,
        "open_interest": None,
        "limit_state": "N",
    }
    differing = [
        (71950.0, 1, "S", 8305216, 595403999350.0, 4163762, 3060313, 113056, 93994),
        (71900.0, 2, "S", 8305218, 595404143150.0, 4163762, 3060315, 112986, 93985),
        (72000.0, 75, "B", 8305293, 595409543150.0, 4163837, 3060315, 112986, 93985),
    ]
    names = ("price", "size", "side", "day_volume", "day_turnover", "day_bought", "day_sold")
    names = (*names, "bid_size", "ask_size")
    expected = [same | dict(zip(names, values, strict=True)) for values in differing]
    assert trades(read_frames(at(STOCK_AT, THREE_STOCKS))) == expected


def test_turnover_gives_the_exact_price_of_what_was_traded() -> None:
    one, two = trades(read_frames(at(FUTURE_AT, FIRST_FUTURE, SECOND_FUTURE)))
    turnover = two["day_turnover"] - one["day_turnover"]
    volume = two["day_volume"] - one["day_volume"]
    assert turnover / (MINI_KOSPI200.multiplier * volume) == pytest.approx(1080.30, abs=1e-9)
    stock = trades(read_frames(at(STOCK_AT, THREE_STOCKS)))
    for before, after in pairwise(stock):
        turnover = after["day_turnover"] - before["day_turnover"]
        assert turnover == after["price"] * after["size"]


def test_frames_of_several_kinds_keep_the_order_in_which_they_came() -> None:
    rows = read_frames(
        [(STOCK_AT, THREE_STOCKS), (FUTURE_AT, FIRST_FUTURE), (STOCK_AT, THREE_STOCKS)]
    )
    assert column(rows, "symbol") == ["005930"] * 3 + ["A05608"] + ["005930"] * 3
    assert column(rows, "day_volume")[:4] == [8305216, 8305218, 8305293, 134935]


def test_fields_that_kis_appends_are_ignored() -> None:
    longer = [[*record, "new", "99"] for record in records(THREE_STOCKS)]
    grown = read_frames(at(STOCK_AT, frame("H0STCNT0", *longer)))
    assert trades(grown) == trades(read_frames(at(STOCK_AT, THREE_STOCKS)))
    assert grown.counts["count corrected"] == 0


@pytest.mark.parametrize("count", ["", "000", "abc", "001", "002", "7", "٣", "9" * 30])
def test_a_count_that_does_not_fit_is_read_from_the_width(count: str) -> None:
    rows = read_frames(at(STOCK_AT, frame("H0STCNT0", *records(THREE_STOCKS), count=count)))
    assert trades(rows) == trades(read_frames(at(STOCK_AT, THREE_STOCKS)))
    assert rows.counts["count corrected"] == 1


def test_a_frame_without_a_count_is_read_from_the_width() -> None:
    without = THREE_STOCKS.replace("|003|", "|")
    longer = "0|H0STCNT0|" + "^".join("^".join([*r, "new"]) for r in records(THREE_STOCKS))
    for text in (without, longer, without.replace("|005930", "||005930", 1)):
        rows = read_frames(at(STOCK_AT, text))
        assert column(rows, "day_volume") == [8305216, 8305218, 8305293]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a frame of data"),
        ('{"header":{"tr_id":"PINGPONG"}}', "not a frame of data"),
        ("2|H0STCNT0|001|x", "not a frame of data"),
        ("0|H0XXCNT0|001|x", "no fields are known for this TR"),
        (FIRST_FUTURE[:200], "torn: 32 fields of 50"),
        (THREE_STOCKS[:-80], "torn: 123 fields are not 3 records of 46 or more"),
        ("1|H0STCNT0|001|????", "cannot be decrypted"),
    ],
)
def test_a_frame_that_cannot_be_divided_is_kept_whole_with_its_reason(
    text: str, reason: str
) -> None:
    rows = read_frames([(STOCK_AT, text), *at(STOCK_AT, THREE_STOCKS)])
    assert len(rows.trades) == 3
    (kept,) = rows.rejected.to_pylist()
    assert kept["reason"] == reason
    assert json.loads(kept["raw"]) == text
    assert kept["received_at"] == STOCK_AT
    assert rows.rejected.schema == REJECTED_ROWS


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"FUTS_SHRN_ISCD": "005930"}, "another symbol"),
        ({"FUTS_SHRN_ISCD": ""}, "another symbol"),
        ({"BSOP_HOUR": "15295"}, "time cannot be read"),
        ({"BSOP_HOUR": "156001"}, "time cannot be read"),
        ({"BSOP_HOUR": "310000"}, "time cannot be read"),
        ({"FUTS_PRPR": "nan"}, "price cannot be read"),
        ({"FUTS_PRPR": "1e3"}, "price cannot be read"),
        ({"FUTS_PRPR": ""}, "price cannot be read"),
        ({"FUTS_PRPR": "0"}, "price not above zero"),
        ({"LAST_CNQN": "1.5"}, "size cannot be read"),
        ({"LAST_CNQN": "-3"}, "size below zero"),
        ({"ACML_VOL": "1_000"}, "cumulative volume cannot be read"),
    ],
)
def test_a_record_that_is_no_trade_is_rejected_alone(
    changes: dict[str, object], reason: str
) -> None:
    rows = read_frames(at(FUTURE_AT, futures({}, changes, {"ACML_VOL": 134936})))
    assert column(rows, "day_volume") == [134935, 134936]
    (kept,) = rows.rejected.to_pylist()
    assert (kept["reason"], kept["tr_id"]) == (reason, "H0IFCNT0")
    assert kept["symbol"] == changes.get("FUTS_SHRN_ISCD", "A05608")
    assert json.loads(kept["raw"]) == futures(changes).split("|")[3]


def test_other_values_that_cannot_be_read_are_null_and_counted() -> None:
    rows = read_frames(at(FUTURE_AT, futures({"FUTS_BIDP1": "?", "HTS_OTST_STPL_QTY": "1.5"})))
    (trade,) = trades(rows)
    assert (trade["bid"], trade["open_interest"], trade["ask"]) == (None, None, 1080.30)
    assert rows.counts["unreadable values"] == 2
    assert read_frames(at(FUTURE_AT, futures({"FUTS_BIDP1": ""}))).counts["unreadable values"] == 0


def test_expected_prices_and_records_without_a_trade_are_counted_and_no_trades() -> None:
    changes = [{"HOUR_CLS_CODE": code} for code in "0ABCD"]
    rows = read_frames(at(STOCK_AT, stocks(*changes, {"CNTG_VOL": "0"}, {"HOUR_CLS_CODE": "Z"})))
    assert len(rows.trades) == 1
    assert rows.counts["expected prices"] == 4
    assert rows.counts["without a trade"] == 1
    assert reasons(rows) == ["HOUR_CLS_CODE is unknown"]


def test_the_side_of_a_stock_is_what_kis_says() -> None:
    changes = [{"CCLD_DVSN": code} for code in ("1", "5", "3", "0")]
    assert column(read_frames(at(STOCK_AT, stocks(*changes))), "side") == ["B", "S", None, None]


def future(volume: int, bought: int, sold: int, size: int = 1, **more: object) -> dict[str, object]:
    sums = {"ACML_VOL": volume, "SHNU_CNTG_SMTN": bought, "SELN_CNTG_SMTN": sold}
    return {**sums, "LAST_CNQN": size, "FUTS_PRPR": "1080.10", **more}


def test_the_side_of_a_future_is_the_sum_that_grew() -> None:
    first = read_frames(
        at(FUTURE_AT, futures(future(100, 40, 50), future(103, 43, 50, 3), future(104, 43, 51)))
    )
    assert column(first, "side") == [None, "B", "S"]
    # The next call goes on from there; nothing tells the side where a trade was lost between.
    texts = [futures(future(106, 45, 51, 2)), futures(future(110, 46, 51))]
    second = read_frames(at(FUTURE_AT, *texts), sums=first.sums)
    assert column(second, "side") == ["B", None]
    assert second.sums["A05608"][1:] == (110, 46, 51)


def test_the_trade_of_an_auction_has_no_side_even_at_the_ask() -> None:
    at_ask = {"FUTS_PRPR": "1080.30", "LAST_CNQN": 128}
    rows = read_frames(at(FUTURE_AT, futures(future(128, 0, 0) | at_ask)))
    assert column(rows, "side") == [None]


def test_a_price_at_the_bid_or_ask_tells_the_side_where_the_trade_before_is_unknown() -> None:
    prices = ("1080.30", "1080.04", "1080.10")
    changes = [future(100 + 10 * n, 40, 50, FUTS_PRPR=p) for n, p in enumerate(prices)]
    frames = [at(FUTURE_AT, futures(change)) for change in changes]
    assert [column(read_frames(one), "side") for one in frames] == [["B"], ["S"], [None]]


def test_records_of_a_symbol_that_nobody_registered_are_kept_as_rejected() -> None:
    wanted = {StreamRegistration("H0IFCNT0", "A05608")}
    rows = read_frames(GOOD, registered=wanted)
    assert set(column(rows, "symbol")) == {"A05608"}
    assert set(reasons(rows)) == {"a symbol that nobody registered"}
    assert rows.rejected.num_rows + rows.trades.num_rows == read_frames(GOOD).trades.num_rows
    raw = json.loads(rows.rejected.to_pylist()[0]["raw"])
    assert raw in THREE_STOCKS


def test_sums_of_another_session_do_not_tell_the_side() -> None:
    night = datetime(2026, 7, 21, 18, 30)
    before = read_frames(at(night, futures(future(100, 40, 50), tr_id="H0MFCNT0")))
    rows = read_frames(at(FUTURE_AT, futures(future(101, 41, 50))), sums=before.sums)
    assert column(rows, "side") == [None]


@pytest.mark.parametrize(
    ("received", "written", "traded"),
    [
        (datetime(2026, 7, 22, 23, 59, 58), "235957", datetime(2026, 7, 22, 23, 59, 57)),
        (datetime(2026, 7, 23, 0, 0, 1), "235959", datetime(2026, 7, 22, 23, 59, 59)),
        (datetime(2026, 7, 22, 23, 59, 59), "000000", datetime(2026, 7, 23, 0, 0, 0)),
        (datetime(2026, 7, 23, 5, 59, 59), "055958", datetime(2026, 7, 23, 5, 59, 58)),
        (datetime(2026, 7, 23, 1, 0, 1), "250000", datetime(2026, 7, 23, 1, 0, 0)),
        (datetime(2026, 7, 22, 18, 0, 1), "180000", datetime(2026, 7, 22, 18, 0, 0)),
    ],
)
def test_a_night_belongs_to_its_evening_and_crosses_midnight(
    received: datetime, written: str, traded: datetime
) -> None:
    text = futures({"BSOP_HOUR": written}, tr_id="H0MFCNT0")
    (trade,) = trades(read_frames(at(received, text)))
    assert trade["traded_at"] == traded
    assert trade["session"] == date(2026, 7, 22)


def test_trades_of_the_day_and_the_night_of_one_date_have_different_keys() -> None:
    """Both begin to count their volume at zero: the night's second trade is not the day's."""
    night = datetime(2026, 7, 22, 18, 0, 1)
    texts = [
        (FUTURE_AT, futures(future(100, 40, 50))),
        (night, futures(future(100, 40, 50) | {"BSOP_HOUR": "180000"}, tr_id="H0MFCNT0")),
    ]
    rows = read_frames(texts)
    day, evening = trades(rows)
    assert (day["session"], day["day_volume"]) == (evening["session"], evening["day_volume"])
    assert evening["symbol"] == f"{day['symbol']}_NIGHT"
    assert set(rows.sums) == {day["symbol"], evening["symbol"]}


def test_a_stock_is_of_the_date_that_its_record_names() -> None:
    late = STOCK_AT + timedelta(days=1)  # this machine's clock is wrong
    assert set(column(read_frames(at(late, THREE_STOCKS)), "session")) == {date(2025, 7, 30)}
    text = stocks({"BSOP_DATE": "20991231"}, {"BSOP_DATE": ""}, {"BSOP_DATE": "20251340"})
    rows = read_frames(at(STOCK_AT, text))
    assert reasons(rows) == ["another date"]
    assert column(rows, "session") == [date(2025, 7, 30)] * 2


SECRET = StreamKey(key="k" * 32, iv="v" * 16)


def encrypted(text: str, secret: StreamKey = SECRET) -> str:
    padder = padding.PKCS7(128).padder()
    cipher = Cipher(algorithms.AES256(secret.key.encode()), modes.CBC(secret.iv.encode()))
    encryptor = cipher.encryptor()
    padded = padder.update(text.encode()) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def test_an_encrypted_frame_is_read_with_the_key_of_its_registration() -> None:
    text = f"1|H0STCNT0|003|{encrypted(THREE_STOCKS.split('|')[3])}"
    rows = read_frames(at(STOCK_AT, text), keys={"H0STCNT0": SECRET})
    assert trades(rows) == trades(read_frames(at(STOCK_AT, THREE_STOCKS)))
    for keys in ({}, {"H0STCNT0": StreamKey("x" * 32, "v" * 16)}, {"H0STCNT0": StreamKey("", "")}):
        assert reasons(read_frames(at(STOCK_AT, text), keys=keys)) == ["cannot be decrypted"]
    assert "kkk" not in repr(SECRET)


def test_no_frames_are_no_rows() -> None:
    rows = read_frames([])
    assert (len(rows.trades), len(rows.rejected), rows.newest, rows.sums) == (0, 0, None, {})
