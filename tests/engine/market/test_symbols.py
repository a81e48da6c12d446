"""Codes old and new, front months, strikes, ticks, and what is no code at all."""

from __future__ import annotations

import string
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CalendarRangeError, InputError
from engine.market import expiries
from engine.market import symbols as instruments
from engine.market.symbols import PRODUCTS, SERIES

FUTURES = [p for p in PRODUCTS if p.kind == "future"]
OPTIONS = [p for p in PRODUCTS if p.kind != "future"]
DAYS = st.dates(date(2015, 8, 1), date(2027, 12, 31))


@pytest.mark.parametrize(
    ("code", "name", "kind", "maturity", "strike", "expiry"),
    [
        ("101W09", "KOSPI200", "future", "202509", None, "2025-09-11"),
        ("101V12", "KOSPI200", "future", "202412", None, "2024-12-12"),
        ("101T03", "KOSPI200", "future", "202303", None, "2023-03-09"),  # U is left out
        ("101S06", "KOSPI200", "future", "202206", None, "2022-06-09"),
        ("101K03", "KOSPI200", "future", "201503", None, "2015-03-12"),
        ("A01612", "KOSPI200", "future", "202612", None, "2026-12-10"),
        ("A01703", "KOSPI200", "future", "202703", None, "2027-03-11"),
        ("A05611", "MINI_KOSPI200", "future", "202611", None, "2026-11-12"),
        ("105W10", "MINI_KOSPI200", "future", "202510", None, "2025-10-02"),
        ("A06612", "KOSDAQ150", "future", "202612", None, "2026-12-10"),
        ("201V05480", "KOSPI200", "call", "202405", 480.0, "2024-05-09"),  # KIS's own sample
        ("301V05477", "KOSPI200", "put", "202405", 477.5, "2024-05-09"),
        ("B01610745", "KOSPI200", "call", "202610", 745.0, "2026-10-08"),
        ("B01610747", "KOSPI200", "call", "202610", 747.5, "2026-10-08"),
        ("C01610A48", "KOSPI200", "put", "202610", None, "2026-10-08"),
        ("B05610A48", "MINI_KOSPI200", "call", "202610", None, "2026-10-08"),
        ("B06610001", "KOSDAQ150", "call", "202610", None, "2026-10-08"),
        ("B09FEWA49", "KOSPI200_WEEKLY_THU", "call", "260904", None, "2026-09-23"),
        ("BAFBZW970", "KOSPI200_WEEKLY_MON", "call", "260904", 970.0, "2026-09-28"),
        ("CAFC0W970", "KOSPI200_WEEKLY_MON", "put", "261001", 970.0, "2026-10-06"),
        ("209DXW320", "KOSPI200_WEEKLY_THU", "call", "250601", 320.0, "2025-06-05"),
        ("2AF97W320", "KOSPI200_WEEKLY_MON", "call", "250602", 320.0, "2025-06-09"),
    ],
)
def test_codes_are_read(code, name, kind, maturity, strike, expiry):
    read = instruments.contract(code)
    assert (read.product.name, read.product.kind, read.maturity) == (name, kind, maturity)
    assert read.strike == strike
    assert read.expiry == date.fromisoformat(expiry)
    assert instruments.validate_symbol(code) == code


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
        "A01",
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
        "0059-0",
    ],
)
def test_what_is_no_code_is_refused(text):
    with pytest.raises(InputError):
        instruments.validate_symbol(text)
    assert not instruments.is_stock(text)


@given(st.text(max_size=12))
def test_any_text_is_a_code_of_safe_characters_or_refused(text):
    try:
        assert instruments.validate_symbol(text) == text
    except InputError:
        return
    assert set(text) <= set(string.ascii_uppercase + string.digits + "_")


@pytest.mark.parametrize("code", ["005930", "0001A0", "00104K", "900140", "Q530036", "105630"])
def test_codes_of_stocks_are_not_derivatives(code):
    """105630 is a share whose first three characters are those of old mini futures."""
    assert instruments.is_stock(code)
    assert not instruments.is_derivative(code)
    with pytest.raises(InputError):
        instruments.product(code)


@given(st.sampled_from(FUTURES), st.data())
def test_a_futures_code_reads_back_as_it_was_made(product, data):
    maturity = data.draw(st.sampled_from(expiries.maturities(product.months)))[1]
    code = instruments.contract_code(product.prefix, maturity)
    assert instruments.contract_code(product.old_prefix, maturity) == code
    read = instruments.contract(code)
    assert (read.product, read.maturity) == (product, maturity)
    assert len(code) == 6
    assert code.startswith(product.prefix if maturity >= "2026" else product.old_prefix)
    assert instruments.is_derivative(code)
    assert not instruments.is_stock(code)


@given(st.sampled_from(OPTIONS), st.data())
def test_an_option_code_reads_back_as_it_was_made(product, data):
    maturity = data.draw(st.sampled_from(expiries.maturities(product.months)))[1]
    strike = data.draw(st.integers(40, 2999)) * 2.5
    code = instruments.option_code(product.prefix, maturity, strike)
    read = instruments.contract(code)
    assert (len(code), read.product, read.maturity) == (9, product, maturity)
    told = strike < 1_000 and product.underlying == "KOSPI200"
    assert read.strike == (strike if told else None)


def test_strikes_have_codes_of_their_own_in_ascending_order():
    strikes = [n * 2.5 for n in range(1, 1200)]
    codes = [instruments.option_code("B01", "202612", strike) for strike in strikes]
    assert codes == sorted(set(codes))


