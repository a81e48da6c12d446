"""One forward carries ATM, levels, volatilities and the summary: by parity, else carried."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine.features.black76 import RATE
from engine.features.forward import FORWARD_COLUMNS, PARITY_COLUMNS
from engine.features.matrix import matrix
from tests.engine.features.prepared import ready, summary, with_greeks
from tests.paths import BOARD_FILE, CALLS_FILE, needs

Board = Callable[..., pl.DataFrame]
Forward = tuple[float | None, str | None, int | None]
NEAR_EXPIRY = datetime(2026, 11, 12, 15, 20)  # of a November option, on the December future
CALLS, PUTS = pl.col("option_type") == "C", pl.col("option_type") == "P"
QUOTES = ("price", "bid", "ask")


def forward_of(chain: pl.DataFrame) -> Forward:
    """Return the one forward of a snapshot, its source and its strikes."""
    found = ready(chain).collect()
    assert found.select(chain.columns).equals(chain)
    (row,) = found.select(FORWARD_COLUMNS).unique().rows()
    return row  # type: ignore[return-value]


def blank(chain: pl.DataFrame, where: pl.Expr) -> pl.DataFrame:
    """Return the chain without any price in the rows that `where` names."""
    return chain.with_columns(
        pl.when(~where).then(pl.col(name)).alias(name) for name in ("price", "bid", "ask")
    )


def put_minus_call(chain: pl.DataFrame, columns: tuple[str, ...] = ()) -> pl.DataFrame:
    """Return strike and difference of the model's volatilities, points, where both exist."""
    found = with_greeks(chain).collect().select("strike", "option_type", "model_iv", *columns)
    both = found.filter(PUTS).join(found.filter(CALLS), on="strike", suffix="_call")
    return both.with_columns(difference=pl.col("model_iv") - pl.col("model_iv_call")).drop_nulls(
        "difference"
    )


# ------------------------------------------------------------------------------ the sources


def test_parity_is_the_forward(make_board: Board) -> None:
    forward, source, strikes = forward_of(make_board())
    assert forward == pytest.approx(1061.3, abs=0.15)  # the prices are on ticks of 0.05
    assert (source, strikes) == ("parity", 101)


def test_parity_wins_over_any_price_of_a_future_or_the_index(make_board: Board) -> None:
    chain = make_board()
    for price, source in ((1071.0, "future:A01612"), (1030.0, "index"), (None, None)):
        other = chain.with_columns(
            underlying_price=pl.lit(price, pl.Float64), underlying_source=pl.lit(source, pl.String)
        )
        assert forward_of(other) == forward_of(chain)


@pytest.mark.parametrize("source", ["future:A01612", "index"])
def test_without_parity_future_or_index_is_carried_to_the_options_expiry(
    make_board: Board, source: str
) -> None:
    """A November option on the December future: 28 days of interest lie between."""
    calls = make_board(expiry=NEAR_EXPIRY, source=source).filter(CALLS)
    begins = calls["timestamp"][0] if source == "index" else calls["underlying_expiry"][0]
    years = (NEAR_EXPIRY - begins) / timedelta(days=365)
    forward, found, strikes = forward_of(calls)
    assert forward == pytest.approx(1061.3 * math.exp(RATE * years), rel=1e-12)
    assert abs(forward - 1061.3) > 0.8
    assert (found, strikes) == (source.partition(":")[0], 0)


def test_a_future_that_expires_with_the_options_is_their_forward(make_board: Board) -> None:
    calls = make_board().filter(CALLS)
    assert forward_of(calls) == (1061.3, "future", 0)
    unknown = calls.with_columns(underlying_expiry=pl.lit(None, pl.Datetime("us")))
    assert forward_of(unknown) == (None, None, None)


@pytest.mark.parametrize(("strikes", "source"), [(3, "parity"), (2, "future"), (1, "future")])
def test_one_or_two_strikes_do_not_outweigh_the_future(
    make_board: Board, strikes: int, source: str
) -> None:
    listed = [1060.0, 1062.5, 1065.0][:strikes]
    few = blank(make_board(), ~pl.col("strike").is_in(listed))
    assert forward_of(few)[1] == source
    forward = forward_of(few.with_columns(underlying_price=pl.lit(None, pl.Float64)))
    assert forward[1:] == ("parity", strikes)  # better than none


def test_without_any_price_there_is_no_forward(make_board: Board) -> None:
    chain = make_board().with_columns(underlying_price=pl.lit(None, pl.Float64))
    for nothing in (chain.filter(CALLS), chain.with_columns(price=0.0, bid=0.0, ask=0.0)):
        assert forward_of(nothing) == (None, None, None)


