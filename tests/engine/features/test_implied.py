"""Implied volatility is found wherever it exists, and NULL wherever it does not."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from vollib.black.implied_volatility import implied_volatility as vollib_volatility

from engine.features import black76
from engine.features.black76 import Terms
from engine.features.implied import implied_greeks

TERMS = Terms(
    underlying=pl.col("underlying"),
    strike=pl.col("strike"),
    years=pl.col("years"),
    is_call=pl.col("is_call"),
    rate=pl.col("rate"),
    on_spot=pl.col("on_spot"),
)


def volatility() -> pl.Expr:
    return implied_greeks(pl.col("value"), TERMS).struct.field("iv")


def priced(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(value=black76.price(TERMS, pl.col("volatility")))


def solved(rows: pl.DataFrame) -> pl.DataFrame:
    found = rows.with_columns(found=volatility())
    return found.with_columns(back=black76.price(TERMS, pl.col("found")))


def options(**columns: object) -> pl.DataFrame:
    usual = {
        "underlying": 1000.0,
        "strike": 1000.0,
        "years": 21 / 365,
        "is_call": True,
        "rate": 0.02,
        "on_spot": False,
        "volatility": 0.3,
    }
    return pl.DataFrame({**usual, **columns})


WIDE = pl.DataFrame(
    list(
        itertools.product(
            (1000.0,),
            np.geomspace(0.05, 20, 41) * 1000.0,
            (1 / 365 / 24, 1 / 365, 7 / 365, 0.25, 2.0),
            (True, False),
            (0.0, 0.03),
            (False, True),
            (0.01, 0.05, 0.15, 0.4, 0.8, 2.0, 5.0),
        )
    ),
    schema=["underlying", "strike", "years", "is_call", "rate", "on_spot", "volatility"],
    orient="row",
)


def test_the_volatility_gives_every_price_back() -> None:
    rows = solved(priced(WIDE))
    known = rows.filter(pl.col("found").is_not_null())
    assert known.height > 3500
    assert (known["back"] - known["value"]).abs().max() < 1e-8
    assert known["found"].is_finite().all()


def test_the_volatility_itself_is_found_where_the_price_depends_on_it() -> None:
    greeks = black76.greeks(TERMS, pl.col("volatility"))
    rows = solved(priced(WIDE)).with_columns(vega=greeks.struct.field("vega"))
    sensitive = rows.filter(pl.col("vega") > 1e-3)  # 0.001 points per volatility point
    assert sensitive.height > 2500
    assert sensitive["found"].null_count() == 0
    assert (sensitive["found"] - sensitive["volatility"]).abs().max() < 1e-9


def test_the_volatility_is_null_only_where_there_is_no_time_value() -> None:
    rows = solved(priced(WIDE)).filter(pl.col("found").is_null())
    growth = (pl.col("rate") * pl.col("years")).exp()
    forward = pl.col("underlying") * pl.when("on_spot").then(growth).otherwise(1.0)
    bound = pl.when("is_call").then(forward).otherwise(pl.col("strike"))
    sign = pl.when("is_call").then(1.0).otherwise(-1.0)
    intrinsic = (sign * (forward - pl.col("strike"))).clip(lower_bound=0.0)
    time_value = pl.col("value") * growth - intrinsic
    left = bound - pl.col("value") * growth
    unit = (forward * pl.col("strike")).sqrt()
    assert rows.select((pl.min_horizontal(time_value, left) < 2e-12 * unit).all()).item()


def test_the_volatility_agrees_with_vollib_on_prices_on_the_tick() -> None:
    strikes = pl.Series(np.arange(800, 1250, 2.5))
    rows = priced(options(strike=strikes, is_call=strikes > 1000)).with_columns(
        pl.col("value").round(2)
    )
    rows = solved(rows.filter(pl.col("value") > 0))
    arguments = rows.select("value", "underlying", "strike", "rate", "years", "is_call")
    expected = [
        vollib_volatility(*numbers, "c" if is_call else "p")
        for *numbers, is_call in arguments.iter_rows()
    ]
    assert rows.height > 150
    assert (rows["found"] - pl.Series(expected)).abs().max() < 1e-10


@pytest.mark.parametrize(
    ("case", "columns"),
    [
        ("below intrinsic", {"strike": 900.0, "value": 99.0}),
        ("at intrinsic", {"strike": 900.0, "rate": 0.0, "value": 100.0}),
        ("no price at all", {"value": 0.0}),
        ("a negative price", {"value": -1.0}),
        ("a call worth the forward", {"rate": 0.0, "value": 1000.0}),
        ("a call worth more", {"value": 1001.0}),
        ("a put worth the strike", {"rate": 0.0, "is_call": False, "value": 1000.0}),
        ("no time", {"years": 0.0, "value": 10.0}),
        ("no price known", {"value": None}),
        ("no underlying known", {"underlying": None, "value": 10.0}),
        ("not a number", {"value": float("nan")}),
        ("infinite", {"value": float("inf")}),
    ],
)
def test_the_volatility_is_null_without_a_solution(case: str, columns: dict[str, object]) -> None:
    rows = options(**columns).with_columns(pl.col("value", "underlying").cast(pl.Float64))
    assert solved(rows)["found"].to_list() == [None], case


def test_one_bad_row_does_not_change_the_others() -> None:
    rows = options(value=[30.0, -1.0, None, 25.0])
    found = solved(rows)["found"].to_list()
    assert found[0] > found[3] > 0
    assert found[1:3] == [None, None]


def test_the_greeks_are_those_at_the_volatility() -> None:
    rows = priced(WIDE).with_columns(iv=volatility())
    at_once = rows.select(found=implied_greeks(pl.col("value"), TERMS)).unnest("found")
    one_by_one = rows.select("iv", greeks=black76.greeks(TERMS, pl.col("iv"))).unnest("greeks")
    assert at_once.equals(one_by_one)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 16_384, 16_385, 40_000])
def test_no_digit_depends_on_how_many_options_are_solved_at_once(length: int) -> None:
    rows = pl.concat([priced(WIDE)] * 15)
    together = rows.select(found=implied_greeks(pl.col("value"), TERMS))
    part = rows.slice(4_000, length).select(found=implied_greeks(pl.col("value"), TERMS))
    assert part.equals(together.slice(4_000, length))


def test_a_frame_without_rows_has_no_volatilities() -> None:
    empty = priced(WIDE).clear().select(found=implied_greeks(pl.col("value"), TERMS))
    assert empty.unnest("found").shape == (0, 6)


@given(
    underlying=st.floats(50, 3000),
    moneyness=st.floats(0.2, 5),
    years=st.floats(1e-4, 3),
    volatility=st.floats(0.005, 4),
    is_call=st.booleans(),
    on_spot=st.booleans(),
)
def test_the_volatility_gives_any_price_back(
    underlying: float,
    moneyness: float,
    years: float,
    volatility: float,
    is_call: bool,
    on_spot: bool,
) -> None:
    rows = options(
        underlying=underlying,
        strike=underlying * moneyness,
        years=years,
        volatility=volatility,
        is_call=is_call,
        on_spot=on_spot,
    )
    row = solved(priced(rows)).row(0, named=True)
    if row["found"] is not None:
        assert abs(row["back"] - row["value"]) < 1e-8
        assert row["found"] > 0
