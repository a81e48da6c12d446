"""Every value of a matrix is at its own level, for any chain."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from engine.features.matrix import matrix
from engine.schemas import METRICS, MODEL_METRICS, OPTION_CHAIN, OPTION_MATRIX, level_columns
from tests.engine.features.prepared import on_its_underlying, ready, with_greeks

Board = Callable[..., pl.DataFrame]
MOMENT = datetime(2026, 11, 2, 10, 31)


def by_hand(chain: pl.DataFrame, levels: int = 10) -> list[dict[str, object]]:
    """Return what the matrix must be, computed row by row in plain Python."""
    out: list[dict[str, object]] = []
    keys = chain.select("timestamp", "underlying_symbol").unique().sort("*")
    for moment, symbol in keys.iter_rows():
        rows = chain.filter(timestamp=moment, underlying_symbol=symbol)
        strikes = sorted(set(rows["strike"]))
        price = rows["underlying_price"][0]
        atm = min(range(len(strikes)), key=lambda i: (abs(strikes[i] - price), strikes[i]))
        at = {(row["option_type"], row["strike"]): row for row in rows.iter_rows(named=True)}
        for metric in METRICS:
            values: dict[str, object] = {}
            for side in "CP":
                for step, strike in enumerate(strikes, -atm):
                    kind = "itm" if (step < 0) == (side == "C") else "otm"
                    name = f"{kind}{abs(step)}" if step else "atm"
                    values[f"{side.lower()}_{name}"] = at.get((side, strike), {}).get(metric)
            row = {"timestamp": moment, "underlying_symbol": symbol, "metric_type": metric}
            out.append(row | {name: values.get(name) for name in level_columns(levels)})
    return out


def cells(chain: pl.DataFrame, levels: int = 10) -> pl.DataFrame:
    return matrix(on_its_underlying(chain), levels).collect()


def assert_as_by_hand(chain: pl.DataFrame, levels: int = 10) -> None:
    found = cells(chain, levels).drop("fetched_at")
    schema = {name: found.schema[name] for name in found.columns}
    expected = pl.DataFrame(by_hand(chain, levels), schema=schema, orient="row", strict=False)
    assert_frame_equal(found, expected, check_exact=True)


def test_an_ordinary_chain_is_laid_out_as_by_hand(make_board: Board) -> None:
    assert_as_by_hand(make_board())


@pytest.mark.parametrize("levels", [1, 3, 10, 60])
def test_the_number_of_levels_is_a_parameter(make_board: Board, levels: int) -> None:
    found = cells(make_board(), levels)
    assert found.columns[3:-1] == level_columns(levels)
    assert_as_by_hand(make_board(), levels)


def test_a_matrix_has_the_columns_and_types_of_the_schema(make_board: Board) -> None:
    found = matrix(ready(make_board()))
    assert found.collect_schema() == pl.Schema(OPTION_MATRIX)
    assert found.collect().schema == pl.Schema(OPTION_MATRIX)


@pytest.mark.parametrize(
    ("price", "atm"),
    [(1061.3, 1062.5), (1061.25, 1060.0), (1061.2, 1060.0), (1060.0, 1060.0), (945.0, 945.0)],
)
def test_atm_is_the_nearest_strike_and_of_two_the_lower(
    make_board: Board, price: float, atm: float
) -> None:
    chain = make_board(price).with_columns(iv=pl.col("strike"))
    row = cells(chain).row(0, named=True)
    assert row["c_atm"] == row["p_atm"] == atm


def test_an_unquoted_strike_keeps_its_level_empty(make_board: Board) -> None:
    full = make_board()
    at = (pl.col("strike") == 1067.5) & (pl.col("option_type") == "C")
    values = [name for name in METRICS if name != "option_type"]
    blank = full.with_columns(pl.when(~at).then(pl.col(name)).alias(name) for name in values)
    gone = full.filter(~at)
    whole = cells(full)
    for chain in (blank, gone):
        found = cells(chain)
        assert found["c_otm2"].null_count() == len(METRICS)
        assert_frame_equal(found.drop("c_otm2"), whole.drop("c_otm2"))


def test_a_strike_that_is_not_listed_moves_the_others_up(make_board: Board) -> None:
    assert_as_by_hand(make_board().filter(pl.col("strike") != 1067.5))


def test_many_snapshots_and_series_at_once_give_what_each_gives_alone(make_board: Board) -> None:
    snapshots = [
        make_board(1061.3 + 7 * n, moment=MOMENT + timedelta(minutes=n), symbol=symbol)
        for n in range(5)
        for symbol in ("202612_KOSPI200", "261102_KOSPI200_WEEKLY_MON", "202612_MINI_KOSPI200")
    ]
    together = cells(pl.concat(snapshots))
    alone = pl.concat(cells(one) for one in snapshots)
    assert_frame_equal(together, alone.sort("timestamp", "underlying_symbol", maintain_order=True))
    assert together["metric_type"].to_list() == [*METRICS] * len(snapshots)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_day_of_chains_is_the_same_on_every_engine(make_board: Board, engine: str) -> None:
    one = make_board()
    minutes = pl.DataFrame({"minute": [MOMENT + timedelta(minutes=n) for n in range(420)]})
    day = one.join(minutes, how="cross").with_columns(timestamp="minute", quoted_at="minute")
    found = matrix(on_its_underlying(day)).collect(engine=engine)  # type: ignore[call-overload]
    alone = cells(one).drop("timestamp")
    assert found.height == 420 * len(METRICS)
    for n in (0, 211, 419):
        assert_frame_equal(found.slice(n * 9, 9).drop("timestamp"), alone)


def test_model_greeks_add_rows(make_board: Board) -> None:
    chain = with_greeks(make_board()).collect()
    found = cells(chain)
    assert found["metric_type"].to_list() == [*METRICS, *MODEL_METRICS]
    row = found.row(by_predicate=pl.col("metric_type") == "model_iv", named=True)
    at_atm = chain.filter(strike=1062.5, option_type="P")["model_iv"].item()
    assert row["p_atm"] == at_atm > 30


def test_an_empty_chain_gives_an_empty_matrix() -> None:
    nothing = pl.DataFrame(schema=pl.Schema(OPTION_CHAIN))
    assert cells(nothing).height == 0


def test_fetched_at_is_that_of_the_latest_row(make_board: Board) -> None:
    chain = make_board().with_columns(
        fetched_at=pl.col("fetched_at") + pl.duration(milliseconds=pl.int_range(pl.len()))
    )
    assert cells(chain)["fetched_at"].unique().to_list() == [chain["fetched_at"].max()]


# Any chain at all. Prices fall away from the money, so that no chain looks swapped.

strikes = st.lists(st.integers(300, 600), min_size=2, max_size=30, unique=True)


@st.composite
def chains(draw: st.DrawFn) -> pl.DataFrame:
    listed = sorted(draw(strikes))
    underlying = draw(st.floats(min(listed), max(listed)))
    rng = draw(st.randoms(use_true_random=False))
    rows = []
    for strike in listed:
        for side, sign in (("C", 1), ("P", -1)):
            if rows and rng.random() < 0.15:
                continue
            value = {name: rng.uniform(0.1, 9) for name in METRICS}
            value["delta"] *= sign
            value["price"] = max(sign * (underlying - strike), 0) + rng.uniform(1, 2)
            value |= {"volume": rng.randrange(1, 999), "open_interest": rng.randrange(1, 999)}
            blank = rng.choice([*METRICS, None, None, None])
            value |= {blank: None} if blank else {}
            rows.append({"strike": float(strike), "option_type": side} | value)
    rng.shuffle(rows)
    known = {
        "timestamp": MOMENT,
        "underlying_symbol": "202612_KOSPI200",
        "underlying_price": underlying,
        "fetched_at": MOMENT,
    }
    schema = dict(pl.Schema(OPTION_CHAIN))
    return pl.DataFrame([known | row for row in rows], schema=schema)


def atm_is_listed(chain: pl.DataFrame) -> bool:
    """Whether the rows left have the underlying between their strikes."""
    low, high = chain["strike"].min(), chain["strike"].max()
    return bool(low <= chain["underlying_price"][0] <= high)  # type: ignore[operator]


@settings(max_examples=60)
@given(chains())
def test_any_chain_is_laid_out_as_by_hand(chain: pl.DataFrame) -> None:
    if atm_is_listed(chain):
        assert_as_by_hand(chain)


@settings(max_examples=25)
@given(chains(), st.integers(0, 2**32))
def test_the_order_of_rows_does_not_matter(chain: pl.DataFrame, seed: int) -> None:
    shuffled = chain.sample(fraction=1, shuffle=True, seed=seed)
    assert_frame_equal(cells(chain), cells(shuffled))


@settings(max_examples=25)
@given(chains(), st.sampled_from([0.25, 4.0, 1000.0]))
def test_scaling_strikes_and_prices_scales_values(chain: pl.DataFrame, scale: float) -> None:
    scaled = chain.with_columns(pl.col("strike", "underlying_price", "price") * scale)
    found, expected = (cells(frame) for frame in (scaled, chain))
    is_price = pl.col("metric_type") == "price"
    columns = level_columns()
    assert_frame_equal(found.filter(~is_price), expected.filter(~is_price))
    assert_frame_equal(
        found.filter(is_price).select(columns), expected.filter(is_price).select(columns) * scale
    )


@settings(max_examples=25)
@given(chains())
def test_levels_are_monotone_in_the_strike(chain: pl.DataFrame) -> None:
    row = cells(chain.with_columns(gamma=pl.col("strike"))).row(2, named=True)
    for side, rising in (("c", 1), ("p", -1)):
        seen = [row[f"{side}_{name[2:]}"] for name in level_columns()[:21]]
        known = [strike for strike in seen if strike is not None]
        assert known == sorted(known, key=lambda strike: rising * strike)
        assert len(set(known)) == len(known)


@settings(max_examples=25)
@given(chains())
def test_every_value_is_in_the_chain_at_the_strike_it_claims(chain: pl.DataFrame) -> None:
    where = cells(chain.with_columns(gamma=pl.col("strike")))
    strike = where.row(2, named=True)
    for row in cells(chain).iter_rows(named=True):
        for name in level_columns():
            if row[name] is not None:
                source = chain.filter(strike=strike[name], option_type=name[0].upper())
                assert source[row["metric_type"]].to_list() == [row[name]]


@settings(max_examples=25)
@given(chains())
def test_calls_and_puts_mirror_each_other(chain: pl.DataFrame) -> None:
    """Turn every strike round the underlying and every call into a put: sides change places."""
    nearest = (chain["strike"].unique() - chain["underlying_price"][0]).abs().sort()
    tie = nearest.len() > 1 and nearest[0] == nearest[1]  # the lower one, turned, is the upper
    turned = chain.with_columns(
        strike=2 * pl.col("underlying_price") - pl.col("strike") + 10_000,
        underlying_price=pl.col("underlying_price") + 10_000,
        option_type=pl.col("option_type").replace_strict({"C": "P", "P": "C"}),
        delta=-pl.col("delta"),
    )
    ours, theirs = (cells(frame) for frame in (chain, turned))
    other = {"c": "p", "p": "c"}
    swapped = theirs.rename({name: other[name[0]] + name[1:] for name in level_columns()})
    is_delta = pl.col("metric_type") == "delta"
    if not tie:
        assert_frame_equal(ours.filter(~is_delta), swapped.select(ours.columns).filter(~is_delta))
