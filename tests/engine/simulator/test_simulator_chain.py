"""The option chain over HTTP: the board that is cut, quotes, greeks, series, master file."""

from __future__ import annotations

import io
import math
import zipfile
from datetime import date, datetime
from statistics import NormalDist
from typing import Any

import orjson
import polars as pl
import pytest

from engine.market.codes import option_code
from engine.market.products import SERIES, Product
from engine.simulator import RecordedMarket, SyntheticMarket

KOSPI200 = SERIES["KOSPI200"]
MARKET = SyntheticMarket(7)
TEN = datetime(2026, 11, 18, 10, 0, 2)


def side(rows: list[dict[str, str]]) -> pl.DataFrame:
    text = pl.DataFrame(rows).with_columns(pl.all().str.strip_chars())
    numbers = [n for n in text.columns if n not in ("optn_shrn_iscd", "atm_cls_name")]
    return text.with_columns(pl.col(numbers).cast(pl.Float64))


async def index_and_future(caller: Any, code: str = "A01612") -> tuple[float, float]:
    top = await caller.json("FHPIF05030000", FID_COND_MRKT_DIV_CODE="F", FID_INPUT_ISCD=code)
    return float(top["output1"]["unas_prpr"]), float(top["output1"]["futs_prpr"])


def master_of(packed: bytes) -> pl.DataFrame:
    text = zipfile.ZipFile(io.BytesIO(packed)).read("fo_idx_code_mts.mst").decode("cp949")
    names = ["kind", "code", "standard", "name", "atm", "strike", "month", "index", "index_name"]
    return pl.DataFrame([line.split("|") for line in text.splitlines()], names, orient="row")


