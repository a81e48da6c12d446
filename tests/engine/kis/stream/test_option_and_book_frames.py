"""Frames of options with their greeks, and of books with their levels."""

from __future__ import annotations

from datetime import datetime

import pytest

from engine.kis.stream.frames import OPTION_QUOTES, QUOTES, read_frames
from engine.schemas import BOOK
from tests.engine.kis.stream.rows_read import trades
from tests.engine.kis.stream.sample_frames import (
    FUTURE_AT,
    at,
    frame,
    made,
)

OPTION = {
    "OPTN_SHRN_ISCD": "B01612A97",
    "BSOP_HOUR": "100000",
    "OPTN_PRPR": "12.35",
    "LAST_CNQN": "2",
    "ACML_VOL": "120",
    "ACML_TR_PBMN": "370500",
    "HTS_OTST_STPL_QTY": "5000",
    "HTS_INTS_VLTL": "36.5",
    "DELTA": "-0.4512",
    "UNAS_HIST_VLTL": "76.6",
}


@pytest.mark.parametrize(
    ("tr_id", "name"), [("H0IOCNT0", "B01612A97"), ("H0EUCNT0", "B01612A97_NIGHT")]
)
def test_an_option_gives_a_trade_and_its_greeks(tr_id: str, name: str) -> None:
    moment = datetime(2026, 11, 20, 10, 0, 1)
    rows = read_frames(at(moment, frame(tr_id, made(tr_id, OPTION | {"DYNM_PRC_LIMT_YN": "4"}))))
    (trade,) = trades(rows)
    assert (trade["symbol"], trade["price"], trade["size"]) == (name, 12.35, 2)
    assert (trade["day_turnover"], trade["limit_state"]) == (370_500_000.0, "4")
    (quote,) = rows.option_quotes.to_pylist()
    assert quote["symbol"] == "B01612A97"  # as the snapshots of days and nights name it
    assert (quote["iv"], quote["delta"], quote["historical_volatility"]) == (36.5, -0.4512, 76.6)
    assert (quote["volume"], quote["open_interest"], quote["price"]) == (120, 5000, 12.35)
    assert rows.option_quotes.schema == OPTION_QUOTES


def test_a_book_gives_its_best_level_and_the_time() -> None:
    best = {"FUTS_BIDP1": "1080.05", "FUTS_ASKP1": "1080.1", "BIDP_RSQN1": "3", "ASKP_RSQN1": "7"}
    record = made("H0IFASP0", {"FUTS_SHRN_ISCD": "A05608", "BSOP_HOUR": "152953", **best})
    rows = read_frames(at(FUTURE_AT, frame("H0IFASP0", record)))
    (quote,) = rows.quotes.to_pylist()
    assert list(quote.values())[1:] == [
        "A05608",
        datetime(2026, 7, 22, 15, 29, 53),
        FUTURE_AT,
        1080.05,
        1080.1,
        3,
        7,
    ]
    assert rows.newest == quote["traded_at"]
    assert rows.quotes.schema == QUOTES
    assert len(rows.trades) == 0


def test_a_book_of_a_future_is_read_with_all_its_levels() -> None:
    levels = {}
    for level in range(1, 6):
        levels |= {
            f"FUTS_BIDP{level}": f"{1080 - level}.05",
            f"FUTS_ASKP{level}": f"{1080 + level}",
        }
        levels |= {f"BIDP_RSQN{level}": f"{level}0", f"ASKP_RSQN{level}": f"{level}1"}
        levels |= {f"BIDP_CSNU{level}": f"{level}", f"ASKP_CSNU{level}": ""}
    code = {"FUTS_SHRN_ISCD": "A05608", "BSOP_HOUR": "152953"}
    good, bad = (made("H0IFASP0", code | levels | more) for more in ({}, {"BSOP_HOUR": "x"}))
    rows = read_frames(at(FUTURE_AT, frame("H0IFASP0", bad, good), frame("H0IFASP0", good)))
    assert rows.books.schema == BOOK
    first, second = rows.books.to_pylist()
    assert first == second  # the record after a rejected one is read at its place
    assert (first["symbol"], first["told_at"]) == ("A05608", datetime(2026, 7, 22, 15, 29, 53))
    for level in range(1, 6):
        assert first[f"bid{level}"] == 1080 - level + 0.05
        assert first[f"ask{level}"] == 1080 + level
        assert (first[f"bid_size{level}"], first[f"ask_size{level}"]) == (
            10 * level,
            10 * level + 1,
        )
        assert (first[f"bid_orders{level}"], first[f"ask_orders{level}"]) == (level, None)
    assert rows.rejected["reason"].to_pylist() == ["time cannot be read"]