def test_without_time_parity_needs_no_interest(make_board: Board) -> None:
    for expiry in (None, datetime(2026, 11, 2, 10, 31)):
        chain = make_board().with_columns(expiry=pl.lit(expiry, pl.Datetime("us")))
        assert forward_of(chain)[0] == pytest.approx(1061.3, abs=0.15)


# ------------------------------------------------------------------------- which prices count


def test_parity_takes_the_middle_of_narrow_quotes_and_not_the_last_price(make_board: Board) -> None:
    chain = make_board()
    late = chain.with_columns(price=pl.when(CALLS).then(pl.col("price") + 5).otherwise("price"))
    assert forward_of(late) == forward_of(chain)


def test_two_wrong_prices_do_not_move_parity(make_board: Board) -> None:
    chain = make_board()
    near = pl.col("strike").is_in([1060.0, 1062.5]) & CALLS
    wrong = chain.with_columns(
        pl.when(near).then(pl.col(name) + 7).otherwise(pl.col(name)).alias(name) for name in QUOTES
    )
    assert forward_of(wrong)[0] == pytest.approx(forward_of(chain)[0], abs=0.15)


@pytest.mark.parametrize(
    "worthless",
    [
        {"bid": 999.0},  # crossed
        {"quoted_at": datetime(2026, 11, 2, 9, 31)},
        {"bid": 0.0, "volume": 0},  # half a quote, and a price of yesterday
        {"bid": 0.0, "ask": 0.0, "volume": 0},
        {"bid": 0.05, "volume": 0},  # a quote too wide to tell anything
        {"option_type": "C"},  # twice a call, never a put
    ],
)
def test_a_price_that_says_nothing_about_this_minute_has_no_part_in_parity(
    make_board: Board, worthless: dict[str, object]
) -> None:
    chain = make_board()
    bad = chain.with_columns(
        pl.when(PUTS).then(pl.lit(value)).otherwise(name).cast(chain.schema[name]).alias(name)
        for name, value in worthless.items()
    )
    assert forward_of(bad) == (1061.3, "future", 0)


def test_a_price_without_quotes_counts_if_it_traded_today(make_board: Board) -> None:
    """So it is near the money at KIS: single quotes have no bid and ask (docs/kis.md)."""
    chain = make_board()
    bare = chain.with_columns(
        bid=pl.lit(None, pl.Float64), ask=pl.lit(None, pl.Float64), volume=pl.lit(1, pl.Int64)
    )
    assert forward_of(bare)[1:] == ("parity", 101)
    unknown = bare.with_columns(volume=pl.lit(None, pl.Int64))
    assert forward_of(unknown) == forward_of(bare)


# --------------------------------------------------------------- what the line says beside it


def discounted(rate: float, chain: pl.DataFrame) -> pl.DataFrame:
    """Return the board with prices of this interest rate, exact, with quotes of one point."""
    years = (chain["expiry"][0] - chain["timestamp"][0]) / timedelta(days=365)
    strike, volatility = pl.col("strike"), 0.36
    inside = pl.when(CALLS).then(1061.3 - strike).otherwise(strike - 1061.3).clip(lower_bound=0)
    x = (strike / 1061.3).log() / (volatility * math.sqrt(years))
    outside = (x * x * -0.5).exp() * 40  # any value that call and put of a strike share
    price = (inside + outside) * math.exp(-rate * years)
    return chain.with_columns(price=price, bid=price - 0.05, ask=price + 0.05)


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.045])
def test_the_slope_says_the_rate_and_the_zero_the_forward(make_board: Board, rate: float) -> None:
    found = ready(discounted(rate, make_board())).collect().row(0, named=True)
    assert found["implied_rate"] == pytest.approx(rate * 100, abs=1e-6)
    assert found["forward"] == pytest.approx(1061.3, abs=0.02)
    assert 0 < found["implied_rate_error"] < 0.1


