"""Answers against KIS's own tables of fields, read where they are (`shared/kis-api`)."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta
from typing import Any

import orjson
import polars as pl
import pytest

from engine.columns import PRICES
from engine.market.sessions import Session
from engine.market.symbols import Stock, parse
from engine.simulator.endpoints import endpoints
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.synthetic import SyntheticMarket
from tests.engine.simulator.quotations import EXPECTED_FIELDS, query_of
from tests.paths import KIS_API, needs


class Jumping(SyntheticMarket):
    """Each stock is 12 % higher from 10:00 on: a volatility interruption."""

    def _bars(self, symbol: str, session: Session) -> pl.DataFrame:
        late = pl.col("label").dt.time() >= time(10)
        higher = [pl.when(late).then((pl.col(n) * 1.12).round()).otherwise(n) for n in PRICES]
        found = super()._bars(symbol, session)
        return found.with_columns(higher) if isinstance(parse(symbol), Stock) else found


EXCHANGE = SimulatedExchange(SyntheticMarket(7))
JUMPING = SimulatedExchange(Jumping(7))
ENDPOINTS = {endpoint.tr_id: endpoint for endpoint in endpoints().values()}
NOON = datetime(2026, 11, 18, 12, 3, 4)
MOMENTS = {  # when an answer has rows, where noon is not a time
    "FHKST117300C0": datetime(2026, 11, 18, 15, 25),
    "FHPST01390000": datetime(2026, 11, 18, 15, 29),
}
# Where a genuine answer, or the official program that reads one, differs from the table.
BLOCKS = {
    "FHPIF05030200": {"output1": "output"},  # genuine sample
    "FHPIO056104C0": {"output1": "output"},  # genuine sample
    "FHPPG04600101": {"output1": "output"},  # official program
    "FHKST117300C0": {"output1": "output"},  # official program
}
EMPTY = {
    ("FHPIF05030000", "output2"),  # of a genuine sample
}
FEWER = {  # fields that a genuine sample of a future has not
    ("FHMIF10000000", "output1"): {"hist_vltl", "hts_ints_vltl", "acpr"},
}


def tables() -> dict[str, dict[str, Any]]:
    if not KIS_API.exists():
        return {}
    files = [orjson.loads(file.read_bytes()) for file in sorted(KIS_API.glob("*.json"))]
    return {table["tr_id"]: table for table in files if table.get("path")}


TABLES = tables()
QUOTATIONS = sorted(
    tr_id
    for tr_id, table in TABLES.items()
    if re.match(r"/uapi/domestic-(stock|futureoption)/v1/quotations/", table["path"])
)


def answer_of(tr_id: str, now: datetime | None = None) -> Any:
    endpoint = ENDPOINTS[tr_id]
    query = dict.fromkeys(endpoint.fields, "") | query_of(tr_id)
    exchange = JUMPING if tr_id == "FHPST01390000" else EXCHANGE  # else hardly any is halted
    return orjson.loads(endpoint.answer(exchange, query, now or MOMENTS.get(tr_id, NOON)))


def fields_of(table: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Return block → field → greatest length (0: none is given), of a table."""
    found: dict[str, dict[str, int]] = {}
    block = ""
    for name, _, _, _, length, _ in table["response"]:
        head, _, field = name.lower().partition(".")
        if head.startswith("output") and not field:
            block = BLOCKS.get(table["tr_id"], {}).get(head, head)
            found[block] = {}
        elif field or name.startswith("-"):
            found[block][field or name.lower().lstrip("-")] = int(length) if length else 0
    return found


@pytest.mark.parametrize("tr_id", sorted(ENDPOINTS))
@needs(KIS_API)
def test_answers_have_exactly_the_fields_of_the_table(tr_id: str) -> None:
    if tr_id not in TABLES:
        pytest.skip(f"there is no table of {tr_id}")
    wanted = fields_of(TABLES[tr_id])
    answer = answer_of(tr_id)
    for name, fields in wanted.items():
        part = answer[name]
        rows = part if isinstance(part, list) else [part]
        rows = [row for row in rows if row]
        assert rows or (tr_id, name) in EMPTY, name
        for row in rows:
            assert fields.keys() - FEWER.get((tr_id, name), set()) == row.keys()
            for field, value in row.items():
                assert isinstance(value, str), field
                assert len(value) <= fields[field] or not fields[field], (field, value)
    envelope = {"rt_cd", "msg_cd", "msg1", "ctx_area_nk", "ctx_area_fk"}
    assert answer.keys() - envelope == wanted.keys()


@pytest.mark.parametrize("tr_id", QUOTATIONS or ["none"])
@needs(KIS_API)
async def test_every_quotation_of_the_tables_is_served_or_refused_as_kis_does(
    calling: Any, tr_id: str
) -> None:
    async with calling(NOON) as caller:
        headers = caller.headers | {"tr_id": tr_id}
        fields = ENDPOINTS[tr_id].fields if tr_id in ENDPOINTS else ()
        query = dict.fromkeys(fields, "") | query_of(tr_id)
        path = TABLES[tr_id]["path"]
        answer = await caller.http.get(path, params=query, headers=headers)
    body = answer.json()
    if tr_id in ENDPOINTS:
        assert (answer.status_code, body["rt_cd"]) == (200, "0")
    else:
        assert (answer.status_code, body["rt_cd"], body["msg_cd"]) == (500, "1", "OPSQ0002")
        assert body["msg1"]


