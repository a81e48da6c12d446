"""The forms that clients of other people rely on: headers, paths, names, refusals, keys."""

from __future__ import annotations

import io
import zipfile
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from engine.clock import VirtualClock, WallClock
from engine.market.products import KOSDAQ150, KOSPI200, MINI_KOSPI200
from engine.simulator import APP_KEYS, SyntheticMarket, serve
from engine.simulator.market.listing import futures, maturities

NOON = datetime(2026, 11, 19, 12, 0, 30)
HOLIDAYS = "/uapi/domestic-stock/v1/quotations/chk-holiday"
QUOTE = "/uapi/domestic-futureoption/v1/quotations/inquire-price"


async def test_every_answer_has_the_headers_that_clients_read(calling: Any) -> None:
    async with calling(NOON, log_in=False) as caller:
        answers = [await caller.ask_token(), await caller.get("CTCA0903R", BASS_DT="20261119")]
        answers.append(await caller.http.get("/nowhere"))
    for answer in answers:
        assert {"tr_cont", "tr_id", "gt_uid"} <= answer.headers.keys()
        assert len(answer.headers["gt_uid"]) == 32
    assert answers[1].headers["tr_id"] == "CTCA0903R"


async def test_the_callers_own_gt_uid_comes_back(calling: Any) -> None:
    async with calling(NOON) as caller:
        caller.headers["gt_uid"] = "one of mine"
        answer = await caller.get("CTCA0903R")
    assert answer.headers["gt_uid"] == "one of mine"


async def test_holidays_page_by_tr_cont_until_the_calendar_ends(calling: Any) -> None:
    """As the official example does: M, then on with the keys of the page before."""
    async with calling(NOON) as caller:
        query = {"BASS_DT": "20271101", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}
        marks, days = [], []
        while True:
            answer = await caller.get("CTCA0903R", **query)
            page = answer.json()
            marks.append(answer.headers["tr_cont"])
            days += [row["bass_dt"] for row in page["output"]]
            if marks[-1] != "M":
                break
            query |= {name: page[name.lower()] for name in ("CTX_AREA_NK", "CTX_AREA_FK")}
    assert marks == ["M", "M", "D"]
    assert days == sorted(set(days))
    assert (days[0], days[-1]) == ("20271101", "20271231")


async def test_names_of_a_query_are_read_whatever_their_case(calling: Any) -> None:
    async with calling(NOON) as caller:
        headers = caller.headers | {"tr_id": "FHMIF10000000"}
        query = {"fid_cond_mrkt_div_code": "F", "Fid_Input_Iscd": "A01612"}
        small = await caller.http.get(QUOTE, params=query, headers=headers)
        assert small.json() == await caller.quote("A01612", "F")


async def test_a_doubled_slash_is_served_like_a_single_one(calling: Any) -> None:
    async with calling(NOON) as caller:
        headers = caller.headers | {"tr_id": "CTCA0903R"}
        query = {"BASS_DT": "20261119", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}
        url = f"{caller.simulator.base_url}/{HOLIDAYS}"
        doubled = await caller.http.get(url, params=query, headers=headers)
        assert doubled.json() == await caller.json("CTCA0903R", **query)


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/nowhere", 404, "OPSQ0002"),
        ("/uapi/domestic-stock/v1/trading/inquire-balance", 500, "OPSQ0002"),
        ("/uapi/overseas-price/v1/quotations/price", 500, "OPSQ0002"),
        (HOLIDAYS, 500, "OPSQ0002"),  # with the TR id of another path
    ],
)
async def test_what_is_not_served_is_refused_in_json(
    calling: Any, path: str, status: int, code: str
) -> None:
    async with calling(NOON) as caller:
        headers = caller.headers | {"tr_id": "TTTC8434R"}
        for answer in [
            await caller.http.get(path, headers=headers),
            await caller.http.post(path, headers=headers, json={}),
        ]:
            assert answer.headers["content-type"].startswith("application/json")
            assert answer.json().keys() == {"rt_cd", "msg_cd", "msg1"}
            assert (answer.status_code, answer.json()["msg_cd"]) == (status, code)


