"""Codes old and new: read, made again, strikes, ticks, products."""

from __future__ import annotations

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CalendarRangeError, InputError
from engine.market import expiries
from engine.market.codes import (
    code_prefix,
    contract_code,
    is_call,
    is_derivative,
    is_old_code,
    is_put,
    option_code,
    product_prefix,
)
from engine.market.hours import Market
from engine.market.products import BY_PREFIX, PRODUCTS, SERIES, option_series, product, tick_size
from engine.market.symbols import (
    Contract,
    Option,
    Stock,
    parse,
    parse_derivative,
)

FUTURES = [p for p in PRODUCTS if p.kind == "future"]
OPTIONS = [p for p in PRODUCTS if p.kind != "future"]
CALL = SERIES["KOSPI200"].call
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
    read = parse(code)
    assert isinstance(read, Contract if kind == "future" else Option)
    assert (read.product.name, read.product.kind, read.maturity) == (name, kind, maturity)
    assert getattr(read, "strike", None) == strike
    assert read.expiry == date.fromisoformat(expiry)
    assert (read.code, str(read), read.market, read.table) == (
        code,
        code,
        Market.DERIVATIVES,
        "futures_1m",
    )


@pytest.mark.parametrize("code", ["005930", "0001A0", "00104K", "900140", "Q530036", "105630"])
def test_codes_of_stocks_are_not_derivatives(code):
    """105630 is a share whose first three characters are those of old mini futures."""
    assert parse(code) == Stock(code)
    with pytest.raises(InputError):
        parse_derivative(code)
    assert not pl.select(is_derivative(pl.lit(code))).item()


@given(st.sampled_from(FUTURES), st.data())
def test_a_futures_code_reads_back_as_it_was_made(product, data):
    maturity = data.draw(st.sampled_from(expiries.maturities(product.months)))[1]
    code = contract_code(product, maturity)
    read = parse_derivative(code)
    assert (read.product, read.maturity) == (product, maturity)
    assert len(code) == 6
    assert code.startswith(product.prefix if maturity >= "2026" else product.old_prefix)
    assert isinstance(read, Contract)
    assert pl.select(is_derivative(pl.lit(code))).item()


@given(st.sampled_from(OPTIONS), st.data())
def test_an_option_code_reads_back_as_it_was_made(product, data):
    maturity = data.draw(st.sampled_from(expiries.maturities(product.months)))[1]
    strike = data.draw(st.integers(40, 2999)) * 2.5
    code = option_code(product, maturity, strike)
    read = parse_derivative(code)
    assert (len(code), read.product, read.maturity) == (9, product, maturity)
    told = strike < 1_000 and product.underlying == "KOSPI200"
    assert read.strike == (strike if told else None)


def test_strikes_have_codes_of_their_own_in_ascending_order():
    strikes = [n * 2.5 for n in range(1, 1200)]
    codes = [option_code(CALL, "202612", strike) for strike in strikes]
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
    assert option_code(CALL, "202610", strike) == f"B01610{tail}"


@pytest.mark.parametrize("strike", [0, -2.5, 346, 346.25, 7_500, float("nan"), float("inf")])
def test_numbers_that_are_no_strike_are_refused(strike):
    with pytest.raises(InputError):
        option_code(CALL, "202610", strike)


def test_a_code_of_the_future_is_read_but_its_expiry_is_not_guessed():
    far = parse_derivative("A01812")
    assert far.maturity == "202812"
    assert far.last_day == date(2028, 12, 14)
    with pytest.raises(CalendarRangeError):
        _ = far.expiry


def test_series_are_named_as_kis_and_the_tables_name_them():
    assert {name: (s.market_class, s.call.prefix, s.put.prefix) for name, s in SERIES.items()} == {
        "KOSPI200": ("", "B01", "C01"),
        "MINI_KOSPI200": ("MKI", "B05", "C05"),
        "KOSDAQ150": ("KQI", "B06", "C06"),
        "KOSPI200_WEEKLY_MON": ("WKM", "BAF", "CAF"),
        "KOSPI200_WEEKLY_THU": ("WKI", "B09", "C09"),
    }
    assert SERIES["MINI_KOSPI200"].future.prefix == "A05"
    assert SERIES["KOSPI200_WEEKLY_THU"].future.prefix == "A01"
    with pytest.raises(InputError, match="MINI_KOSPI200"):
        option_series("KOSPI")


def test_calls_and_puts_are_told_apart_by_their_codes():
    codes = {
        "B01612A48": "call",
        "201V05480": "call",
        "B09FEW970": "call",
        "BAF01W365": "call",
        "C01612A48": "put",
        "301V05480": "put",
        "C05611365": "put",
        "A01612": None,
        "B01612": None,
        "B01612A480": None,
        "Q500001": None,
        "": None,
        None: None,
    }
    frame = pl.DataFrame({"code": list(codes)}, schema={"code": pl.String})
    found = frame.select(call=is_call(pl.col("code")), put=is_put(pl.col("code")))
    kinds = list(codes.values())
    assert found["call"].to_list() == [kind == "call" for kind in kinds]
    assert found["put"].to_list() == [kind == "put" for kind in kinds]


def test_prefixes_mean_one_product_each():
    prefixes = [prefix for p in PRODUCTS for prefix in (p.prefix, p.old_prefix)]
    assert len(prefixes) == len(set(prefixes)) == 26
    assert all(product(p.old_prefix) is p for p in PRODUCTS)


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
def test_prices_move_in_ticks(symbol, price, tick):
    ticks = BY_PREFIX[symbol].ticks if symbol in BY_PREFIX else parse(symbol).ticks
    assert tick_size(ticks, price) == tick


@pytest.mark.parametrize(
    ("code", "prefix", "is_old"),
    [("A01612", "a01", False), ("101W09", "101", True), ("B09FEW970", "b09", False)],
)
def test_a_code_tells_its_prefix_and_its_generation(code: str, prefix: str, is_old: bool) -> None:
    assert code_prefix(code) == prefix
    assert is_old_code(code) == is_old
    (of_column,) = pl.DataFrame({"symbol": [code]}).select(product_prefix(pl.col("symbol")))
    assert of_column.to_list() == [prefix]