@pytest.mark.parametrize(("tr_id", "block"), sorted(EXPECTED_FIELDS))
def test_answers_have_the_fields_that_fetchers_read(tr_id: str, block: str) -> None:
    """Without the tables: the names that a fetcher of each stream needs."""
    part = answer_of(tr_id)[block]
    row = part[0] if isinstance(part, list) else part
    assert EXPECTED_FIELDS[tr_id, block] <= row.keys()


@pytest.mark.parametrize("hours", [0, 7, 9, 15.4, 19])
@pytest.mark.parametrize("tr_id", sorted(ENDPOINTS))
def test_every_quotation_answers_at_any_time_of_day(tr_id: str, hours: float) -> None:
    for day in (datetime(2026, 11, 18), datetime(2026, 11, 22), datetime(2027, 12, 31)):
        assert answer_of(tr_id, day + timedelta(hours=hours))["rt_cd"] == "0"


ACCOUNTS = ("entm", "onsl")
KINDS = ("frgn", "prsn", "orgn", "scrt", "ivtr", "pe_fund", "bank", "insu", "mrbn", "fund")
WITH_OTHERS = (*KINDS, "etc_orgt", "etc_corp")
TOGETHER = ("frgn", "prsn", "orgn", "etc_orgt", "etc_corp")


def flows(market: str, sector: str, now: datetime) -> dict[str, int]:
    endpoint = ENDPOINTS["FHPTJ04030000"]
    query = {"FID_INPUT_ISCD": market, "FID_INPUT_ISCD_2": sector}
    (row,) = orjson.loads(endpoint.answer(EXCHANGE, query, now))["output"]
    return {name: int(value) for name, value in row.items()}


@pytest.mark.parametrize(
    ("market", "sector"),
    [
        ("KSP", "0001"),
        ("KSQ", "1001"),
        ("K2I", "F001"),
        ("K2I", "OC01"),
        ("K2I", "OP01"),
        ("MKI", "OC02"),
        ("WKM", "OP05"),
        ("WKI", "OC04"),
        ("KQI", "OP03"),
    ],
)
def test_flows_of_investors_add_up_and_only_grow(market: str, sector: str) -> None:
    before: dict[str, int] = {}
    for minute in range(0, 40, 10):
        found = flows(market, sector, datetime(2026, 11, 18, 11, minute, 5))
        for kind in WITH_OTHERS:
            net = next(found[n] for n in (f"{kind}_ntby_qty", f"{kind}_ntby_vol") if n in found)
            assert net == found[f"{kind}_shnu_vol"] - found[f"{kind}_seln_vol"]
            money = found[f"{kind}_shnu_tr_pbmn"] - found[f"{kind}_seln_tr_pbmn"]
            assert money == found[f"{kind}_ntby_tr_pbmn"]
        for unit in ("vol", "tr_pbmn"):
            sold, bought = (
                sum(found[f"{kind}_{side}_{unit}"] for kind in TOGETHER)
                for side in ("seln", "shnu")
            )
            assert sold == bought > 0
            members = sum(found[f"{kind}_seln_{unit}"] for kind in KINDS[3:])
            assert members == found[f"orgn_seln_{unit}"]
        gross = {name: v for name, v in found.items() if "ntby" not in name}
        assert all(value >= before.get(name, 0) for name, value in gross.items())
        assert gross != before
        before = gross


def test_programme_trading_has_the_last_30_minutes_and_goes_on_unchanged_after_the_close() -> None:
    rows = answer_of("FHPPG04600101")["output"]
    assert [row["bsop_hour"] for row in rows[:2]] == ["120300", "120200"]
    assert len(rows) == 30
    for row in rows:
        arbitrage, rest = int(row["arbt_smtn_ntby_tr_pbmn"]), int(row["nabt_smtn_ntby_tr_pbmn"])
        assert int(row["whol_smtn_ntby_tr_pbmn"]) == arbitrage + rest
    late = answer_of("FHPPG04600101", datetime(2026, 11, 18, 19))["output"]
    assert late[0]["bsop_hour"] == "170000"
    assert {row["arbt_smtn_ntby_tr_pbmn"] for row in late} == {late[0]["arbt_smtn_ntby_tr_pbmn"]}


