"""Codes old and new, front months, strikes, ticks, and texts that are not a symbol."""

from __future__ import annotations

import string
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.market.expected import expected_sessions
from engine.market.products import PRODUCTS, SERIES
from engine.market.symbols import (
    Contract,
    FrontChain,
    FrontMonth,
    FrontNight,
    Night,
    NightChain,
    Option,
    OptionChain,
    Stock,
    front_month,
    night_chain,
    parse,
    parse_chain,
)

FUTURES = [p for p in PRODUCTS if p.kind == "future"]
OPTIONS = [p for p in PRODUCTS if p.kind != "future"]
CALL = SERIES["KOSPI200"].call
DAYS = st.dates(date(2015, 8, 1), date(2027, 12, 31))


@pytest.mark.parametrize(
    ("text", "kind", "code", "table", "english", "korean"),
    [
        ("005930", Stock, "005930", "stocks_1m", "stock 005930", "주식 005930"),
        ("0001A0", Stock, "0001A0", "stocks_1m", "stock 0001A0", "주식 0001A0"),
        ("00088K", Stock, "00088K", "stocks_1m", "stock 00088K", "주식 00088K"),
        ("Q500001", Stock, "Q500001", "stocks_1m", "stock Q500001", "주식 Q500001"),
        (
            "A01612",
            Contract,
            "A01612",
            "futures_1m",
            "KOSPI200 futures 2026-12 A01612",
            "코스피200 선물 2026-12 A01612",
        ),
        (
            "105W10",
            Contract,
            "105W10",
            "futures_1m",
            "mini KOSPI200 futures 2025-10 105W10",
            "미니 코스피200 선물 2025-10 105W10",
        ),
        (
            "A01",
            FrontMonth,
            "A01_FRONT",
            "futures_1m",
            "KOSPI200 futures, front month",
            "코스피200 선물 최근월물",
        ),
        (
            "106_FRONT",
            FrontMonth,
            "A06_FRONT",
            "futures_1m",
            "KOSDAQ150 futures, front month",
            "코스닥150 선물 최근월물",
        ),
        (
            "202612_KOSPI200",
            OptionChain,
            "202612_KOSPI200",
            "option_chain_raw",
            "KOSPI200 options 2026-12",
            "코스피200 옵션 2026년 12월물",
        ),
        (
            "261103_KOSPI200_WEEKLY_MON",
            OptionChain,
            "261103_KOSPI200_WEEKLY_MON",
            "option_chain_raw",
            "KOSPI200 weekly (Mon) options 2026-11 week 3",
            "코스피200 위클리(월) 옵션 26년 11월 3주차",
        ),
        (
            "C05610A48",
            Option,
            "C05610A48",
            "futures_1m",
            "mini KOSPI200 put C05610A48",
            "미니 코스피200 풋옵션 C05610A48",
        ),
    ],
)
def test_a_text_is_one_kind_of_symbol(text, kind, code, table, english, korean):
    read = parse(text)
    assert type(read) is kind
    assert (read.code, read.table, read.name_en, read.name_ko) == (code, table, english, korean)
    assert parse(read.code) == read


def test_the_nights_of_a_contract_are_a_symbol_of_their_own():
    night, day = parse("A01612_NIGHT"), parse("A01612")
    assert isinstance(night, Night)
    assert night.contract == day
    assert (night.table, night.ledger_market) == ("futures_night_1m", "night")
    assert (night.name_en, night.name_ko) == (
        "KOSPI200 futures 2026-12 A01612, night",
        "코스피200 선물 2026-12 A01612 야간",
    )
    assert night.expected_stamps(date(2026, 11, 18)).len() == 711
    assert night.session(date(2026, 12, 9)) is not None
    assert night.session(night.last_day) is None  # its last night ends on the morning of that day
    for text in ("005930_NIGHT", "A01612_NIGHT_NIGHT", "B01612A97_NIGHT", "NIGHT_NIGHT"):
        with pytest.raises(InputError):
            parse(text)


