"""How fast chains become smiles and exposures, beside scipy's least_squares, one smile at a time.

The baseline fits the same eSSVI slice to the same quotes with the same errors. It knows neither
bounds nor the maturity before (which costs it nothing); where it ends, ours is no worse, which is
checked.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import polars as pl
from scipy.optimize import least_squares

from engine.features import black76
from engine.features.black76 import Floats, Terms
from engine.features.chain import MONTHLY
from engine.features.exposure import option_surface
from engine.features.greeks import with_model_greeks
from engine.features.smile import Slices, fit_smiles
from engine.features.summary import option_summary, with_smile_figures
from engine.schemas import OPTION_CHAIN
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.bench_options import ENGINE, chains
from tests.benchmarks.rows import Row, in_turns
from tests.engine.features.prepared import ready

YEARS = 0.1
ERROR = 0.003
MATURITIES = ("202612", "202701", "202702", "202703")
MINUTES = 420  # of a session
TINY = {"rounds": 1, "snapshots": 3, "strikes": 20, "sessions": 1}
QUICK = {"rounds": 3, "snapshots": 60, "sessions": 1}


def quotes(smiles: int, strikes: int) -> tuple[Floats, Floats]:
    """Return k and noisy volatilities of random smiles, shape (smiles, strikes)."""
    rng = np.random.default_rng(0)
    theta = rng.uniform(0.2, 0.5, smiles) ** 2 * YEARS
    truth = Slices(theta, rng.uniform(-0.7, 0.0, smiles), 0.9 * np.sqrt(theta))
    k = np.linspace(-3, 3, strikes)[None, :] * np.sqrt(theta)[:, None]
    volatility = np.sqrt(truth.total_variance(k) / YEARS)
    return k, volatility + rng.normal(0, ERROR, k.shape)


def one_by_one(k: Floats, volatility: Floats) -> Slices:
    """Return the slices that scipy finds, one call a smile."""
    found = []
    for x, seen in zip(k, volatility, strict=True):

        def off(p: Floats, x: Floats = x, seen: Floats = seen) -> Floats:
            slices = Slices(np.exp(p[:1]), np.tanh(p[1:2]), np.exp(p[2:]))
            return np.asarray((np.sqrt(slices.total_variance(x)[0] / YEARS) - seen) / ERROR)

        first = np.array([np.log(0.1 * YEARS), -0.3, np.log(0.1)])
        found.append(least_squares(off, first, loss="huber", f_scale=2.0).x)
    p = np.array(found)
    return Slices(np.exp(p[:, 0]), np.tanh(p[:, 1]), np.exp(p[:, 2]))


def misfit(slices: Slices, k: Floats, volatility: Floats) -> Floats:
    """Return the root mean square of model minus quote of each smile, in errors."""
    off = (np.sqrt(slices.total_variance(k) / YEARS) - volatility) / ERROR
    return np.asarray(np.sqrt(np.square(off).mean(axis=1)))


def minute(strikes: int) -> pl.DataFrame:
    """Return one minute of four maturities, a month apart, with the model's greeks."""
    one = chains(1, strikes)
    together = pl.concat(
        one.with_columns(
            pl.lit(f"{maturity}_KOSPI200").alias("underlying_symbol"),
            pl.col("expiry") + timedelta(days=30 * n),
        )
        for n, maturity in enumerate(MATURITIES)
    )
    price = black76.price(Terms(on_spot=pl.lit(value=False)), pl.col("iv") / 100)
    priced = together.with_columns(price=price).with_columns(
        bid=pl.col("price") - 0.05, ask=pl.col("price") + 0.05
    )
    known = {"underlying": pl.lit("KOSPI200"), "cycle": pl.lit(MONTHLY)}
    greeks = with_model_greeks(ready(priced.with_columns(**known)))
    return greeks.collect(engine=ENGINE)