def test_the_days_of_programme_trading_end_where_its_minutes_end() -> None:
    evening = datetime(2026, 11, 18, 19)
    minutes = answer_of("FHPPG04600101", evening)["output"]
    days = answer_of("FHPPG04600001", evening)["output"]
    assert [row["stck_bsop_date"] for row in days[:3]] == ["20261118", "20261117", "20261116"]
    for kind in ("arbt", "nabt"):
        for side in ("seln", "shnu", "ntby"):
            name = f"{kind}_smtn_{side}_tr_pbmn"
            assert days[0][name] == minutes[0][name]
    for row in days:
        for side in ("seln_vol", "shnu_vol", "seln_tr_pbmn", "shnu_tr_pbmn"):
            parts = [int(row[f"{k}_{a}_{side}"]) for k in ("arbt", "nabt") for a in ACCOUNTS]
            assert sum(parts) == int(row[f"whol_smtn_{side}"]) > 0
    so_far = answer_of("FHPPG04600001")["output"][0]
    assert int(so_far["nabt_smtn_seln_vol"]) < int(days[0]["nabt_smtn_seln_vol"])


def test_a_stock_says_what_it_is() -> None:
    product, stock = answer_of("CTPF1604R")["output"], answer_of("CTPF1002R")["output"]
    assert product["shtn_pdno"] == "005930"
    assert product["prdt_abrv_name"] == stock["prdt_abrv_name"] == "삼성전자"
    assert stock["mket_id_cd"] == "STK"
    price = answer_of("FHKST01010100")["output"]
    assert (stock["thdt_clpr"], stock["lstg_stqt"]) == (price["stck_prpr"], price["lstn_stcn"])


def test_a_stocks_quotations_agree_with_its_bars() -> None:
    bars = answer_of("FHKST03010200")
    price = answer_of("FHKST01010100")["output"]
    (several,) = answer_of("FHKST11300006")["output"]
    today = answer_of("FHKST01010400")["output"][0]
    chart = answer_of("FHKST03010100")
    for name, theirs in (("acml_vol", several), ("acml_tr_pbmn", several), ("acml_vol", today)):
        assert bars["output1"][name] == theirs[name] == price[name]
    assert price["stck_prpr"] == several["inter2_prpr"] == today["stck_clpr"]
    assert chart["output2"][0]["stck_bsop_date"] == "20261118"
    assert chart["output2"][1]["stck_clpr"] == bars["output1"]["stck_prdy_clpr"]
    book = answer_of("FHKST01010200")["output1"]
    asks = [int(book[f"askp{n}"]) for n in range(1, 11)]
    bids = [int(book[f"bidp{n}"]) for n in range(1, 11)]
    assert bids == sorted(bids, reverse=True)
    assert asks == sorted(asks)
    assert bids[0] < int(price["stck_prpr"]) < asks[0]


def test_a_futures_book_is_on_ticks_around_its_price() -> None:
    answer = answer_of("FHMIF10010000")
    price = round(float(answer["output1"]["futs_prpr"]) * 100)
    book = answer["output2"]
    asks = [round(float(book[f"futs_askp{n}"]) * 100) for n in range(1, 6)]
    bids = [round(float(book[f"futs_bidp{n}"]) * 100) for n in range(1, 6)]
    assert asks == [price + 5 * n for n in range(1, 6)]
    assert bids == [price - 5 * n for n in range(5)]
    assert answer["output1"]["futs_prpr"] == answer_of("FHMIF10000000")["output1"]["futs_prpr"]


def test_index_minutes_agree_with_the_index_behind_the_boards() -> None:
    answer = answer_of("FHKUP03500200")
    running, finished = answer["output2"][:2]
    assert (running["stck_cntg_hour"], running["cntg_vol"]) == ("120300", "0")
    index = answer_of("FHPIF05030000")["output1"]["unas_prpr"]
    assert finished["bstp_nmix_prpr"] == index == answer["output1"]["bstp_nmix_prpr"]
    assert len(answer["output2"]) == 102
    whole_day = answer_of("FHKUP03500200", datetime(2026, 11, 18, 18))
    assert whole_day["output2"][0]["stck_bsop_date"] == "20261118"
    daily = answer_of("FHKUP03500100", datetime(2026, 11, 18, 18))["output2"][0]
    assert daily["bstp_nmix_prpr"] == whole_day["output2"][0]["bstp_nmix_prpr"]


def test_expected_prices_come_to_the_price_of_the_auction() -> None:
    morning = answer_of("FHPIF05110100", datetime(2026, 11, 18, 8, 44, 55))["output2"]
    hours = [row["stck_cntg_hour"] for row in morning]
    assert hours == sorted(hours, reverse=True)
    assert hours[-1] == "083000"
    opened = answer_of("FHMIF10000000")["output1"]["futs_oprc"]
    assert float(morning[0]["futs_antc_cnpr"]) == pytest.approx(float(opened), abs=0.1)
    stock = answer_of("FHKST01010200", datetime(2026, 11, 18, 15, 25))["output2"]
    assert int(stock["antc_cnpr"]) > 0
    assert answer_of("FHKST01010200")["output2"]["antc_cnpr"] == "0"


def test_days_may_be_asked_for_from_the_year_1_on_as_python_kis_does() -> None:
    endpoint = ENDPOINTS["FHKST03010100"]
    query = dict.fromkeys(endpoint.fields, "") | query_of("FHKST03010100")
    answer = orjson.loads(endpoint.answer(EXCHANGE, query | {"FID_INPUT_DATE_1": "10101"}, NOON))
    assert len(answer["output2"]) == 100
