"""KIS's greeks to the last printed digit, by its own recipe, and where it is known to be wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

import polars as pl
import pytest
from vollib.black_scholes import black_scholes
from vollib.black_scholes.greeks import analytical

from engine.features.black76 import GREEKS, RATE
from engine.features.chain import prepare_chain
from engine.features.vendor import with_vendor_greeks, with_vendor_spot
from tests.engine.features.prepared import chain_flags, ready
from tests.paths import BOARD_FILE, CALLS_FILE, needs

Board = Callable[..., pl.DataFrame]
LAST_DIGIT = 1e-4  # KIS prints four decimals
LAST_DAY = datetime(2026, 12, 10, 15, 20)


def as_kis(board: pl.DataFrame, spot: float, volatility: float, days: float) -> pl.DataFrame:
    """Return the board with KIS's theoretical prices and greeks on this S, rounded, by vollib."""
    years = days / 365
    rows = board.select("option_type", "strike").rows()
    terms = [(side.lower(), spot, strike, years, RATE, volatility) for side, strike in rows]
    price = [round(black_scholes(f, s, k, t, r, v), 2) for f, s, k, t, r, v in terms]
    greeks = {
        name: [round(getattr(analytical, name)(f, s, k, t, r, v), 4) for f, s, k, t, r, v in terms]
        for name in GREEKS
    }
    return board.with_columns(
        pl.Series("theoretical_price", price),
        *(pl.Series(name, values) for name, values in greeks.items()),
        historical_volatility=pl.lit(volatility * 100),
    )


def worst(chain: pl.DataFrame) -> dict[str, float]:
    """Return the largest difference between what KIS gave and ours, by greek."""
    return {
        name: chain.select((pl.col(f"vendor_{name}") - pl.col(name)).abs().max()).item()
        for name in GREEKS
        if chain[name].null_count() < chain.height
    }


def reckoned(chain: pl.DataFrame) -> pl.DataFrame:
    return with_vendor_greeks(with_vendor_spot(prepare_chain(chain.lazy()))).collect()


@pytest.mark.parametrize(
    ("moment", "days"),
    [
        (datetime(2026, 11, 2, 10, 31), 38),
        (datetime(2026, 12, 9, 15, 0), 1),
        (datetime(2026, 12, 10, 14, 50), 0.5),  # the last day counts as half a day
    ],
)
def test_the_recipe_gives_a_monthly_s_greeks_back(
    make_board: Board, moment: datetime, days: float
) -> None:
    """S is read off the theoretical prices alone, whatever index and future say."""
    strikes = [1000.0 + 2.5 * n for n in range(49)]
    board = make_board(moment=moment, expiry=LAST_DAY, strikes=strikes)
    chain = as_kis(board, 1057.73, 0.766483, days)
    found = reckoned(chain)
    assert found["vendor_spot"].unique().to_list() == [pytest.approx(1057.73, abs=0.011)]
    # S is known to a hundredth: delta moves by gamma times that, on the last day more than a digit.
    slack = LAST_DIGIT + 0.011 * chain["gamma"].max()  # type: ignore[operator]
    assert all(
        size <= slack * max(1.0, days**-1)
        for name, size in worst(found).items()
        if name in ("delta", "gamma")
    )
    exact = with_vendor_greeks(
        prepare_chain(chain.lazy()).with_columns(vendor_spot=pl.lit(1057.73))
    ).collect()
    assert max(worst(exact).values()) <= 0.51 * LAST_DIGIT


def test_a_weekly_that_traded_stands_on_its_own_volatility(make_board: Board) -> None:
    board = make_board().with_columns(cycle=pl.lit("weekly"), iv=36.0)
    chain = as_kis(board, 1057.73, 0.36, 38).with_columns(historical_volatility=pl.lit(99.0))
    exact = with_vendor_greeks(
        prepare_chain(chain.lazy()).with_columns(vendor_spot=pl.lit(1057.73))
    ).collect()
    assert exact.filter(pl.col("volume") > 0).height > 100
    assert max(worst(exact).values()) <= 0.51 * LAST_DIGIT


def test_a_weekly_that_did_not_trade_is_flagged_and_has_no_part_in_s(make_board: Board) -> None:
    """Its delta is that of yesterday's index, 20 points away."""
    quiet = pl.col("strike") % 5 == 0
    board = make_board().with_columns(
        cycle=pl.lit("weekly"), iv=36.0, volume=pl.when(quiet).then(0).otherwise("volume")
    )
    now, yesterday = as_kis(board, 1057.73, 0.36, 38), as_kis(board, 1037.73, 0.36, 38)
    chain = pl.concat([now.filter(~quiet), yesterday.filter(quiet)])
    found = reckoned(chain)
    assert found["vendor_spot"].unique().to_list() == [pytest.approx(1057.73, abs=0.011)]
    assert found.filter(quiet)["vendor_delta"].null_count() == found.filter(quiet).height
    (flag,) = chain_flags(ready(chain)).collect().filter(flag="old_vendor").to_dicts()
    assert flag["rows"] == found.filter(quiet).height
    monthly = chain.with_columns(cycle=pl.lit("monthly"))
    assert "old_vendor" not in set(chain_flags(ready(monthly)).collect()["flag"])


def kis_rows(rows: pl.DataFrame, volatility: float, spot: float) -> pl.LazyFrame:
    return prepare_chain(
        rows.lazy().with_columns(
            underlying_symbol=pl.lit("202610_KOSPI200"),
            historical_volatility=pl.lit(volatility),
            vendor_spot=pl.lit(spot),
            expiry=pl.lit(datetime(2026, 10, 8, 15, 20)),
        )
    )


@needs(BOARD_FILE)
def test_a_real_board_to_the_last_printed_digit() -> None:
    """75 options; its theoretical prices were not kept: S and r are those of docs/kis.md#greeks."""
    rows = pl.read_parquet(BOARD_FILE).select(
        *("strike", "volume", "iv", "delta", "gamma", "vega", "theta"),
        timestamp=pl.lit(datetime(2026, 9, 17, 15, 45)),
        option_type="right",
        rho=pl.lit(None, pl.Float64),
    )
    found = with_vendor_greeks(kis_rows(rows, 76.6483, 1057.73), 0.03033).collect()
    assert found.height == 75
    sizes = worst(found)
    assert set(sizes) == {"delta", "gamma", "vega", "theta"}
    assert max(sizes.values()) < LAST_DIGIT


@needs(CALLS_FILE)
def test_real_calls_of_the_last_evening_to_the_last_printed_digit() -> None:
    rows = pl.read_csv(CALLS_FILE).select(
        *("strike", "volume", "iv", *GREEKS),
        timestamp=pl.lit(datetime(2026, 10, 7, 15, 20)),
        option_type=pl.lit("C"),
    )
    found = with_vendor_greeks(kis_rows(rows, 73.8806, 1073.63), 0.03015).collect()
    assert found.height == 38
    assert math.isclose(max(worst(found).values()), 0, abs_tol=LAST_DIGIT)