@pytest.mark.parametrize(
    ("tr_id", "query"),
    [
        ("FHPIF05030000", {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": "A01612"}),
        (
            "FHPIF05030200",
            {
                "FID_COND_MRKT_DIV_CODE": "F",
                "FID_COND_SCR_DIV_CODE": "20503",
                "FID_COND_MRKT_CLS_CODE": "MKI",
            },
        ),
        (
            "FHPIO056104C0",
            {
                "FID_COND_SCR_DIV_CODE": "509",
                "FID_COND_MRKT_DIV_CODE": "",
                "FID_COND_MRKT_CLS_CODE": "",
            },
        ),
        ("FHMIF10000000", {"FID_COND_MRKT_DIV_CODE": "F", "FID_INPUT_ISCD": "A01612"}),
        ("CTCA0903R", {"BASS_DT": "20261118", "CTX_AREA_NK": "", "CTX_AREA_FK": ""}),
    ],
)
async def test_answers_have_the_fields_of_the_official_samples(
    calling: Any, samples: Any, tr_id: str, query: dict[str, str]
) -> None:
    sample = orjson.loads((samples / f"{tr_id}.json").read_bytes())
    async with calling(TEN, MARKET) as caller:
        answer = await caller.json(tr_id, **query)
    assert answer.keys() == sample.keys()
    for name, part in sample.items():
        ours = answer[name]
        if isinstance(part, dict):
            assert ours.keys() == part.keys()
            assert all(isinstance(value, str) and value for value in ours.values())
        elif isinstance(part, list) and part:
            assert {*map(frozenset, ours)} == {frozenset(part[0])}
        else:
            assert type(ours) is type(part)


async def test_board_is_cut_at_100_a_side_from_the_top(calling: Any, samples: Any) -> None:
    sample = orjson.loads((samples / "FHPIF05030100.json").read_bytes())
    async with calling(TEN, MARKET) as caller:
        board = await caller.board("202612")
        index, _ = await index_and_future(caller)
        master = master_of(
            (await caller.http.get("/common/master/fo_idx_code_mts.mst.zip")).content
        )
    assert board["output1"][0].keys() == sample["output1"][0].keys()
    assert len(board["output1"]) == len(board["output2"]) == 100
    calls = side(board["output1"])
    assert calls["acpr"].is_sorted(descending=True)
    assert calls["acpr"].min() > index + 100  # the money is not on it
    listed = master.filter(pl.col("code").str.starts_with("B01612"))
    strikes = listed["strike"].cast(pl.Float64)
    assert listed.height > 300
    assert strikes.max() == calls["acpr"].max()
    assert strikes.min() < index < strikes.max()
    assert set(calls["optn_shrn_iscd"]) <= set(listed["code"])
    assert set(listed["kind"]) == {"5"}


async def test_single_quotes_fill_what_the_board_lacks_and_agree_with_it(calling: Any) -> None:
    async with calling(TEN, MARKET) as caller:
        board = await caller.board("202612")
        on_board = board["output2"][99]
        quote = (await caller.quote(on_board["optn_shrn_iscd"], "O"))["output1"]
        for ours, theirs in (
            ("futs_prpr", "optn_prpr"),
            ("acpr", "acpr"),
            ("hts_ints_vltl", "hts_ints_vltl"),
            ("delta_val", "delta_val"),
            ("hts_otst_stpl_qty", "hts_otst_stpl_qty"),
        ):
            assert quote[ours] == on_board[theirs].strip()
        assert "optn_bidp" not in quote
        index, _ = await index_and_future(caller)
        at_the_money = await fetch_quote(caller, KOSPI200.call, round(index / 2.5) * 2.5)
        assert 0.5 < float(at_the_money["delta_val"]) < 0.6
        assert (await caller.quote("B01612XXX", "O"))["output1"] == {}


async def fetch_quote(caller: Any, product: Product, strike: float) -> dict[str, str]:
    code = option_code(product, "202612", strike)
    answer = await caller.quote(code, "O")
    assert float(answer["output1"]["acpr"]) == strike
    return answer["output1"]


async def test_vendor_greeks_come_from_historical_volatility_on_the_index(calling: Any) -> None:
    """By hand with the textbook's Black-Scholes, as on a real board (docs/kis.md#greeks)."""
    async with calling(TEN, MARKET) as caller:
        index, _ = await index_and_future(caller)
        rows = [
            await fetch_quote(caller, KOSPI200.call, strike) for strike in (1100.0, 1150.0, 1200.0)
        ]
    years = (date(2026, 12, 10) - TEN.date()).days / 365
    spot = index * math.exp(-0.01 * years)  # less dividends until expiry
    normal = NormalDist()
    for row in rows:
        strike, vol = float(row["acpr"]), float(row["hist_vltl"]) / 100
        d1 = (math.log(spot / strike) + (0.03 + vol**2 / 2) * years) / (vol * math.sqrt(years))
        density = normal.pdf(d1)
        assert float(row["delta_val"]) == pytest.approx(normal.cdf(d1), abs=6e-5)
        assert float(row["gama"]) == pytest.approx(
            density / (spot * vol * math.sqrt(years)), abs=6e-5
        )
        assert float(row["vega"]) == pytest.approx(
            spot * density * math.sqrt(years) / 100, abs=6e-5
        )
        assert float(row["hist_vltl"]) > 1.5 * float(row["hts_ints_vltl"])


async def test_prices_keep_put_call_parity_with_the_future(calling: Any) -> None:
    async with calling(TEN, MARKET) as caller:
        _, future = await index_and_future(caller)
        gaps = []
        for strike in (1120.0, 1130.0, 1140.0, 1150.0, 1160.0):
            call, put = [
                await fetch_quote(caller, side, strike) for side in (KOSPI200.call, KOSPI200.put)
            ]
            gaps.append(float(call["futs_prpr"]) - float(put["futs_prpr"]) + strike - future)
    assert max(map(abs, gaps)) < 0.6  # ticks, last trades of another second, a few days' interest


async def test_atm_flag_follows_the_close_before(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 15, 0, 2), MARKET) as caller:
        board = await caller.json(
            "FHPIF05030100",
            FID_COND_MRKT_DIV_CODE="O",
            FID_COND_SCR_DIV_CODE="20503",
            FID_MRKT_CLS_CODE="CO",
            FID_MTRT_CNT="261103",
            FID_COND_MRKT_CLS_CODE="WKI",
            FID_MRKT_CLS_CODE1="PO",
        )
        quote = (await caller.quote("A01612", "F"))["output3"]
    before = float(quote["bstp_nmix_prpr"]) - float(quote["bstp_nmix_prdy_vrss"])
    calls, puts = side(board["output1"]), side(board["output2"])
    (flagged,) = calls.filter(atm_cls_name="ATM")["acpr"]
    assert abs(flagged - before) <= 1.25
    assert set(calls.filter(pl.col("acpr") < flagged)["atm_cls_name"]) == {"ITM"}
    assert set(puts.filter(pl.col("acpr") < flagged)["atm_cls_name"]) == {"OTM"}


async def test_board_has_the_oddities_of_kis(calling: Any) -> None:
    async with calling(datetime(2025, 9, 1, 10, 0, 2), MARKET) as caller:
        board = await caller.board("202509")
    text = pl.DataFrame(board["output1"] + board["output2"])
    assert text["acml_vol"].str.starts_with(" ").any()
    assert {"9999.99"} & set(text["dprt"])
    assert {"0.00"} & set(text["optn_bidp"])
    assert {"0.0000"} & set(text["hts_ints_vltl"])


async def test_option_bars_add_up_to_the_board(calling: Any) -> None:
    async with calling(TEN, MARKET) as caller:
        row = (await caller.board("261103", "WKI"))["output1"][45]
        bars = await caller.futures(
            row["optn_shrn_iscd"], "20261118", "095900", market="O", past="Y"
        )
        today = [bar for bar in bars if bar["stck_bsop_date"] == "20261118"]
        assert today[0]["futs_prpr"] == row["optn_prpr"]
        assert sum(int(bar["cntg_vol"]) for bar in today) == int(row["acml_vol"])
        assert not await caller.futures(row["optn_shrn_iscd"], "20261118", "095900", market="F")


@pytest.mark.parametrize(
    ("market_class", "maturity", "prefixes"),
    [
        ("", "202612", ("B01", "C01")),
        ("MKI", "202612", ("B05", "C05")),
        ("WKM", "261104", ("BAF", "CAF")),
        ("WKI", "261103", ("B09", "C09")),
        ("KQI", "202612", ("B06", "C06")),
    ],
)
async def test_every_series_has_a_board_and_maturities(
    calling: Any, market_class: str, maturity: str, prefixes: tuple[str, str]
) -> None:
    async with calling(TEN, MARKET) as caller:
        listed = await caller.json(
            "FHPIO056104C0",
            FID_COND_SCR_DIV_CODE="509",
            FID_COND_MRKT_DIV_CODE="",
            FID_COND_MRKT_CLS_CODE=market_class,
        )
        assert maturity in [row["mtrt_yymm"] for row in listed["output"]]
        board = await caller.board(maturity, market_class)
        assert (await caller.board("209901", market_class))["output1"] == []
    for rows, prefix in zip((board["output1"], board["output2"]), prefixes, strict=True):
        assert {row["optn_shrn_iscd"][:3] for row in rows} == {prefix}


async def test_monthly_maturities_are_those_of_the_official_list(
    calling: Any, samples: Any
) -> None:
    sample = orjson.loads((samples / "FHPIO056104C0.json").read_bytes())
    async with calling(datetime(2024, 4, 17, 12, 0)) as caller:
        answer = await caller.json("FHPIO056104C0", FID_COND_SCR_DIV_CODE="509")
    assert answer["output"] == sample["output"]


async def test_holidays_continue_through_padded_keys(calling: Any, samples: Any) -> None:
    sample = orjson.loads((samples / "CTCA0903R.json").read_bytes())
    async with calling(TEN) as caller:
        first = await caller.json("CTCA0903R", BASS_DT="20221227", CTX_AREA_NK="", CTX_AREA_FK="")
        assert first == sample | {"msg1": first["msg1"]}
        second = await caller.json(
            "CTCA0903R",
            BASS_DT="20221227",
            CTX_AREA_NK=first["ctx_area_nk"],
            CTX_AREA_FK=first["ctx_area_fk"],
        )
    assert second["output"][0]["bass_dt"] == "20230120"
    assert {row["bass_dt"]: row["opnd_yn"] for row in second["output"]}["20230123"] == "N"  # 설날


async def test_chain_is_computed_around_the_recorded_price(calling: Any, futures_file: Any) -> None:
    async with calling(datetime(2025, 9, 1, 10, 0, 2), RecordedMarket(futures_file)) as caller:
        index, future = await index_and_future(caller, "101W09")
        assert (index, future) == (427.27, 427.50)
        board = await caller.board("202509")
        assert len(board["output1"]) == 100
        code = option_code(KOSPI200.call, "202509", 427.5)
        row = (await caller.quote(code, "O"))["output1"]
    assert 0.4 < float(row["delta_val"]) < 0.6
    assert 3 < float(row["futs_prpr"]) < 12