def test_the_line_is_that_of_numpy(make_board: Board) -> None:
    """Weighted least squares over the strikes, by polyfit; its error by the plain formula."""
    board = make_board()
    wide = pl.when(pl.col("strike") % 10 == 0).then(0.1).otherwise(0.3)
    board = board.with_columns(bid=pl.col("price") - wide, ask=pl.col("price") + wide)
    found = ready(board).collect().row(0, named=True)
    years = (board["expiry"][0] - board["timestamp"][0]) / timedelta(days=365)
    both = board.filter(CALLS).join(board.filter(PUTS), on="strike", suffix="_put")
    strike = both["strike"].to_numpy()
    gap = (both["price"] - both["price_put"]).to_numpy()
    narrow = (both["ask"] - both["bid"] <= 0.005 * both["strike"]).all()
    assert narrow
    error = math.sqrt(2) * np.where(strike % 10 == 0, 0.1, 0.3)
    slope, constant = np.polyfit(strike, gap, 1, w=1 / error)
    assert found["implied_rate"] == pytest.approx(-math.log(-slope) / years * 100, abs=1e-6)
    around = strike - np.average(strike, weights=error**-2)
    spread = 1 / math.sqrt((around**2 / error**2).sum())
    growth = math.exp(RATE * years)
    expected = spread * growth / (-slope * growth) / years * 100
    assert found["implied_rate_error"] == pytest.approx(expected, rel=1e-6)
    assert found["forward"] == pytest.approx(-constant / slope, abs=0.03)


def test_few_strikes_do_not_let_interest_move_the_forward(make_board: Board) -> None:
    """On one side of the money only, a free slope would throw the forward points away."""
    side = blank(make_board(), (pl.col("strike") < 1080) | (pl.col("strike") > 1095))
    found = ready(side).collect().row(0, named=True)
    assert found["implied_rate_error"] > 1
    assert found["forward"] == pytest.approx(1061.3, abs=0.15)


def test_weeklies_that_did_not_trade_have_no_part_in_parity(make_board: Board) -> None:
    quoted = make_board().with_columns(cycle=pl.lit("weekly"), volume=pl.lit(0, pl.Int64))
    assert forward_of(quoted) == (1061.3, "future", 0)
    monthly = quoted.with_columns(cycle=pl.lit("monthly"))
    assert forward_of(monthly)[1] == "parity", "of a monthly a bid and an ask are enough"
    traded = pl.when(pl.col("strike").is_between(1050, 1070)).then(3).otherwise(0)
    some = quoted.with_columns(volume=traded.cast(pl.Int64))
    assert forward_of(some)[1:] == ("parity", 9)


def test_the_gap_to_the_future_is_in_ticks_and_the_dividend_in_points(make_board: Board) -> None:
    board = make_board().with_columns(
        underlying_price=1061.3 - 0.35, future_tick=pl.lit(0.05), index_price=pl.lit(1060.0)
    )
    found = ready(board).collect().row(0, named=True)
    years = (board["expiry"][0] - board["timestamp"][0]) / timedelta(days=365)
    assert found["future_gap"] == pytest.approx((found["forward"] - 1060.95) / 0.05)
    assert found["future_gap"] == pytest.approx(7, abs=1.5)
    dividend = 1060.0 - found["forward"] * math.exp(-RATE * years)
    assert found["implied_dividend"] == pytest.approx(dividend)
    near = make_board(expiry=NEAR_EXPIRY).with_columns(future_tick=pl.lit(0.05))
    carried = ready(near).collect().row(0, named=True)
    synthetic = carried["forward"] * math.exp(RATE * 28 / 365)
    assert carried["future_gap"] == pytest.approx((synthetic - 1061.3) / 0.05)


def test_without_parity_nothing_is_implied(make_board: Board) -> None:
    found = ready(make_board().filter(CALLS)).collect()
    assert found.select(PARITY_COLUMNS).null_count().row(0) == (found.height,) * 4


# ------------------------------------------------------------------------------ many snapshots


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_each_snapshot_has_its_own_forward_to_the_last_digit(
    make_board: Board, engine: str
) -> None:
    snapshots = [
        make_board(1040.0 + 2 * n, moment=datetime(2026, 11, 2, 10, n), symbol=symbol)
        for n in range(20)
        for symbol in ("202612_KOSPI200", "261102_KOSPI200_WEEKLY_MON")
    ]
    snapshots[::7] = [blank(snapshot, PUTS) for snapshot in snapshots[::7]]
    alone = pl.concat(ready(snapshot).collect() for snapshot in snapshots)
    together = ready(pl.concat(snapshots)).collect(engine=engine)  # type: ignore[call-overload]
    own = [name for name in alone.columns if name not in PARITY_COLUMNS]
    assert_frame_equal(together.select(own), alone.select(own), check_exact=True)
    beside = alone.select(PARITY_COLUMNS)  # a rate is the small difference of large sums
    assert_frame_equal(together.select(PARITY_COLUMNS), beside, rel_tol=1e-9, abs_tol=1e-9)
    mixed = pl.concat(snapshots).sample(fraction=1, shuffle=True, seed=7)
    key = ["timestamp", "underlying_symbol", "symbol"]
    again = ready(mixed).collect().sort(key).select(own)
    assert_frame_equal(again, alone.sort(key).select(own), check_exact=True)


