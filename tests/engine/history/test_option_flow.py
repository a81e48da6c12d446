"""Flow of options against a plain loop over the rows of a day."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from engine.errors import InputError
from engine.features.exposure import option_surface
from engine.features.modelled import with_smile_values
from engine.history.option_flow import open_interest_changes, option_flow, put_call_ratios
from tests.engine.features.conftest import board
from tests.engine.features.test_surface import greeks

MINUTES = 6


@pytest.fixture(scope="module")
def day() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return a chain of some minutes on two days with sums that grow, and its surface."""
    rng = np.random.default_rng(5)
    parts, surfaces = [], []
    for days in (0, 1):
        one = board(strikes=np.arange(980.0, 1145.0, 12.5))
        sums = {name: np.zeros(one.height, dtype=int) for name in ("volume", "bought", "sold")}
        turnover = np.zeros(one.height)
        for minute in range(MINUTES):
            bought, sold, unknown = rng.integers(0, 9, (3, one.height))
            sums["bought"] += bought
            sums["sold"] += sold
            sums["volume"] += bought + sold + unknown
            turnover += (bought + sold) * 1e6
            at = timedelta(days=days, minutes=minute)
            far = (one["strike"] - 1061.3).abs() > 40  # of these the feed tells nothing
            hidden = far.to_numpy() | (rng.random(one.height) < 0.2)
            snapshot = one.with_columns(
                pl.col("timestamp", "quoted_at", "price_since", "fetched_at") + at,
                volume=pl.Series(sums["volume"]),
                turnover=pl.Series(turnover),
                open_interest=pl.Series(500 + 3 * sums["volume"]),
                bought=pl.Series(np.where(hidden, -1, sums["bought"])).replace(-1, None),
                sold=pl.Series(np.where(hidden, -1, sums["sold"])).replace(-1, None),
            )
            parts.append(snapshot)
            surfaces.append(option_surface(greeks(snapshot)))
    return pl.concat(parts), pl.concat(surfaces)


def test_the_flow_is_that_of_a_plain_loop(day: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    chain, surface = day
    found = option_flow(chain.lazy(), surface.lazy()).collect()
    deltas = with_smile_values(chain.lazy(), surface.lazy()).collect()
    expected: dict[Any, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    last: dict[Any, dict[str, float]] = {}
    for row in deltas.sort("symbol", "timestamp").to_dicts():
        before = last.setdefault((row["symbol"], row["timestamp"].date()), defaultdict(float))
        size = abs(row["fitted_delta"])
        depth = "otm" if size < 0.375 else "atm" if size <= 0.625 else "itm"
        cell = expected[(row["timestamp"], row["option_type"], depth)]
        grown = {}
        for name in ("volume", "turnover", "bought", "sold"):
            now = row[name] if row[name] is not None else before.get(name)
            if now is not None:
                grown[name] = now - before[name]
                before[name] = now
        cell["volume"] += grown["volume"]
        cell["turnover"] += grown["turnover"]
        if "bought" in grown:
            net = grown["bought"] - grown["sold"]
            cell["told"] += grown["volume"]
            cell["net"] += net
            cell["futures"] += net * row["fitted_delta"]
            cell["known"] = 1
    assert found.height == len(expected)
    for row in found.to_dicts():
        cell = expected[(row["timestamp"], row["option_type"], row["moneyness"])]
        assert row["volume"] == cell["volume"]
        assert row["turnover"] == pytest.approx(cell["turnover"])
        share = cell["told"] / cell["volume"] if cell["volume"] else None
        assert row["told"] == (share if share is None else pytest.approx(share))
        if cell["known"]:
            assert row["net_volume"] == cell["net"]
            assert row["net_futures"] == pytest.approx(cell["futures"])
        else:
            assert row["net_volume"] is None
            assert row["net_futures"] is None
    assert found["net_futures"].null_count() > 0, "the far ones are not told"


def test_ratios_and_changes_are_those_of_their_columns(
    day: tuple[pl.DataFrame, pl.DataFrame],
) -> None:
    chain, _ = day
    ratios = put_call_ratios(chain.lazy()).collect()
    last = chain.filter(pl.col("timestamp") == chain["timestamp"].max())
    for name in ("volume", "turnover", "open_interest"):
        sides = {side: last.filter(option_type=side)[name].sum() for side in "CP"}
        assert ratios[f"put_call_{name}_ratio"][-1] == pytest.approx(sides["P"] / sides["C"])
    changes = open_interest_changes(chain.lazy()).collect()
    for stamps in (slice(0, MINUTES), slice(MINUTES, 2 * MINUTES)):
        of_day = sorted(changes["timestamp"].unique())[stamps]
        assert changes.filter(timestamp=of_day[0])["change"].unique().to_list() == [0]
        one = changes.filter(strike=1055.0, option_type="P")
        first, now = (one.filter(timestamp=of_day[n]).row(0, named=True) for n in (0, -1))
        assert now["change"] == now["open_interest"] - first["open_interest"] > 0


def test_a_mini_option_counts_as_a_fifth_of_a_future() -> None:
    one = board(strikes=np.arange(980.0, 1145.0, 12.5)).with_columns(
        bought=pl.lit(10), sold=pl.lit(0), turnover=pl.lit(0.0)
    )
    surface = option_surface(greeks(one)).filter(underlying_symbol="202612_KOSPI200")
    big = option_flow(one.lazy(), surface.lazy()).collect()
    name = pl.lit("202612_MINI_KOSPI200").alias("underlying_symbol")
    small = option_flow(one.with_columns(name).lazy(), surface.with_columns(name).lazy()).collect()
    assert small["moneyness"].to_list() == big["moneyness"].to_list()
    known = big["net_futures"].drop_nulls().to_list()
    assert (small["net_futures"] * 5).drop_nulls().to_list() == pytest.approx(known)
    with pytest.raises(InputError, match="not an option chain"):
        option_flow(one.with_columns(underlying_symbol=pl.lit("A01612")).lazy(), surface.lazy())


def test_of_no_chain_there_is_no_flow(day: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    chain, surface = day
    assert option_flow(chain.clear().lazy(), surface.lazy()).collect().is_empty()