def live_minute(chain: pl.DataFrame) -> Callable[[], object]:
    """Return what `just live` computes for a minute whose chains come one by one, none late."""
    stored = chain.select(OPTION_CHAIN.names)
    arriving = stored.partition_by("underlying_symbol", maintain_order=True)

    def job() -> object:
        ready_chains = []
        for one in arriving:
            ready_chains.append(chain_with_greeks(one))
            chain_matrix(ready_chains[-1])
        together = pl.concat(ready_chains)
        return chain_summary(chain_figures(together), chain_surface(together))

    return job


def scipy_minute(chain: pl.DataFrame) -> object:
    """Fit each maturity with scipy, one call a smile; nothing is read off."""
    out = pl.when(pl.col("option_type") == "C").then(pl.col("strike") >= pl.col("forward"))
    outside = chain.filter(out.otherwise(pl.col("strike") < pl.col("forward")))
    found = []
    for (_,), rows in outside.group_by("underlying_symbol", maintain_order=True):
        k = (rows["strike"] / rows["forward"]).log().to_numpy()[None, :]
        found.append(one_by_one(k, rows["model_iv"].to_numpy()[None, :] / 100))
    return found


def year(sessions: int, strikes: int) -> Callable[[], object]:
    """Return the job of a year: from stored chains to smiles, sums and summaries, day by day."""
    day = chains(MINUTES, strikes).with_columns(
        underlying=pl.lit("KOSPI200"),
        cycle=pl.lit(MONTHLY),
        trading_to_close=pl.lit(100.0),
        trading_to_expiry=pl.lit(5000.0),
    )

    def job() -> None:
        for _ in range(sessions):
            greeks = with_model_greeks(ready(day)).collect(engine=ENGINE)
            surface = option_surface(greeks)
            figures = option_summary(greeks.lazy()).collect(engine=ENGINE)
            with_smile_figures(figures, surface)

    return job


def measure(
    env: BenchEnv, *, rounds: int = 7, snapshots: int = 420, strikes: int = 40, sessions: int = 250
) -> list[Row]:
    """Measure a day of smiles of one maturity, a live minute of four, and a year of minutes."""
    del env
    k, volatility = quotes(snapshots, strikes)
    error, years = np.full(k.shape, ERROR), np.full(len(k), YEARS)
    ours, theirs = fit_smiles(k, volatility, error, years), one_by_one(k, volatility)
    worse = misfit(ours, k, volatility) - misfit(theirs, k, volatility)
    if not np.quantile(worse, 0.95) < 0.05:
        raise AssertionError(f"ours fits worse than scipy: {np.quantile(worse, 0.95):.3f} errors")
    chain = minute(max(strikes, 20) * 2)
    four = [np.repeat(a[:1], len(MATURITIES), axis=0) for a in (k, volatility, error)]

    def whole_minute() -> object:
        found = option_summary(chain.lazy()).collect(engine=ENGINE)
        return with_smile_figures(found, option_surface(chain))

    took = in_turns(
        {
            "day": lambda: fit_smiles(k, volatility, error, years),
            "scipy": lambda: one_by_one(k, volatility),
            "four": lambda: fit_smiles(*four, np.full(len(MATURITIES), YEARS)),
            "minute": whole_minute,
            "live": live_minute(chain),
            "scipy minute": lambda: scipy_minute(chain),
        },
        rounds,
    )
    of_a_year = in_turns({"year": year(sessions, strikes)}, 1)["year"]
    return [
        Row(
            f"{snapshots} smiles at once vs scipy one by one",
            took["day"],
            took["scipy"],
            snapshots,
            least=8,
        ),
        Row(f"{len(MATURITIES)} smiles", took["four"], rows=len(MATURITIES), most=0.020),
        Row(
            f"a minute of {len(MATURITIES)} maturities vs scipy's fits alone",
            took["minute"],
            took["scipy minute"],
            rows=chain.height,
            most=0.060,
        ),
        Row(
            f"a live minute of {len(MATURITIES)} chains, all that it computes",
            took["live"],
            rows=chain.height,
            most=0.060,
        ),
        Row(
            f"{sessions} sessions of one maturity, all from its chains",
            of_a_year,
            rows=sessions * MINUTES,
            most=60.0,
        ),
    ]
