"""Constant maturities, the volatility index and expected moves, each beside a plain formula."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from vollib.black import undiscounted_black

from engine.features.chain import MONTHLY, WEEKLY
from engine.features.exposure import option_surface
from engine.features.term import WINGS, expected_moves, term_structure
from tests.engine.features.conftest import board
from tests.engine.features.test_surface import greeks

MINUTE = datetime(2026, 11, 2, 10, 31)
Row = tuple[float, float, str]  # days, volatility in % of all strikes, cycle


def smiles(*rows: Row, quotes: tuple[int, ...] = (), minute: datetime = MINUTE) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "timestamp": minute,
            "underlying": "KOSPI200",
            "years": [days / 365 for days, _, _ in rows],
            "cycle": [cycle for _, _, cycle in rows],
            "quotes": quotes or [50] * len(rows),
            "atm_volatility": [volatility for _, volatility, _ in rows],
            **{name: [volatility + 1 for _, volatility, _ in rows] for name in WINGS},
            "swap_volatility": [volatility + 2 for _, volatility, _ in rows],
            "expected_move_close": [days for days, _, _ in rows],
            "expected_move_expiry": [days * 2 for days, _, _ in rows],
        }
    )


def terms(*rows: Row, **options: tuple[int, ...]) -> dict[str, float | None]:
    return term_structure(smiles(*rows, **options)).row(0, named=True)  # type: ignore[arg-type]


def on_the_line(near: Row, after: Row, days: float, add: float = 0.0) -> float:
    """Return the volatility at `days` on the line of total variance through two maturities."""
    first, second = ((volatility + add) ** 2 * t for t, volatility, _ in (near, after))
    share = (days - near[0]) / (after[0] - near[0])
    return math.sqrt((first + (second - first) * share) / days)


def test_a_flat_term_structure_gives_its_volatility_everywhere() -> None:
    found = terms((3, 20.0, WEEKLY), (10, 20.0, MONTHLY), (38, 20.0, MONTHLY), (66, 20.0, MONTHLY))
    for name in ("atm_volatility", "atm_7d", "atm_30d", "atm_60d"):
        assert found[name] == pytest.approx(20.0)
    for name in ("vkospi", "vkospi_weekly"):
        assert found[name] == pytest.approx(22.0)
    assert found["risk_reversal_25d"] == pytest.approx(0.0, abs=1e-9)
    assert found["butterfly_10d"] == pytest.approx(1.0)


def test_between_two_maturities_total_variance_is_linear() -> None:
    rows: list[Row] = [(3, 31.0, WEEKLY), (10, 26.0, MONTHLY), (38, 22.0, MONTHLY)]
    rows += [(66, 21.0, MONTHLY)]
    found = terms(*rows)
    assert found["atm_7d"] == pytest.approx(on_the_line(rows[0], rows[1], 7))
    assert found["atm_30d"] == pytest.approx(on_the_line(rows[1], rows[2], 30))
    assert found["atm_60d"] == pytest.approx(on_the_line(rows[2], rows[3], 60))
    assert found["vkospi"] == pytest.approx(on_the_line(rows[1], rows[2], 30, add=2.0))
    assert found["vkospi_weekly"] == pytest.approx(on_the_line(rows[0], rows[1], 7, add=2.0))
    assert found["atm_volatility"] == found["atm_30d"]


def test_before_the_first_its_volatility_holds_and_beyond_the_last_nothing_is_said() -> None:
    found = terms((10, 26.0, MONTHLY), (38, 22.0, MONTHLY))
    assert found["atm_7d"] == pytest.approx(26.0)
    assert found["atm_60d"] is None
    alone = terms((10, 26.0, MONTHLY))
    assert (alone["atm_30d"], alone["vkospi"]) == (None, None)
    assert alone["atm_volatility"] == pytest.approx(26.0), "of the maturity nearest to 30 days"


def test_the_near_month_of_the_index_has_more_than_a_week_left() -> None:
    rows: list[Row] = [(7, 40.0, MONTHLY), (35, 22.0, MONTHLY), (63, 21.0, MONTHLY)]
    expected = on_the_line(rows[1], rows[2], 30, add=2.0)  # the line is drawn on to 30 days
    assert terms(*rows)["vkospi"] == pytest.approx(expected)
    with_week: Row = (7.01, 40.0, MONTHLY)
    assert terms(with_week, *rows[1:])["vkospi"] == pytest.approx(
        on_the_line(with_week, rows[1], 30, add=2.0)
    )
    weeks = terms((3, 20.0, WEEKLY), (10, 21.0, WEEKLY), (24, 20.0, WEEKLY), (38, 22.0, MONTHLY))
    assert weeks["vkospi"] is None, "two months are needed, weeks are none"


def test_the_last_day_has_no_part_in_the_weekly_index() -> None:
    last, near, after = (0.9, 50.0, WEEKLY), (4, 25.0, WEEKLY), (10, 24.0, MONTHLY)
    found = terms(last, near, after)["vkospi_weekly"]
    assert found == pytest.approx(on_the_line(near, after, 7, add=2.0))
    assert terms(last, after)["vkospi_weekly"] is None, "nothing at or before 7 days"


def test_of_two_series_with_one_expiry_the_one_with_more_quotes_counts() -> None:
    rows: list[Row] = [(10, 26.0, MONTHLY), (10, 99.0, MONTHLY), (38, 22.0, MONTHLY)]
    found = terms(*rows, quotes=(60, 8, 60))
    assert found == terms(rows[0], rows[2])


def test_minutes_do_not_mix() -> None:
    one, other = (
        smiles((10, 26.0, MONTHLY), (38, 22.0, MONTHLY)),
        smiles((24, 20.0, MONTHLY), minute=datetime(2026, 11, 2, 10, 32)),
    )
    both = term_structure(pl.concat([other, one]))
    assert both["vkospi"].is_null().to_list() == [False, True]
    assert both.row(0) == term_structure(one).row(0)
    assert term_structure(one.clear()).is_empty()
    nothing = one.with_columns(atm_volatility=pl.lit(None, pl.Float64))
    assert term_structure(nothing).is_empty()


def test_moves_are_straddles_in_trading_time() -> None:
    """The straddle at the money, undiscounted, by vollib."""
    theta, forward = 0.0136, 1060.0
    found = (
        pl.DataFrame({"smile_theta": [theta] * 3, "forward": [forward] * 3})
        .with_columns(
            trading_to_close=pl.Series([100.0, 400.0, None], dtype=pl.Float64),
            trading_to_expiry=pl.Series([1600.0, 400.0, 1600.0]),
        )
        .with_columns(expected_moves())
    )

    def straddle(variance: float) -> float:
        sides = (undiscounted_black(forward, forward, math.sqrt(variance), 1.0, s) for s in "cp")
        return float(sum(sides))

    assert found["expected_move_expiry"].to_list() == pytest.approx([straddle(theta)] * 3)
    assert found["expected_move_close"][0] == pytest.approx(straddle(theta * 100 / 1600))
    assert found["expected_move_close"][1] == found["expected_move_expiry"][1], "the last day"
    assert found["expected_move_close"][2] is None


def test_a_surface_says_so_over_all_maturities() -> None:
    """Flat smiles of 25 % at every maturity: every figure of a volatility is 25."""
    boards = [
        board(
            symbol=symbol,
            expiry=expiry,
            volatility=0.25,
            strikes=np.arange(760.0, 1400.1, 2.5),
        )
        for symbol, expiry in (
            ("202611_KOSPI200", datetime(2026, 11, 12, 15, 20)),
            ("202612_KOSPI200", datetime(2026, 12, 10, 15, 20)),
            ("202701_KOSPI200", datetime(2027, 1, 14, 15, 20)),
        )
    ]
    flat = pl.concat(boards).with_columns(cycle=pl.lit(MONTHLY))
    years = (pl.col("expiry") - pl.col("timestamp")).dt.total_seconds() / (365 * 86400)
    rows = flat.with_columns(years=years).iter_rows(named=True)
    price = [
        undiscounted_black(1061.3, r["strike"], 0.25, r["years"], r["option_type"].lower())
        for r in rows
    ]
    priced = flat.with_columns(price=pl.Series(price)).with_columns(
        bid=pl.col("price") - 0.01, ask=pl.col("price") + 0.01
    )
    found = (
        option_surface(greeks(priced)).filter(underlying_symbol="all_KOSPI200").row(0, named=True)
    )
    for name in ("atm_volatility", "atm_7d", "atm_30d", "atm_60d", "vkospi"):
        assert found[name] == pytest.approx(25.0, abs=0.35), name  # prices here are not discounted
    assert found["risk_reversal_10d"] == pytest.approx(0.0, abs=0.4)
    assert found["maturities"] == 3
