"""Prices and greeks agree with vollib, with their own laws and with a real board."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vollib.black import black
from vollib.black.greeks import analytical as black_greeks
from vollib.black_scholes import black_scholes
from vollib.black_scholes.greeks import analytical as scholes_greeks

from engine.features import black76
from engine.features.black76 import GREEKS, Terms, greeks, with_greeks
from tests.paths import BOARD_FILE as BOARD
from tests.paths import CALLS_FILE as CALLS
from tests.paths import KIS_SAMPLES, needs

SAMPLE = KIS_SAMPLES / "FHPIF05030100.json"

GRID = pl.DataFrame(
    list(
        itertools.product(
            ("c", "p"),
            (1000.0, 350.25),
            (0.5, 0.8, 0.95, 1.0, 1.02, 1.3, 2.5),  # strike / underlying
            (1 / 365 / 7, 1 / 365, 21 / 365, 0.5, 3.0),
            (0.0, 0.02, 0.08),
            (0.03, 0.15, 0.4, 0.766, 2.0),
        )
    ),
    schema=["flag", "underlying", "moneyness", "years", "rate", "volatility"],
    orient="row",
).with_columns(strike=pl.col("underlying") * pl.col("moneyness"))
ARGUMENTS = ("flag", "underlying", "strike", "years", "rate", "volatility")


def terms(*, on_spot: bool = False) -> Terms:
    return Terms(
        underlying=pl.col("underlying"),
        strike=pl.col("strike"),
        years=pl.col("years"),
        is_call=pl.col("flag") == "c",
        rate=pl.col("rate"),
        on_spot=pl.lit(on_spot),
    )


def every_value(frame: pl.DataFrame, *, on_spot: bool = False) -> pl.DataFrame:
    known, volatility = terms(on_spot=on_spot), pl.col("volatility")
    return frame.select(
        price=black76.price(known, volatility), greeks=greeks(known, volatility)
    ).unnest("greeks")


@pytest.mark.parametrize("on_spot", [False, True], ids=["future", "spot"])
@pytest.mark.parametrize("name", ["price", *GREEKS])
def test_prices_and_greeks_agree_with_vollib(name: str, on_spot: bool) -> None:
    pricer, greeks = (black_scholes, scholes_greeks) if on_spot else (black, black_greeks)
    oracle = pricer if name == "price" else getattr(greeks, name)
    expected = [oracle(*row) for row in GRID.select(ARGUMENTS).iter_rows()]
    ours = every_value(GRID, on_spot=on_spot)[name]
    assert ours.null_count() == 0
    error = (ours - pl.Series(expected)).abs() / pl.Series(expected).abs().clip(lower_bound=1)
    assert error.max() < 1e-10


def test_greeks_are_slopes_of_the_price_in_the_units_of_kis() -> None:
    row = GRID.filter(years=21 / 365, rate=0.02, volatility=0.4, underlying=1000.0, moneyness=1.02)

    def slope(column: str, step: float, *, on_spot: bool) -> pl.Series:
        up, down = (
            every_value(row.with_columns(pl.col(column) + way * step), on_spot=on_spot)["price"]
            for way in (1, -1)
        )
        return (up - down) / 2

    for on_spot in (False, True):
        found = every_value(row, on_spot=on_spot)
        slopes = {
            "delta": slope("underlying", 1.0, on_spot=on_spot),
            "vega": slope("volatility", 0.01, on_spot=on_spot),
            "theta": slope("years", -0.01 / 365, on_spot=on_spot) / 0.01,
            "rho": slope("rate", 0.01, on_spot=on_spot),
        }
        for name, expected in slopes.items():
            assert found[name].to_list() == pytest.approx(expected.to_list(), rel=2e-3)


def test_with_greeks_gives_what_the_single_functions_give() -> None:
    at_once = with_greeks(GRID.lazy(), pl.col("volatility"), terms(), prefix="m_").collect()
    one_by_one = every_value(GRID)
    for name in GREEKS:
        assert at_once[f"m_{name}"].to_list() == one_by_one[name].to_list()
    assert at_once.width == GRID.width + len(GREEKS)


def test_at_expiry_the_price_is_intrinsic_and_greeks_are_null() -> None:
    frame = pl.DataFrame(
        {
            "flag": ["c", "p", "c", "c", "p"],
            "underlying": [100.0] * 5,
            "strike": [90.0, 90.0, 100.0, 90.0, 110.0],
            "years": [0.0, 0.0, 0.0, 0.5, 0.5],
            "rate": [0.02] * 5,
            "volatility": [0.3, 0.3, 0.3, 0.0, 0.0],
        }
    )
    values = every_value(frame)
    discount = math.exp(-0.01)
    assert values["price"].to_list() == pytest.approx([10, 0, 0, 10 * discount, 10 * discount])
    assert values.select(*GREEKS).null_count().row(0) == (5,) * len(GREEKS)


@pytest.mark.parametrize("column", ["underlying", "strike", "years", "volatility", "rate", "flag"])
def test_a_missing_input_makes_everything_that_needs_it_null(column: str) -> None:
    frame = GRID.head(3).with_columns(pl.lit(None, GRID.schema[column]).alias(column))
    values = every_value(frame)
    shared = {"gamma", "vega"} if column == "flag" else set()  # by calls and puts
    missing = {name: values[name].null_count() for name in values.columns}
    assert missing == {name: 0 if name in shared else 3 for name in values.columns}


@pytest.mark.parametrize("wrong", [0.0, -5.0])
@pytest.mark.parametrize("column", ["underlying", "strike"])
def test_a_price_or_strike_that_is_not_positive_gives_null(column: str, wrong: float) -> None:
    assert every_value(GRID.head(1).with_columns(pl.lit(wrong).alias(column)))["price"][0] is None


def test_many_options_start_no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would leave a thread behind in Python's list, of Polars's that asked for them."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("threads are started")

    monkeypatch.setattr("concurrent.futures.ThreadPoolExecutor", refuse)
    assert GRID.height > 2000
    assert every_value(GRID).height == GRID.height


def test_years_are_calendar_time_and_end_at_expiry() -> None:
    frame = pl.DataFrame(
        {
            "timestamp": [datetime(2026, 9, 17, 15, 20), datetime(2026, 10, 8, 15, 45)],
            "expiry": [datetime(2026, 10, 8, 15, 20)] * 2,
        }
    )
    assert frame.select(black76.years())["expiry"].to_list() == pytest.approx([21 / 365, 0.0])


@settings(max_examples=40)
@given(
    underlying=st.floats(10, 3000),
    moneyness=st.floats(0.4, 2.5),
    years=st.floats(1e-3, 3),
    rate=st.floats(0, 0.1),
    volatility=st.floats(0.01, 3),
    scale=st.floats(0.1, 10),
    on_spot=st.booleans(),
)
def test_prices_keep_put_call_parity_and_scale(
    underlying: float,
    moneyness: float,
    years: float,
    rate: float,
    volatility: float,
    scale: float,
    on_spot: bool,
) -> None:
    strike = underlying * moneyness
    frame = pl.DataFrame(
        {
            "flag": ["c", "p", "c"],
            "underlying": [underlying, underlying, underlying * scale],
            "strike": [strike, strike, strike * scale],
            "years": years,
            "rate": rate,
            "volatility": volatility,
        }
    )
    values = every_value(frame, on_spot=on_spot)
    call, put, scaled = values["price"]
    carry = math.exp(rate * years) if on_spot else 1.0
    discount = math.exp(-rate * years)
    tiny = 1e-12 * underlying
    assert call - put == pytest.approx(discount * (underlying * carry - strike), abs=tiny)
    assert scaled == pytest.approx(call * scale, rel=1e-9, abs=tiny * scale)
    assert 0 <= put <= discount * strike + tiny
    assert values["delta"][0] - values["delta"][1] == pytest.approx(discount * carry)
    for name in ("gamma", "vega"):
        assert values[name][0] == pytest.approx(values[name][1])


def board_of_20260917() -> pl.DataFrame:
    """75 calls and puts, 21 days before expiry: index 1058.27, dividends until then 0.54."""
    return pl.read_parquet(BOARD).with_columns(
        flag=pl.col("right").str.to_lowercase(),
        underlying=1058.27 - 0.54,
        years=21 / 365,
        volatility=pl.col("hist_vol") / 100,
    )


def calls_of_20261007() -> pl.DataFrame:
    """38 calls on the evening before their expiry. Their historical volatility is a fit, too."""
    return pl.read_csv(CALLS).with_columns(
        flag=pl.lit("c"), underlying=1073.63, years=1 / 365, volatility=0.738806
    )


@needs(BOARD, CALLS)
@pytest.mark.parametrize(
    ("read", "rate"), [(board_of_20260917, 0.03033), (calls_of_20261007, 0.03015)]
)
def test_greeks_of_kis_are_black_scholes_with_its_historical_volatility_at_3_percent(
    read: Callable[[], pl.DataFrame], rate: float
) -> None:
    """Each board by the rate of its day to the last printed digit; RATE is that rate rounded.

    A rate that is 0.03 points off moves theta, and only theta, by more than that digit.
    """
    board = read()
    assert round(rate, 3) == black76.RATE
    for used, theta in ((rate, 1e-4), (black76.RATE, 6e-4)):
        ours = every_value(board.with_columns(rate=used), on_spot=True)
        for name in (greek for greek in GREEKS if greek in board.columns):
            error = (ours[name] - board[name]).abs().max()
            assert error < (theta if name == "theta" else 1e-4), (name, used, error)


@needs(SAMPLE)
def test_rho_of_kis_is_per_percentage_point_and_theta_per_calendar_day() -> None:
    put = json.loads(SAMPLE.read_text(encoding="utf-8"))["output2"][0]
    assert float(put["delta_val"]) == -1  # all that is left of it is interest
    strike, rate, years = float(put["acpr"]), 0.035, 27 / 365  # 2024-04-12 to 2024-05-09
    worth = strike * math.exp(-rate * years)
    assert float(put["rho"]) == pytest.approx(-worth * years / 100, abs=1e-4)
    assert float(put["theta"]) == pytest.approx(worth * rate / 365, abs=2e-4)