@pytest.mark.parametrize(
    ("strike", "tail"),
    [
        (345, "345"),
        (347.5, "347"),
        (997.5, "997"),
        (1000, "A00"),
        (1002.5, "A01"),
        (1120, "A48"),
        (1247.5, "A99"),
        (1250, "B00"),
        (1595, "C38"),
    ],
)
def test_strikes_from_a_thousand_on_are_numbered_by_steps(strike, tail):
    assert instruments.option_code("B01", "202610", strike) == f"B01610{tail}"


@pytest.mark.parametrize("strike", [0, -2.5, 346, 346.25, 7_500, float("nan"), float("inf")])
def test_what_is_no_strike_is_refused(strike):
    with pytest.raises(InputError):
        instruments.option_code("B01", "202610", strike)


def test_a_code_of_the_future_is_read_but_its_expiry_is_not_guessed():
    far = instruments.contract("A01812")
    assert far.maturity == "202812"
    assert far.last_day == date(2028, 12, 14)
    with pytest.raises(CalendarRangeError):
        _ = far.expiry


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
    assert instruments.front_month(prefix, date.fromisoformat(day)) == code
    assert instruments.contract_on("A01_FRONT", date(2025, 9, 12)) == "101W12"
    assert instruments.contract_on("A01612", date(2025, 9, 12)) == "A01612"


def test_options_have_no_front_contract_but_a_front_maturity():
    with pytest.raises(InputError):
        instruments.front_month("B01", date(2025, 9, 1))
    assert instruments.front_maturity("KOSPI200", date(2025, 9, 1)) == "202509"
    assert instruments.front_maturity("KOSPI200_WEEKLY_THU", date(2025, 9, 1)) == "250901"
    assert instruments.front_maturity("KOSPI200_WEEKLY_THU", date(2025, 9, 5)) == "250903"
    assert instruments.front_maturity("KOSPI200_WEEKLY_MON", date(2026, 10, 5)) == "261001"


@given(st.sampled_from(FUTURES), DAYS, st.integers(0, 900))
def test_front_months_cover_every_day_once_and_agree_with_front_month(product, start, length):
    end = min(start + timedelta(days=length), date(2027, 12, 31))
    spans = instruments.front_months(product.prefix, start, end)
    assert instruments.front_month(product.prefix, start) == spans["symbol"][0]
    assert instruments.front_month(product.prefix, end) == spans["symbol"][-1]
    for symbol, first, last in spans.select("symbol", "first_day", "last_day").rows():
        inside = max(first, start)
        assert instruments.front_month(product.prefix, inside) == symbol
        assert instruments.front_month(product.prefix, min(last, end)) == symbol
    gaps = spans.select(pl.col("first_day").shift(-1) > pl.col("last_day")).to_series()
    assert gaps.drop_nulls().all()


def test_front_months_of_the_year_in_which_the_codes_changed():
    spans = instruments.front_months("A01", date(2025, 9, 1), date(2026, 1, 15))
    assert spans.rows() == [
        ("101W09", "202509", date(2025, 6, 13), date(2025, 9, 11)),
        ("101W12", "202512", date(2025, 9, 12), date(2025, 12, 11)),
        ("A01603", "202603", date(2025, 12, 12), date(2026, 3, 12)),
    ]


def test_series_are_named_as_kis_and_the_tables_name_them():
    assert {name: (s.market_class, s.call.prefix, s.put.prefix) for name, s in SERIES.items()} == {
        "KOSPI200": ("", "B01", "C01"),
        "MINI_KOSPI200": ("MKI", "B05", "C05"),
        "KOSDAQ150": ("KQI", "B06", "C06"),
        "KOSPI200_WEEKLY_MON": ("WKM", "BAF", "CAF"),
        "KOSPI200_WEEKLY_THU": ("WKI", "B09", "C09"),
    }
    assert SERIES["KOSPI200_WEEKLY_MON"].underlying_symbol("250902") == "250902_KOSPI200_WEEKLY_MON"
    assert SERIES["MINI_KOSPI200"].future.prefix == "A05"
    assert SERIES["KOSPI200_WEEKLY_THU"].future.prefix == "A01"
    with pytest.raises(InputError, match="MINI_KOSPI200"):
        instruments.option_series("KOSPI")


def test_prefixes_mean_one_product_each():
    prefixes = [prefix for p in PRODUCTS for prefix in (p.prefix, p.old_prefix)]
    assert len(prefixes) == len(set(prefixes)) == 26
    assert all(instruments.product(p.old_prefix) is p for p in PRODUCTS)


@pytest.mark.parametrize(
    ("symbol", "price", "tick"),
    [
        ("A01612", 1097.5, 0.05),
        ("A05", 1097.5, 0.02),
        ("A06612", 900, 0.1),
        ("B01", 9.99, 0.01),
        ("B01", 10, 0.05),
        ("C05", 2.99, 0.01),
        ("C05", 3, 0.02),
        ("C05", 10, 0.05),
        ("B06", 49.9, 0.1),
        ("B06", 50, 0.5),
        ("BAF", 12, 0.05),
        ("005930", 1_999, 1),
        ("005930", 2_000, 5),
        ("005930", 19_990, 10),
        ("005930", 20_000, 50),
        ("005930", 69_500, 100),
        ("005930", 200_000, 500),
        ("005930", 600_000, 1_000),
    ],
)
def test_ticks(symbol, price, tick):
    assert instruments.tick_size(symbol, price) == tick
