"""Frames: the fields of KIS's tables in their order, and values that agree with the REST side."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.market.sessions import Market
from engine.simulator import SyntheticMarket
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import open_session
from engine.simulator.market.trades import trades_of_bars
from engine.simulator.stream.delays import departures
from engine.simulator.stream.frames import Frame, FrameWriter
from engine.simulator.stream.services import KNOWN, SERVICES, problem
from tests.engine.simulator.stream.client import records
from tests.paths import KIS_API, require

DAY = date(2026, 11, 18)
MARKET = SyntheticMarket(7)
EXCHANGE = SimulatedExchange(MARKET)
WRITER = FrameWriter(EXCHANGE, seed=1)
OPTION = EXCHANGE.options.day("KOSPI200", "202612", DAY).listed["code"][190]
SYMBOLS = {
    **dict.fromkeys(("H0IF", "H0MF"), "A01612"),
    **dict.fromkeys(("H0IO", "H0EU"), OPTION),
    "H0ST": "005930",
}


def symbol_of(tr_id: str) -> str:
    return SYMBOLS[tr_id[:4]]


def frames(tr_id: str, block: int = 4) -> list[Frame]:
    session = open_session(SERVICES[tr_id].market, DAY)
    return WRITER.block(tr_id, symbol_of(tr_id), session, block)


def rows(tr_id: str, block: int = 4) -> list[dict[str, str]]:
    names = list(SERVICES[tr_id].columns)
    return [
        dict(zip(names, record, strict=True))
        for frame in frames(tr_id, block)
        for record in records(frame.text)
    ]


@pytest.mark.parametrize("tr_id", SERVICES)
def test_a_record_has_the_fields_of_kis_in_their_order(tr_id: str) -> None:
    table = json.loads((require(KIS_API) / f"{tr_id}.json").read_text("utf-8"))
    assert list(SERVICES[tr_id].columns) == [field[0] for field in table["response"]]


def test_every_tr_that_is_taken_is_one_of_kis() -> None:
    known = {path.stem for path in require(KIS_API).glob("H0*.json")}
    assert known <= KNOWN
    assert KNOWN - known == {"H0STCNI9"}  # the paper account's order notices: in H0STCNI0's table


@pytest.mark.parametrize("tr_id", SERVICES)
def test_every_field_is_text_that_a_parser_can_read(tr_id: str) -> None:
    found = frames(tr_id)
    assert found
    assert [frame.leaves_at for frame in found] == sorted(frame.leaves_at for frame in found)
    for row in rows(tr_id):
        texts = {"symbol": next(iter(row.values()))}
        assert texts["symbol"] == symbol_of(tr_id)
        for name, value in list(row.items())[1:]:
            if name not in ("TRHT_YN", "MRKT_TRTM_CLS_CODE", "STCK_DEAL_CLS_CODE"):
                assert np.isfinite(float(value)), (name, value)


@pytest.mark.parametrize("tr_id", [t for t, service in SERVICES.items() if not service.levels])
def test_records_add_up_to_the_trades_they_were_written_from(tr_id: str) -> None:
    session = open_session(SERVICES[tr_id].market, DAY)
    symbol = symbol_of(tr_id)
    bars = EXCHANGE.session_rows(symbol, session).bars
    total = 0
    size, price = (
        ("CNTG_VOL", "STCK_PRPR")
        if tr_id == "H0STCNT0"
        else ("LAST_CNQN", "OPTN_PRPR" if tr_id in ("H0IOCNT0", "H0EUCNT0") else "FUTS_PRPR")
    )
    for block in range(WRITER.blocks(symbol, session)):
        for row in rows(tr_id, block):
            total += int(row[size])
            assert int(row["ACML_VOL"]) == total
    assert total == bars["volume"].sum()
    assert float(row[price]) == bars["close"][-1]
    assert int(row["SHNU_CNTG_SMTN"]) + int(row["SELN_CNTG_SMTN"]) <= total


def test_turnover_is_in_thousand_krw_for_derivatives_and_in_krw_for_stocks() -> None:
    future, stock = rows("H0IFCNT0", 0)[0], rows("H0STCNT0", 0)[0]
    contracts = int(future["LAST_CNQN"])
    assert int(future["ACML_TR_PBMN"]) == int(float(future["FUTS_PRPR"]) * contracts * 250)
    assert int(stock["ACML_TR_PBMN"]) == int(stock["STCK_PRPR"]) * int(stock["CNTG_VOL"])
    assert (stock["CCLD_DVSN"], stock["SELN_CNTG_SMTN"]) == ("3", "0")  # the opening auction


def test_several_trades_of_a_moment_are_one_frame_in_their_order() -> None:
    counts = [len(records(frame.text)) for frame in frames("H0IFCNT0")]
    assert max(counts) > 1
    assert frames("H0IFCNT0")[0].text.startswith(f"0|H0IFCNT0|{counts[0]:03d}|A01612^")
    assert len(frames("H0IFCNT0")) <= 15 * 40
    assert len(frames("H0IOCNT0")) <= 15 * 10


def test_the_time_of_a_record_is_that_of_the_exchange_in_whole_seconds() -> None:
    for tr_id in ("H0IFCNT0", "H0STCNT0", "H0IOCNT0"):
        for frame in frames(tr_id):
            hour = records(frame.text)[0][1]
            shown = datetime.combine(DAY, datetime.strptime(hour, "%H%M%S").time())
            assert timedelta() <= frame.leaves_at - shown <= timedelta(seconds=4.2)


def test_books_come_every_fifth_of_a_second_at_most_and_are_in_order() -> None:
    for tr_id, name, levels in (("H0IFASP0", "FUTS_", 5), ("H0STASP0", "", 10)):
        books = frames(tr_id)
        gaps = pl.Series([frame.leaves_at for frame in books]).diff().drop_nulls()
        assert (gaps >= timedelta(seconds=0.1)).all()  # 0.2 s, less the difference of two delays
        assert gaps.median() > timedelta(seconds=0.2)
        for row in rows(tr_id):
            asks = [float(row[f"{name}ASKP{n}"]) for n in range(1, levels + 1)]
            bids = [float(row[f"{name}BIDP{n}"]) for n in range(1, levels + 1)]
            assert asks == sorted(set(asks))
            assert bids == sorted(set(bids), reverse=True)
            assert bids[0] < asks[0]
            sizes = [int(row[f"ASKP_RSQN{n}"]) for n in range(1, levels + 1)]
            assert int(row["TOTAL_ASKP_RSQN"]) == sum(sizes)


def test_delays_are_as_users_measured_them() -> None:
    session = open_session(Market.DERIVATIVES, DAY)
    delays = []
    for day_seed in range(10):
        trades = trades_of_bars("A01612", session, MARKET.bars("A01612", session), seed=day_seed)
        happened = trades["happened_at"]
        leaves = departures(happened, day_seed)
        assert leaves.is_sorted()
        assert (leaves >= happened).all()
        delays.append((leaves - happened.dt.truncate("1s")).dt.total_milliseconds() / 1000)
    delay = pl.concat(delays)
    quantiles = [delay.quantile(q) for q in (0.5, 0.9, 0.99)]
    assert quantiles == pytest.approx([0.5, 0.9, 1.0], abs=0.04)
    assert 2.5 < delay.max() <= 4.2


def test_trades_of_an_option_say_what_board_and_quote_say_at_that_moment() -> None:
    found = EXCHANGE.options.find(OPTION, DAY)
    assert found is not None
    greeks = {
        "HTS_THPR": ("theoretical", 2),
        "DELTA": ("delta", 4),
        "GAMA": ("gamma", 4),
        "VEGA": ("vega", 4),
        "THETA": ("theta", 4),
        "RHO": ("rho", 4),
        "HTS_INTS_VLTL": ("iv", 4),
        "UNAS_HIST_VLTL": ("historical", 4),
    }
    last: dict[int, dict[str, str]] = {}
    for row in rows("H0IOCNT0", 2):
        minute = (int(row["BSOP_HOUR"][:2]) * 60 + int(row["BSOP_HOUR"][2:4])) - (8 * 60 + 45)
        before = EXCHANGE.options.at("KOSPI200", "202612", DAY, minute - 1).row(
            found.row, named=True
        )
        for field, (name, decimals) in greeks.items():
            assert float(row[field]) == pytest.approx(before[name], abs=0.51 * 10**-decimals)
        last[minute] = row
    assert len(last) == 15
    for minute, row in last.items():  # the last trade of a minute is what the board shows after it
        board = EXCHANGE.options.at("KOSPI200", "202612", DAY, minute).row(found.row, named=True)
        assert float(row["OPTN_PRPR"]) == board["price"]
        assert int(row["ACML_VOL"]) == board["volume"]
        assert int(row["HTS_OTST_STPL_QTY"]) == board["open_interest"]
        assert int(row["OTST_STPL_QTY_ICDC"]) == board["open_interest_change"]
        assert (float(row["OPTN_BIDP1"]), float(row["OPTN_ASKP1"])) == (board["bid"], board["ask"])
        assert float(row["OPTN_PRDY_VRSS"]) == pytest.approx(board["price"] - board["before"])


async def test_open_interest_of_a_future_is_the_quotes(calling: Any) -> None:
    row = rows("H0IFCNT0", 0)[-1]  # the last trade before nine o'clock
    async with calling(datetime(2026, 11, 18, 9, 0, 30), MARKET) as caller:
        quote = (await caller.quote("A01612", "F"))["output1"]
    assert row["HTS_OTST_STPL_QTY"] == quote["hts_otst_stpl_qty"]
    assert row["ACML_VOL"] == quote["acml_vol"]
    assert row["FUTS_PRPR"] == quote["futs_prpr"]
    assert row["FUTS_PRDY_VRSS"] == quote["futs_prdy_vrss"]
    assert row["FUTS_OPRC"] == quote["futs_oprc"]
    assert row["FUTS_HGPR"] == quote["futs_hgpr"]
    assert row["FUTS_LWPR"] == quote["futs_lwpr"]


def test_a_stock_below_two_thousand_won_and_one_without_a_session_before() -> None:
    session = open_session(Market.STOCKS, DAY)
    writer = FrameWriter(EXCHANGE, seed=1)
    for symbol in ("900110", "069500"):
        assert writer.block("H0STASP0", symbol, session, 1)


@pytest.mark.parametrize(
    ("tr_id", "tr_key", "wrong"),
    [
        ("H0IFCNT0", "A01612", None),
        ("H0IFCNT0", "005930", "tr_key"),
        ("H0IFCNT0", "", "tr_key"),
        ("H0IFCNT0", "nonsense", "tr_key"),
        ("H0IOCNT0", OPTION, None),
        ("H0IOCNT0", "A01612", "tr_key"),
        ("H0UPCNT0", "2001", None),
        ("H0UPCNT0", "", "tr_key"),
        ("H0XXCNT0", "A01612", "tr_id"),
        ("", "A01612", "tr_id"),
    ],
)
def test_what_cannot_be_registered(tr_id: str, tr_key: str, wrong: str | None) -> None:
    assert problem(tr_id, tr_key) == wrong
