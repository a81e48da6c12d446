"""On a calm day no figure of the options moves by more than the market moves it.

The simulator's own market, as the fetcher gives its chains: boards cut far above the money, single
quotes around it, everything else counted once; then a quarter of all quotes is taken away, others
each minute. In that market the volatility of a distance from the forward never changes, so what a
smile moves by is noise, and what exposures should move by is computed here, by a plain formula from
the minute before.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import norm

from engine.clock import VirtualClock
from engine.features.black76 import RATE
from engine.features.surface import volatility_of_smile
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher
from engine.kis.client import KisClient
from engine.market.sessions import Market, session
from engine.settings import AppKey, KisSettings
from engine.simulator import APP_KEYS, SyntheticMarket, serve
from pipelines.chains import chain_surface, chain_with_greeks
from tests.engine.features.prepared import with_more_calls

DAY = date(2026, 11, 20)
MONTHS = (("KOSPI200", "202612"), ("KOSPI200", "202701"))
MINUTE = timedelta(minutes=1)
EXPOSURES = ("delta_exposure", "gamma_exposure", "vanna_exposure", "charm_exposure")
WALLS = ("call_wall", "put_wall")
MOST = {  # from minute to minute: volatility points, index points
    "atm_volatility": 0.05,
    "risk_reversal_25d": 0.3,
    "butterfly_25d": 0.06,
    "risk_reversal_10d": 0.6,
    "butterfly_10d": 0.2,
    "vkospi": 0.1,
    "atm_30d": 0.05,
}
KEY = ["underlying_symbol", "timestamp"]


def minutes_of_the_day() -> list[datetime]:
    found = session(Market.DERIVATIVES, DAY)
    assert found is not None
    grid: list[datetime] = found.minute_grid().to_list()
    return grid


async def collect(minutes: list[datetime], folder: Path) -> pl.DataFrame:
    """Return the snapshots of these minutes, fetched as in live use."""
    clock = VirtualClock(minutes[0].replace(hour=8, minute=36))
    keys = tuple(AppKey(app_key=k, app_secret=s) for k, s in APP_KEYS.items())
    chains = []
    async with serve(SyntheticMarket(3), clock) as simulator:
        settings = KisSettings(
            base_url=simulator.base_url,
            app_keys=keys,
            master_url=simulator.base_url + "/common/master/fo_idx_code_mts.mst.zip",
            calls_per_second=15,
        )
        client = KisClient(settings, clock, folder=folder)
        try:
            fetcher = OptionChainFetcher(client)
            for series, month in MONTHS:
                before = ChainRequest(series, month, minutes[0], deadline=minutes[0])
                await fetcher.count_before_open(before)
            for minute in minutes:
                await clock.sleep_until(minute + timedelta(seconds=2))
                for series, month in MONTHS:
                    asked = ChainRequest(series, month, minute, deadline=minute + MINUTE)
                    chains.append(pl.DataFrame(await fetcher.fetch(asked)))
                    await fetcher.count_others(asked)
        finally:
            await client.close()
    return pl.concat(chains)


def without_some_quotes(chain: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    there = pl.lit(pl.Series(rng.random(chain.height) > 0.25))
    return chain.with_columns(
        pl.when(there).then(pl.col(name)).alias(name) for name in ("price", "bid", "ask")
    )


def exposures(rows: pl.DataFrame, forward: float, years: float) -> dict[str, float]:
    """Return EXPOSURES of contracts with a smile, were the market at another forward and time."""
    strike, contracts, call, theta, rho, psi, before = (
        rows[name].cast(pl.Float64).to_numpy()
        for name in ("strike", "contracts", "call", "theta", "rho", "psi", "years")
    )
    k = np.log(strike / forward)
    w = (
        theta + rho * psi * k + np.sqrt((psi * k + rho * theta) ** 2 + theta**2 * (1 - rho**2))
    ) / 2
    volatility = np.sqrt(w / before)
    total = volatility * np.sqrt(years)
    d1 = -k / total + total / 2
    size = contracts * forward * np.exp(-RATE * years)
    side = 2 * call - 1
    bell, d2 = norm.pdf(d1), d1 - total
    return {
        "delta_exposure": float((size * side * norm.cdf(side * d1)).sum()),
        "gamma_exposure": float((size * bell / total).sum() * 0.01),
        "vanna_exposure": float(-(size * bell * d2 / volatility).sum() / 100),
        "charm_exposure": float((size * bell * d2 / years).sum() / 730),
    }


def moved_by_the_market(greeks: pl.DataFrame, surface: pl.DataFrame) -> pl.DataFrame:
    """Return what EXPOSURES of each maturity should move by to the next minute that there is."""
    call = pl.col("option_type") == "C"
    contracts = greeks.filter(pl.col("open_interest") > 0).select(
        *KEY,
        "strike",
        call=call,
        contracts=pl.col("open_interest")
        * pl.col("multiplier")
        * pl.when(call).then(1).otherwise(-1),
    )
    smiles = surface.filter(pl.col("smile_theta").is_not_null()).sort(KEY)
    found = []
    for now, then in zip(
        smiles.iter_rows(named=True), smiles[1:].iter_rows(named=True), strict=False
    ):
        if now["underlying_symbol"] != then["underlying_symbol"]:
            continue
        rows = contracts.filter(
            underlying_symbol=now["underlying_symbol"], timestamp=now["timestamp"]
        ).with_columns(
            *(pl.lit(now[f"smile_{name}"]).alias(name) for name in ("theta", "rho", "psi")),
            years=pl.lit(now["years"]),
        )
        before = exposures(rows, now["forward"], now["years"])
        after = exposures(rows, then["forward"], then["years"])
        for name in EXPOSURES:
            assert before[name] == pytest.approx(now[name], rel=1e-6), name
        moves = {name: after[name] - before[name] for name in EXPOSURES}
        found.append({**{name: then[name] for name in KEY}, **moves})
    return pl.DataFrame(found).sort(KEY)


def jumps_beyond_the_market(whole: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Return by how much EXPOSURES as seen move beyond what the market moves, % of their size.

    Both are chains with greeks; of a minute to the next one.
    """
    moves = moved_by_the_market(whole, chain_surface(whole))
    found = chain_surface(seen).sort(KEY)
    steps = found.with_columns(
        *(pl.col(n).diff().over("underlying_symbol", order_by="timestamp") for n in EXPOSURES),
        *(pl.col(n).abs().mean().over("underlying_symbol").alias(f"{n}_size") for n in EXPOSURES),
        since=pl.col("timestamp").diff().over("underlying_symbol", order_by="timestamp"),
    )
    both = steps.filter(since=MINUTE).join(moves, on=KEY, suffix="_market")
    return both.select(
        *KEY,
        *(
            ((pl.col(n) - pl.col(f"{n}_market")).abs() / pl.col(f"{n}_size") * 100).alias(n)
            for n in EXPOSURES
        ),
    )


