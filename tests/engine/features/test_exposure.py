"""Exposures against a plain loop with vollib's greeks; they do not jump with the quotes."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime

import numpy as np
import polars as pl
import pytest
from vollib.black.greeks.analytical import delta as vollib_delta
from vollib.black.greeks.analytical import gamma as vollib_gamma

from engine.features.black76 import RATE
from engine.features.exposure import option_surface
from tests.engine.features.prepared import with_more_calls
from tests.engine.features.test_forward import blank
from tests.engine.features.test_surface import greeks, with_smile

Board = Callable[..., pl.DataFrame]


@pytest.fixture
def chain(make_board: Board) -> pl.DataFrame:
    far = make_board(expiry=datetime(2027, 1, 14, 15, 20), symbol="202701_KOSPI200")
    return greeks(with_more_calls(make_board()), with_more_calls(far))


def test_the_sums_are_those_of_a_plain_loop(chain: pl.DataFrame) -> None:
    """Vanna and charm by differences of vollib's deltas, the others from vollib itself."""
    found = option_surface(chain).to_dicts()
    rows = with_smile(chain).to_dicts()
    names = ("202612_KOSPI200", "202701_KOSPI200", "all_KOSPI200")
    assert [row["underlying_symbol"] for row in found] == list(names)
    for name, figures in zip(names, found, strict=True):
        delta, gamma, vanna, charm = 0.0, 0.0, 0.0, 0.0
        walls: dict[str, dict[float, float]] = {"C": {}, "P": {}}
        for row in rows:
            if name not in (row["underlying_symbol"], "all_KOSPI200"):
                continue
            side, forward, strike = row["option_type"].lower(), row["forward"], row["strike"]
            years, volatility = row["years"], row["smile"] / 100
            discount = math.exp(-RATE * years)
            contracts = (1 if side == "c" else -1) * row["open_interest"] * row["multiplier"]

            def undiscounted(
                years: float, volatility: float, side=side, forward=forward, strike=strike
            ) -> float:
                return float(vollib_delta(side, forward, strike, years, 0.0, volatility))

            delta += contracts * discount * undiscounted(years, volatility) * forward
            one = vollib_gamma(side, forward, strike, years, 0.0, volatility) * discount
            one *= contracts * forward**2 * 0.01
            gamma += one
            up, down = (undiscounted(years, volatility + h) for h in (1e-5, -1e-5))
            vanna += contracts * discount * forward * (up - down) / 2e-5 / 100
            up, down = (undiscounted(years - h, volatility) for h in (1e-6, -1e-6))
            charm += contracts * discount * forward * (up - down) / 2e-6 / 365
            by_strike = walls[row["option_type"]]
            by_strike[strike] = max(by_strike.get(strike, 0.0), abs(one))
        assert figures["delta_exposure"] == pytest.approx(delta, rel=1e-9)
        assert figures["gamma_exposure"] == pytest.approx(gamma, rel=1e-9)
        assert figures["vanna_exposure"] == pytest.approx(vanna, rel=1e-4)
        assert figures["charm_exposure"] == pytest.approx(charm, rel=1e-4)
        assert figures["call_wall"] == max(walls["C"], key=walls["C"].__getitem__)
        assert figures["put_wall"] == max(walls["P"], key=walls["P"].__getitem__)
    assert [row["maturities"] for row in found] == [1, 1, 2]


def test_without_open_interest_no_share_of_it_is_known(make_board: Board) -> None:
    nothing = option_surface(greeks(make_board().with_columns(open_interest=pl.lit(0))))
    assert nothing["modelled"].to_list() == [None, None]
    assert nothing["gamma_exposure"].to_list() == [0.0, 0.0]


def test_over_all_maturities_the_levels_stand_on_the_nearest_that_has_exposures(
    make_board: Board, chain: pl.DataFrame
) -> None:
    half = pl.when((pl.col("option_type") == "C") == (pl.col("strike") > 1065))
    far = chain.filter(pl.col("underlying_symbol") == "202701_KOSPI200").with_columns(
        open_interest=half.then("open_interest").otherwise(0)
    )
    without = [pl.lit(None, pl.Float64).alias(n) for n in ("price", "bid", "ask")]
    no_prices = greeks(make_board().with_columns(without, underlying_price=None))
    ended = greeks(make_board(underlying=1000.0, expiry=far["timestamp"][0]))
    for near in (no_prices, ended):
        found = option_surface(pl.concat([near, far.select(near.columns)], how="vertical_relaxed"))
        one, both = found.row(1, named=True), found.row(2, named=True)
        assert one["maturities"] == both["maturities"] == 1
        assert both["forward"] == one["forward"]
        assert both["zero_gamma"] == one["zero_gamma"] is not None