@pytest.mark.parametrize(
    ("without", "status", "code"),
    [
        ("appkey", 403, "EGW00102"),
        ("appsecret", 403, "EGW00104"),
        ("authorization", 500, "EGW00122"),
        ("tr_id", 500, "OPSQ0002"),
    ],
)
async def test_a_call_without_a_header_is_refused(
    calling: Any, without: str, status: int, code: str
) -> None:
    async with calling(NOON) as caller:
        headers = caller.headers | {"tr_id": "CTCA0903R"}
        del headers[without]
        answer = await caller.http.get(HOLIDAYS, params={"BASS_DT": "20261119"}, headers=headers)
        assert (answer.status_code, answer.json()["msg_cd"]) == (status, code)


async def test_a_token_that_is_not_a_bearers_is_refused(calling: Any) -> None:
    async with calling(NOON) as caller:
        caller.headers["authorization"] = "Basic x"
        answer = await caller.get("CTCA0903R", BASS_DT="20261119")
        assert (answer.status_code, answer.json()["msg_cd"]) == (500, "EGW00205")


async def test_hour_000000_is_now(calling: Any) -> None:
    async with calling(NOON) as caller:
        rows = await caller.futures("A01612", "20261119", "000000")
        assert rows == await caller.futures("A01612", "20261119", "120030")
        assert rows[0]["stck_cntg_hour"] <= "120000"
        assert await caller.stock_today("005930", "000000") == await caller.stock_today(
            "005930", "120030"
        )
        past = await caller.futures("A01612", "20261118", "000000")
        assert past[0]["stck_cntg_hour"] == "154500"


async def test_the_futures_board_has_every_listed_contract(calling: Any) -> None:
    """Traded or not: on a quiet morning the far ones have no trade yet."""
    start = datetime(2026, 11, 19, 8, 45, 1)
    async with calling(start) as caller:
        for market_class, product in (("", KOSPI200), ("MKI", MINI_KOSPI200), ("KQI", KOSDAQ150)):
            board = await caller.json(
                "FHPIF05030200",
                FID_COND_MRKT_DIV_CODE="F",
                FID_COND_SCR_DIV_CODE="20503",
                FID_COND_MRKT_CLS_CODE=market_class,
            )
            codes = [row["futs_shrn_iscd"] for row in board["output"]]
            assert codes == [contract.code for contract in futures(product, start.date())]
            assert len(codes) >= 6
            assert all(float(row["futs_prpr"]) > 0 for row in board["output"])


@pytest.mark.parametrize("day", [datetime(2026, 11, 19), datetime(2027, 12, 30)])
def test_lists_go_on_beyond_the_calendars_end(day: datetime) -> None:
    """By a year: late in the calendar's last year hardly anything was listed."""
    assert futures(KOSPI200, day.date())[3].maturity >= f"{day.year + 1}09"
    assert len(futures(MINI_KOSPI200, day.date())) == 6
    assert len(maturities("KOSPI200", day.date())) >= 8
    assert len(maturities("KOSPI200_WEEKLY_MON", day.date())) == 2


async def test_the_last_day_of_the_calendar_is_served_in_full(calling: Any) -> None:
    async with calling(datetime(2027, 12, 30, 12)) as caller:
        board = await caller.board("202801")
        assert len(board["output1"]) == len(board["output2"]) == 100
        assert float((await caller.quote("A01809", "F"))["output1"]["futs_prpr"]) > 0


async def test_the_key_has_the_lengths_of_a_real_one() -> None:
    ((key, secret),) = APP_KEYS.items()
    assert (len(key), len(secret)) == (36, 180)