def walls_off(whole: pl.DataFrame, truth: pl.DataFrame, found: pl.DataFrame) -> float:
    """Return by how much (%) a strike's exposure is at most below the largest where a wall is seen.

    Two strikes may be equally large: then the wall is at the one or at the other.
    """
    smiles = truth.select(*KEY, "years", "smile_theta", "smile_rho", "smile_psi")
    rows = whole.filter(pl.col("open_interest") > 0).join(smiles, on=KEY)
    total = volatility_of_smile() / 100 * pl.col("years").sqrt()
    d1 = (pl.col("forward") / pl.col("strike")).log() / total + total / 2
    gamma = pl.col("open_interest") * pl.col("multiplier") * pl.col("forward") / total
    sizes = rows.select(*KEY, "strike", "option_type", size=gamma * (d1.pow(2) * -0.5).exp())
    over_all = sizes.with_columns(underlying_symbol=pl.lit("all_KOSPI200"))
    sizes = pl.concat([sizes, over_all]).group_by(*KEY, "strike", "option_type").max()
    off = []
    for name, side in zip(WALLS, "CP", strict=True):
        own = sizes.filter(option_type=side)
        largest = own.group_by(KEY).agg(largest=pl.col("size").max())
        seen = found.select(*KEY, strike=name).join(own, on=[*KEY, "strike"]).join(largest, on=KEY)
        assert seen.height == found.height
        off.append(seen.select((1 - pl.col("size") / pl.col("largest")).max() * 100).item())
    return float(max(off))


def check_a_day(chain: pl.DataFrame) -> None:
    rng = np.random.default_rng(20)
    chain = with_more_calls(chain)
    whole = chain_with_greeks(chain)
    seen = chain_with_greeks(without_some_quotes(chain, rng))
    jumps = jumps_beyond_the_market(whole, seen)
    assert jumps.height >= 2 * 3
    for name in EXPOSURES:
        assert jumps[name].max() < 2, (name, jumps[name].max())  # type: ignore[operator]
    # The test can fail: of what is quoted alone, the sum moves with the strikes that are.
    quoted = chain.filter(pl.col("quoted_at").is_not_null())
    partial = chain_with_greeks(quoted)
    assert jumps_beyond_the_market(partial, partial)["gamma_exposure"].max() > 2  # type: ignore[operator]

    truth, found = (chain_surface(greeks).sort(KEY) for greeks in (whole, seen))
    assert set(found.drop_nulls("smile_theta")["quality"]) == {"good"}
    assert walls_off(whole, truth, found) < 2
    steps = found.with_columns(
        pl.col(*MOST, "zero_gamma", "forward", "timestamp")
        .diff()
        .over("underlying_symbol", order_by="timestamp")
    ).filter(timestamp=MINUTE)
    for name, most in MOST.items():
        assert steps[name].count() > 0, name
        assert steps[name].abs().max() < most, (name, steps[name].abs().max())  # type: ignore[operator]
    off = (found["zero_gamma"] - truth["zero_gamma"]).abs() / found["forward"]
    assert off.count() > 0
    assert off.max() < 0.001  # type: ignore[operator]


async def test_no_figure_moves_by_more_than_the_market_moves_it(tmp_path: Path) -> None:
    """In three places of a day."""
    grid = minutes_of_the_day()
    pairs = [minute for n in range(3, 420, 166) for minute in grid[n : n + 2]]
    check_a_day(await collect(pairs, tmp_path))


@pytest.mark.long
async def test_no_figure_moves_by_more_than_the_market_moves_it_all_day(tmp_path: Path) -> None:
    check_a_day(await collect(minutes_of_the_day(), tmp_path))
