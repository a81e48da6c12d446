"""The model's greeks of a chain: from each option's own price, where there is one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from vollib.black.greeks import analytical
from vollib.black.implied_volatility import implied_volatility

from engine.features.black76 import RATE, Terms
from engine.features.greeks import with_model_greeks
from engine.schemas import MODEL_METRICS
from tests.engine.features.prepared import on_its_underlying
from tests.paths import BOARD_FILE as BOARD
from tests.paths import needs

Board = Callable[..., pl.DataFrame]


def model(chain: pl.DataFrame, **how: object) -> pl.DataFrame:
    return with_model_greeks(on_its_underlying(chain), **how).collect()  # type: ignore[arg-type]


def one(chain: pl.DataFrame, **values: object) -> dict[str, object]:
    """Return the model's numbers of the ATM call with other values of its columns."""
    row = chain.filter(strike=1062.5, option_type="C")
    changed = row.with_columns(
        pl.lit(value, row.schema[name]).alias(name) for name, value in values.items()
    )
    return model(changed).select(MODEL_METRICS).row(0, named=True)


def test_model_greeks_are_what_vollib_finds_from_the_price(make_board: Board) -> None:
    chain = make_board()
    found = model(chain)
    years = (chain["expiry"] - chain["timestamp"]).dt.total_seconds() / (365 * 86400)
    inputs = found.with_columns(years=years, flag=pl.col("option_type").str.to_lowercase())
    for row in inputs.filter(pl.col("model_iv").is_not_null()).iter_rows(named=True):
        known = (row["underlying_price"], row["strike"])
        volatility = implied_volatility(row["price"], *known, RATE, row["years"], row["flag"])
        assert row["model_iv"] == pytest.approx(volatility * 100, abs=1e-8)
        for name in MODEL_METRICS[1:]:
            greek = getattr(analytical, name.removeprefix("model_"))
            value = greek(row["flag"], *known, row["years"], RATE, volatility)
            assert row[name] == pytest.approx(value, abs=1e-9)
    assert found["model_iv"].null_count() == 0


def test_model_greeks_use_the_implied_volatility_and_those_of_kis_do_not(make_board: Board) -> None:
    found = model(make_board())
    assert (found["model_iv"] - found["iv"]).abs().max() < 1.5  # the tick
    near = found.filter((pl.col("strike") - 1061.3).abs() < 30)
    assert (near["model_gamma"] / near["gamma"]).min() > 1.8  # 36 % against 77 %


@needs(BOARD)
def test_on_a_real_board_the_implied_volatility_is_that_of_kis() -> None:
    """KIS's iv, unlike its greeks, comes from the last price: on the index, 21 days left."""
    real = pl.read_parquet(BOARD).select(
        timestamp=pl.lit(datetime(2026, 9, 17, 15, 20)),
        expiry=datetime(2026, 10, 8, 15, 20),
        underlying_symbol=pl.lit("202610_KOSPI200"),
        option_type="right",
        strike="strike",
        price="last",
        underlying_price=pl.col("kospi200") - 0.54,  # dividends until expiry
        underlying_source=pl.lit("index"),
        iv="iv",
        delta="delta",
        gamma="gamma",
    )
    found = model(real, terms=Terms())
    assert (found["model_iv"] - found["iv"]).abs().mean() < 0.05
    assert (found["model_iv"] - found["iv"]).abs().max() < 0.1
    assert (found["model_gamma"] - found["gamma"]).abs().mean() > 0.0015


@pytest.mark.parametrize(
    ("values", "worth"),
    [
        ({"price": 50.0, "bid": 40.0, "ask": 60.0}, 50.0),
        ({"price": 50.0, "bid": 52.0, "ask": 60.0}, 52.0),  # 50 is no longer possible
        ({"price": 50.0, "bid": 40.0, "ask": 48.0}, 48.0),
        ({"price": 50.0, "bid": 0.0, "ask": 48.0}, 48.0),
        ({"price": 50.0, "bid": 52.0, "ask": 0.0}, 52.0),
        ({"price": 50.0, "bid": 0.0, "ask": 0.0}, 50.0),
        ({"price": 50.0, "bid": None, "ask": None}, 50.0),
        ({"price": 0.0, "bid": 40.0, "ask": 60.0}, 50.0),
        ({"price": None, "bid": 40.0, "ask": 60.0}, 50.0),
    ],
)
def test_a_price_outside_the_quotes_is_moved_into_them(
    make_board: Board, values: dict[str, float | None], worth: float
) -> None:
    plain = {"price": worth, "bid": None, "ask": None}
    assert one(make_board(), **values) == one(make_board(), **plain)
    assert one(make_board(), **plain)["model_iv"] is not None


@pytest.mark.parametrize(
    "values",
    [
        {"price": None, "bid": None, "ask": None},
        {"price": 0.0, "bid": 0.0, "ask": 0.01},
        {"price": 50.0, "bid": 60.0, "ask": 40.0},
        {"price": 2000.0, "bid": None, "ask": None},
        {"expiry": None},
        {"expiry": datetime(2026, 11, 2, 10, 31)},
        {"underlying_price": None},
        {"delta": -0.5},
        {"strike": 900.0},  # and so below its intrinsic value
    ],
)
def test_an_option_without_a_volatility_has_no_greeks(
    make_board: Board, values: dict[str, object]
) -> None:
    assert set(one(make_board(), **values).values()) == {None}


def test_without_an_expiry_there_are_no_greeks(make_board: Board) -> None:
    found = model(make_board().drop("expiry"))
    assert found.select(MODEL_METRICS).null_count().row(0) == (202,) * 6


def test_other_columns_of_the_chain_stay(make_board: Board) -> None:
    chain = make_board()
    assert model(chain).select(chain.columns).equals(chain)


def test_other_terms_replace_the_default_ones(make_board: Board) -> None:
    chain = make_board()
    terms = Terms(underlying=pl.lit(1061.3), on_spot=pl.lit(False))
    wrong_price = chain.with_columns(underlying_price=1100.0)
    assert (
        model(wrong_price, terms=terms)
        .select(MODEL_METRICS)
        .equals(model(chain).select(MODEL_METRICS))
    )
    assert not model(chain, rate=0.05).equals(model(chain))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_no_digit_depends_on_what_else_is_in_the_batch(make_board: Board, engine: str) -> None:
    """Live there is one snapshot, in history there are thousands: the bits are the same."""
    chain = make_board()
    later = [
        chain.with_columns(pl.col("timestamp", "quoted_at") + pl.duration(minutes=n))
        for n in range(1, 40)
    ]
    together = with_model_greeks(on_its_underlying(pl.concat([*later, chain])))
    found = together.collect(engine=engine).tail(chain.height)  # type: ignore[call-overload]
    alone = model(chain)
    assert_frame_equal(found, alone, check_exact=True)
    singly = pl.concat(model(chain[n]) for n in range(90, 110))
    assert_frame_equal(singly, alone[90:110], check_exact=True)