def test_gamma_exposure_is_nothing_at_its_zero_level(chain: pl.DataFrame) -> None:
    one = chain.filter(pl.col("underlying_symbol") == "202612_KOSPI200")
    # Dealers' books with the puts below and the calls above change their sign in between.
    half = pl.when((pl.col("option_type") == "C") == (pl.col("strike") > 1065))
    one = one.with_columns(open_interest=half.then("open_interest").otherwise(0))
    level = option_surface(one)["zero_gamma"][0]
    assert 850 < level < 1060
    rows = with_smile(one).with_columns(
        d1=(level / pl.col("strike")).log() / (pl.col("smile") / 100 * pl.col("years").sqrt())
        + pl.col("smile") / 200 * pl.col("years").sqrt()
    )
    sign = pl.when(pl.col("option_type") == "C").then(1).otherwise(-1)
    weight = sign * pl.col("open_interest") * (pl.col("d1").pow(2) * -0.5).exp() / pl.col("smile")
    parts = rows.select(total=weight.sum(), size=weight.abs().sum())
    assert abs(parts["total"][0]) < 0.005 * parts["size"][0]


def test_quotes_that_come_and_go_at_random_move_gamma_exposure_by_less_than_2_percent(
    make_board: Board,
) -> None:
    rng = np.random.default_rng(4)
    board = with_more_calls(make_board())
    figures = []
    for _ in range(30):
        gone = pl.Series(rng.random(board.height) < 0.3)
        figures.append(option_surface(greeks(blank(board, pl.lit(gone)))).row(0, named=True))
    whole = option_surface(greeks(board)).row(0, named=True)
    seen = pl.DataFrame(figures)
    assert seen["modelled"].mean() == pytest.approx(0.3, abs=0.1)  # type: ignore[arg-type]
    jumps = (seen["gamma_exposure"].diff().abs() / abs(whole["gamma_exposure"])).drop_nulls()
    assert jumps.max() < 0.02  # type: ignore[operator]
    assert (seen["vanna_exposure"].diff().abs() / abs(whole["gamma_exposure"])).max() < 0.02  # type: ignore[operator]
    assert seen["call_wall"].unique().to_list() == [whole["call_wall"]]


CALM = 60  # minutes
AWAY, BACK = 0.1, 0.3  # how likely quotes go and come back in a minute: a quarter is away


def calm_minutes(rng: np.random.Generator, boards: Board) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return an hour of boards of a market that moves by less than a tenth of a point a minute.

    The same twice: all quotes there, and quotes that go and come back by themselves, off by up to
    half their spread.
    """
    level = 1061.3 + np.cumsum(rng.normal(0, 0.04, CALM))
    whole, seen = [], []
    away = None
    for minute, underlying in enumerate(level):
        board = with_more_calls(boards(round(float(underlying), 2), center=1061.3))
        board = board.with_columns(
            pl.col("timestamp", "quoted_at", "price_since", "fetched_at").dt.offset_by(f"{minute}m")
        )
        draw = rng.random(board.height)
        away = draw < 0.25 if away is None else np.where(away, draw > BACK, draw < AWAY)
        noise = pl.Series(rng.uniform(-0.5, 0.5, board.height)) * (pl.col("ask") - pl.col("bid"))
        noisy = board.with_columns(pl.col("bid", "ask", "price") + noise)
        whole.append(board)
        seen.append(blank(noisy, pl.lit(pl.Series(away))))
    return pl.concat(whole), pl.concat(seen)


def test_on_a_calm_day_no_figure_moves_by_more_than_the_market_moves_it(make_board: Board) -> None:
    """Gamma exposure from minute to minute, less what it moves by with all quotes there."""
    whole, seen = calm_minutes(np.random.default_rng(20), make_board)
    truth, found = (option_surface(greeks(chain)).sort("timestamp") for chain in (whole, seen))
    one = pl.col("underlying_symbol") == "202612_KOSPI200"
    truth, found = truth.filter(one), found.filter(one)
    assert found.height == CALM
    assert 0.15 < found["modelled"].mean() < 0.45  # type: ignore[operator]
    size = abs(truth["gamma_exposure"].mean())  # type: ignore[arg-type]
    for name in ("gamma_exposure", "vanna_exposure"):
        jumps = (found[name].diff() - truth[name].diff()).abs() / size
        assert jumps.max() < 0.02, name  # type: ignore[operator]
    level = (found["zero_gamma"] - truth["zero_gamma"]).abs() / found["forward"]
    assert level.drop_nulls().max() is None or level.max() < 0.01  # type: ignore[operator]
    off = (found["atm_volatility"].diff() - truth["atm_volatility"].diff()).abs()
    assert off.max() < 0.5  # type: ignore[operator]
    assert found["call_wall"].unique().to_list() == truth["call_wall"].unique().to_list()


def test_without_a_smile_there_are_no_figures(make_board: Board) -> None:
    nothing = make_board().with_columns(
        price=pl.lit(0.0), bid=pl.lit(0.0), ask=pl.lit(0.0), volume=pl.lit(0)
    )
    for row in option_surface(greeks(nothing)).to_dicts():
        assert row["maturities"] == 0
        assert [row[name] for name in row if "exposure" in name or "wall" in name] == [None] * 6