async def test_tokens_live_by_the_callers_clock_where_it_is_given() -> None:
    """A client with a real clock compares the expiry with it, whatever day is simulated."""
    clock = VirtualClock(NOON)
    async with (
        serve(SyntheticMarket(7), clock, token_clock=WallClock()) as simulator,
        httpx.AsyncClient(base_url=simulator.base_url) as http,
    ):
        ((key, secret),) = APP_KEYS.items()
        body = {"grant_type": "client_credentials", "appkey": key, "appsecret": secret}
        token = (await http.post("/oauth2/tokenP", json=body)).json()
        expiry = datetime.fromisoformat(token["access_token_token_expired"])
        assert expiry > WallClock().now() + timedelta(hours=23)
        headers = {
            "authorization": f"Bearer {token['access_token']}",
            "appkey": key,
            "appsecret": secret,
            "tr_id": "CTCA0903R",
        }
        query = {"BASS_DT": "20261119", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}
        assert (await http.get(HOLIDAYS, params=query, headers=headers)).status_code == 200


@pytest.mark.parametrize(("market_class", "maturity"), [("", "202612"), ("WKI", "261104")])
async def test_options_have_bid_ask_and_limits_on_ticks_and_moving_open_interest(
    calling: Any, market_class: str, maturity: str
) -> None:
    async with calling(NOON) as caller:
        board = await caller.board(maturity, market_class)
        query = {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": "A01612"}
        top = await caller.json("FHPIF05030000", **query)
        index = float(top["output1"]["unas_prpr"])
    rows = [*board["output1"], *board["output2"]]
    for row in rows:
        for name in ("optn_bidp", "optn_askp", "optn_mxpr", "optn_llam", "optn_prpr"):
            value = float(row[name])
            hundredths = round(value * 100)
            assert hundredths == pytest.approx(value * 100)
            assert value < 10 or hundredths % 5 == 0, (name, value)
        assert float(row["optn_bidp"]) < float(row["optn_askp"])
        before = float(row["nmix_sdpr"])
        assert 0.06 < (float(row["optn_mxpr"]) - before) / index < 0.1
        assert float(row["optn_llam"]) == pytest.approx(
            max(0.01, before - 0.08 * index), abs=0.02 * index
        )
        assert float(row["unch_prpr"]) == pytest.approx(6.3 * float(row["acpr"]), abs=0.01)
        change, volume = int(row["otst_stpl_qty_icdc"]), int(row["acml_vol"])
        assert abs(change) <= volume
        assert int(row["hts_otst_stpl_qty"]) >= max(0, change)
    assert {int(row["otst_stpl_qty_icdc"]) > 0 for row in rows if int(row["acml_vol"]) > 100} == {
        True,
        False,
    }


async def test_open_interest_of_a_future_moves_with_its_volume(calling: Any) -> None:
    async with calling(NOON) as caller:
        first = (await caller.quote("A01612", "F"))["output1"]
        await caller.clock.sleep(3600)
        later = (await caller.quote("A01612", "F"))["output1"]
    changes = [int(row["otst_stpl_qty_icdc"]) for row in (first, later)]
    interests = [int(row["hts_otst_stpl_qty"]) for row in (first, later)]
    assert changes[0] != 0
    assert interests[1] - interests[0] == changes[1] - changes[0] != 0


async def test_the_master_file_has_the_kinds_and_names_of_the_real_one(calling: Any) -> None:
    async with calling(NOON) as caller:
        packed = (await caller.http.get("/common/master/fo_idx_code_mts.mst.zip")).content
    text = zipfile.ZipFile(io.BytesIO(packed)).read("fo_idx_code_mts.mst").decode("cp949")
    lines = [line.split("|") for line in text.splitlines()]
    kinds = {fields[1][:3]: fields[0] for fields in lines}
    assert {"B09": "L", "C09": "M", "BAF": "N", "CAF": "O"}.items() <= kinds.items()
    names = {fields[3].strip() for fields in lines}
    assert "위클리M C 2611W4 1,120.0" in names
    assert "위클리 P 2611W4 1,120.0" in names
    assert "C 202612 997.5" in names