def test_the_nights_of_a_chain_are_a_chain_of_their_own():
    night = parse("202612_KOSPI200_NIGHT")
    assert type(night) is NightChain
    assert night == night_chain(parse("202612_KOSPI200"))
    assert night.name_en == "KOSPI200 options 2026-12, night"
    assert night.name_ko == "코스피200 옵션 2026년 12월물 야간"
    assert night.expected_stamps(date(2026, 11, 18)).len() == 720  # the wait for the auction, too
    assert night.session(night.last_day) is None
    assert parse("261104_KOSPI200_WEEKLY_MON_NIGHT").maturity == "261104"


def test_the_front_night_is_that_of_the_next_trading_days_front_month():
    nights = parse("A01_NIGHT")
    assert isinstance(nights, FrontNight)
    assert nights == parse("A01_FRONT_NIGHT")
    assert nights.on(date(2026, 12, 9)).code == "A01612_NIGHT"
    assert nights.on(date(2026, 12, 10)).code == "A01703_NIGHT"  # the evening of the expiry
    found = expected_sessions(["A01_NIGHT"], date(2026, 12, 8), date(2026, 12, 11))
    assert [code for code, _ in found.rows()] == ["A01612_NIGHT"] * 2 + ["A01703_NIGHT"] * 2


def test_an_unknown_text_is_one_error_that_lists_the_forms():
    forms = ("005930", "A01612", "A01", "202612_KOSPI200", "B01612A97")
    for text in ("KOSPI200", "A01613", "202613_KOSPI200", "202612_NOTHING", "B01"):
        with pytest.raises(InputError) as refused:
            parse(text)
        assert "\n" not in str(refused.value)
        assert all(form in str(refused.value) for form in forms)


@pytest.mark.parametrize(
    ("text", "day", "night", "bars"),
    [
        ("005930", "2025-09-11", False, 381),
        ("005930", "2025-09-11", True, None),  # stocks have no night
        ("101W09", "2025-09-10", False, 411),
        ("101W09", "2025-09-11", False, 395),  # its last day
        ("101W09", "2025-09-12", False, None),
        ("101W09", "2025-09-10", True, 711),
        ("101W09", "2025-09-11", True, None),
        ("A01", "2025-09-11", False, 395),
        ("A01", "2025-09-11", True, 711),  # the next contract's
        ("A01", "2025-09-12", False, 411),
        ("202509_KOSPI200", "2025-09-10", False, 420),  # a snapshot each minute
        ("202509_KOSPI200", "2025-09-11", False, 395),
        ("202509_KOSPI200", "2025-09-12", False, None),
        ("201W09347", "2025-09-12", False, None),
    ],
)
def test_a_symbol_knows_its_session_and_expected_stamps(text, day, night, bars):
    symbol, day = parse(text), date.fromisoformat(day)
    session = symbol.session(day, night=night)
    assert (session is None) == (bars is None)
    if night:
        assert session is None or session.stamps().len() == bars
    else:
        assert symbol.expected_stamps(day).len() == (bars or 0)


@pytest.mark.parametrize(
    ("text", "day", "code"),
    [
        ("front", "2026-11-23", "202612_KOSPI200"),
        ("202612", "2026-11-23", "202612_KOSPI200"),
        ("KOSDAQ150", "2026-11-23", "202612_KOSDAQ150"),
        ("KOSPI200:202701", "2026-11-23", "202701_KOSPI200"),
        ("KOSPI200_WEEKLY_MON:front", "2026-10-05", "261001_KOSPI200_WEEKLY_MON"),
    ],
)
def test_settings_name_chains_by_series_and_maturity(text, day, code):
    chain = parse_chain(text)
    found = chain.on(date.fromisoformat(day)) if isinstance(chain, FrontChain) else chain
    assert found == parse(code)