# ------------------------------------------------------------------------- what stands on it


def test_put_and_call_of_a_monthly_agree_whatever_the_quarterly_future_is(
    make_board: Board,
) -> None:
    """On the future as it stands they differ by several points; ATM is strikes away."""
    chain = make_board(1055.0, expiry=NEAR_EXPIRY).with_columns(underlying_price=1062.75)
    assert put_minus_call(chain)["difference"].abs().max() < 1.0  # the tick, far from the money
    assert put_minus_call(chain)["difference"].abs().mean() < 0.1
    figures = summary(chain).collect().row(0, named=True)
    assert (figures["atm_strike"], figures["forward_source"]) == (1055.0, "parity")
    assert figures["underlying_price"] == 1062.75


def test_matrix_and_summary_say_the_same_at_the_money(make_board: Board) -> None:
    """The page showed call 42.1 and put 34.9, the card beside it 38.3."""
    chain = make_board(1055.0, expiry=NEAR_EXPIRY).with_columns(underlying_price=1062.75)
    cells = matrix(with_greeks(chain)).collect()
    call, put = cells.filter(metric_type="model_iv").select("c_atm", "p_atm").row(0)
    assert call == pytest.approx(put, abs=0.2)
    # The summary's is the smile's at the forward.
    assert summary(chain).collect()["atm_volatility"].item() == pytest.approx(
        (call + put) / 2, abs=0.3
    )


def board_of_20260917() -> pl.DataFrame:
    """The October options on the December future, as KIS showed them: no bid, no ask."""
    return pl.read_parquet(BOARD_FILE).select(
        timestamp=pl.lit(datetime(2026, 9, 17, 15, 45)),
        expiry=datetime(2026, 10, 8, 15, 20),
        underlying_expiry=datetime(2026, 12, 10, 15, 20),
        underlying_symbol=pl.lit("202610_KOSPI200"),
        underlying_source=pl.lit("future:A01612"),
        underlying_price="futures_close",
        option_type="right",
        strike="strike",
        price="last",
        volume="volume",
        open_interest="oi",
        iv="iv",
        delta="delta",
    )


@needs(BOARD_FILE)
def test_on_a_real_board_put_and_call_differ_by_less_than_1_5_points() -> None:
    """By 6.4 points on the December future as it stands.

    What is left of the difference is in calls in the money that traded four times that day or less,
    hours before the close: beyond 20 points it says nothing about the forward.
    """
    board = board_of_20260917()
    found = put_minus_call(board, ("volume", "forward", "forward_source", "forward_strikes"))
    assert found["forward"][0] == pytest.approx(1055.69, abs=0.01)
    assert found.select("forward_source", "forward_strikes").row(0) == ("parity", 10)
    assert abs(found["difference"].mean()) < 1.5  # type: ignore[arg-type]
    thick = found.filter(pl.min_horizontal("volume", "volume_call") >= 5)
    assert thick.height >= 15
    assert thick["difference"].abs().mean() < 0.6  # type: ignore[operator]
    near = found.filter((pl.col("strike") - pl.col("forward")).abs() <= 25)
    assert near["difference"].abs().mean() < 1.0  # type: ignore[operator]


@needs(CALLS_FILE)
@pytest.mark.parametrize(("source", "price"), [("future:A01612", 1078.75), ("index", 1073.63)])
def test_on_the_last_evening_every_traded_call_has_a_volatility(source: str, price: float) -> None:
    """8 of 31 had none on the December future as it stands. There are no puts: no parity."""
    calls = pl.read_csv(CALLS_FILE).select(
        timestamp=pl.lit(datetime(2026, 10, 7, 15, 20)),
        expiry=datetime(2026, 10, 8, 15, 20),
        underlying_expiry=datetime(2026, 12, 10, 15, 20),
        underlying_symbol=pl.lit("202610_KOSPI200"),
        underlying_source=pl.lit(source),
        underlying_price=price,
        option_type=pl.lit("C"),
        strike="strike",
        price="price",
        volume="volume",
        iv="iv",
    )
    found = with_greeks(calls).collect()
    assert found["forward_source"].unique().to_list() == [source.partition(":")[0]]
    traded = found.filter(pl.col("volume") > 0)
    assert traded["model_iv"].null_count() == 0
    if source == "index":
        near = traded.filter(pl.col("strike") > 1040)
        assert (near["model_iv"] - near["iv"]).abs().max() < 0.75  # type: ignore[operator]