@pytest.mark.parametrize("text", ["KOSPI", "202613", "KOSPI200:never", "", ":", "2026"])
def test_chains_that_do_not_exist_are_refused(text):
    with pytest.raises(InputError):
        parse_chain(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "005930 ",
        "05930",
        "0059300",
        "00593",
        "a01612",
        "A01612\n",
        "A0161２",
        "٠٠٥٩٣٠",
        "A01611",
        "A01613",
        "A01600",
        "A01W09",
        "101U09",
        "101I09",
        "101X09",
        "A02612",
        "A01612000",
        "B01610",
        "B0161074",
        "B01613745",
        "B09FEX970",
        "BAFZZW970",
        "A01_FRONT ",
        "A02_FRONT",
        "B01_FRONT",
        "A01_front",
        "_FRONT",
        "A01612; DROP TABLE gaps",
        "A01612'--",
        '"A01612"',
        "../etc/passwd",
        "A01612/..",
        "$(id)",
        "005930`id`",
        "005930|rm",
        "C:\\A01612",
        "A01612\x00",
        "NUL",
        "B01",
        "202613_KOSPI200",
        "202612_KOSPI",
        "202612_",
        "2026_KOSPI200",
        "0059-0",
    ],
)
def test_texts_that_mean_no_symbol_are_refused(text):
    with pytest.raises(InputError):
        parse(text)


@given(st.text(max_size=12))
def test_any_text_is_a_code_of_safe_characters_or_refused(text):
    try:
        parse(text)
    except InputError:
        return
    assert set(text) <= set(string.ascii_uppercase + string.digits + "_")


@pytest.mark.parametrize(
    ("prefix", "day", "code"),
    [
        ("A01", "2025-09-01", "101W09"),
        ("A01", "2025-09-11", "101W09"),  # still in front on its last day
        ("A01", "2025-09-12", "101W12"),
        ("101", "2025-12-12", "A01603"),
        ("A01", "2026-11-22", "A01612"),
        ("A05", "2026-11-22", "A05612"),
        ("A05", "2026-11-12", "A05611"),
        ("A06", "2026-11-12", "A06612"),
        ("A01", "2015-01-02", "101K03"),
        ("A01", "2027-12-31", "A01803"),  # known although its holidays are not
    ],
)
def test_the_front_month_rolls_the_day_after_expiry(prefix, day, code):
    front = parse(prefix)
    assert isinstance(front, FrontMonth)
    assert front.on(date.fromisoformat(day)).code == code


@pytest.mark.parametrize(
    ("series", "day", "maturity"),
    [
        ("KOSPI200", "2025-09-01", "202509"),
        ("KOSPI200_WEEKLY_THU", "2025-09-01", "250901"),
        ("KOSPI200_WEEKLY_THU", "2025-09-05", "250903"),
        ("KOSPI200_WEEKLY_MON", "2026-10-05", "261001"),
    ],
)
def test_the_front_chain_is_the_one_that_matures_next(series, day, maturity):
    assert FrontChain(SERIES[series]).on(date.fromisoformat(day)).maturity == maturity


@given(st.sampled_from(FUTURES), DAYS, st.integers(0, 900))
def test_front_months_cover_every_day_once_and_agree_with_front_month(product, start, length):
    end = min(start + timedelta(days=length), date(2027, 12, 31))
    front = front_month(product)
    spans = front.contracts(start, end)
    assert front.on(start).code == spans["symbol"][0]
    assert front.on(end).code == spans["symbol"][-1]
    for symbol, first, last in spans.select("symbol", "first_day", "last_day").rows():
        inside = max(first, start)
        assert front.on(inside).code == symbol
        assert front.on(min(last, end)).code == symbol
    gaps = spans.select(pl.col("first_day").shift(-1) > pl.col("last_day")).to_series()
    assert gaps.drop_nulls().all()


def test_front_months_of_the_year_in_which_the_codes_changed():
    spans = parse("A01").contracts(date(2025, 9, 1), date(2026, 1, 15))
    assert spans.rows() == [
        ("101W09", "202509", date(2025, 6, 13), date(2025, 9, 11)),
        ("101W12", "202512", date(2025, 9, 12), date(2025, 12, 11)),
        ("A01603", "202603", date(2025, 12, 12), date(2026, 3, 12)),
    ]
