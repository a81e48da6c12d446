"""How fast chains become matrices and greeks, side by side with the row-by-row pandas way.

The baseline is how the matrix was made before (and is, in most scripts that one finds): for each
metric a walk over the chain's rows, each put into a dict by its level. It gives the same matrix
(checked here), so the ratio is between equal things. Greeks have one option at a time through
vollib as theirs. Ratios hold on any machine; the targets in seconds are for two quiet cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from polars.testing import assert_frame_equal
from vollib.black.greeks import analytical
from vollib.black.implied_volatility import implied_volatility

from engine.features import black76
from engine.features.black76 import RATE, Terms
from engine.features.chain import collect
from engine.features.greeks import with_model_greeks
from engine.features.matrix import matrix
from engine.features.summary import option_summary
from engine.schemas import LEVELS, METRICS, MODEL_METRICS, OPTION_CHAIN
from tests.benchmarks.bench_env import BenchEnv
from tests.benchmarks.rows import Row, as_in_a_day, in_turns
from tests.engine.features.prepared import ready

if TYPE_CHECKING:
    import pandas as pd

OPEN = datetime(2026, 11, 2, 8, 46)
EXPIRY = datetime(2026, 12, 10, 15, 20)
TINY = {"rounds": 1, "snapshots": 3, "strikes": 20}
QUICK = {"rounds": 5, "snapshots": 100}
ENGINE = "in-memory"  # streaming, the default, takes 1 ms more to start


def chains(snapshots: int, strikes: int = 100) -> pl.DataFrame:
    """Return so many snapshots of OPTION_CHAIN, a minute each, with expiries and multiplier."""
    rng = np.random.default_rng(0)
    walk = 1060 + np.cumsum(rng.normal(0, 0.8, snapshots))
    minutes = pl.DataFrame({"minute": range(snapshots), "underlying_price": walk.round(2)})
    listed = 1060 + 2.5 * (np.arange(strikes) - strikes // 2)
    sides = pl.DataFrame({"option_type": ["C", "P"], "letter": ["B", "C"]})
    x = (pl.col("strike") / pl.col("underlying_price")).log()
    rows = minutes.join(sides, how="cross").join(pl.DataFrame({"strike": listed}), how="cross")
    moment = pl.lit(OPEN) + pl.duration(minutes="minute")
    known = rows.with_columns(
        timestamp=moment,
        price_since=moment,
        stale_price=False,
        quoted_at=moment,
        quote_source=pl.lit("board"),
        **{name: pl.lit(None, pl.Int64) for name in ("bid_size", "ask_size", "bought", "sold")},
        **{name: pl.lit(None, pl.Float64) for name in ("turnover", "index_price")},
        fetched_at=moment,
        expiry=EXPIRY,
        underlying_expiry=EXPIRY,
        multiplier=250_000,
        underlying_symbol=pl.lit("202612_KOSPI200"),
        underlying_source=pl.lit("future:A01612"),
        symbol=pl.format("{}01612A00", "letter"),
        volume=pl.int_range(pl.len()) % 997,
        open_interest=pl.int_range(pl.len()) % 4999,
        historical_volatility=76.6,
        iv=36 * (1 - 0.9 * x + 2.2 * x * x),
        atm_class=pl.lit("OTM"),
    )
    price = black76.price(Terms(), pl.col("iv") / 100).round(2)
    priced = known.with_columns(price=price, theoretical_price=price).with_columns(
        bid=pl.col("price") - 0.05, ask=pl.col("price") + 0.05
    )
    greeks = black76.with_greeks(priced.lazy(), pl.lit(0.766)).collect()
    return greeks.select(*OPTION_CHAIN.names, "expiry", "underlying_expiry", "multiplier")


def in_pandas(chain: pd.DataFrame) -> list[dict[str, object]]:
    """Return the matrix of one snapshot, a walk over its rows for each metric."""
    strikes = sorted(chain["strike"].unique())
    price = chain["forward"].iloc[0]
    atm = min(range(len(strikes)), key=lambda i: (abs(strikes[i] - price), strikes[i]))
    out = []
    for metric in METRICS:
        row: dict[str, object] = {"timestamp": chain["timestamp"].iloc[0], "metric_type": metric}
        for _, option in chain.iterrows():
            level = strikes.index(option["strike"]) - atm
            if abs(level) <= LEVELS:
                inside = (level < 0) == (option["option_type"] == "C")
                name = f"{'itm' if inside else 'otm'}{abs(level)}" if level else "atm"
                row[f"{option['option_type'].lower()}_{name}"] = option[metric]
        out.append(row)
    return out


def one_by_one(chain: pl.DataFrame) -> list[tuple[float, ...]]:
    """Return the model's numbers of each option, one call of vollib after the other."""
    years = (EXPIRY - OPEN) / timedelta(days=365)
    columns = chain.select("option_type", "forward", "strike", "price")
    out = []
    for side, forward, strike, price in columns.iter_rows():
        flag = side.lower()
        volatility = implied_volatility(price, forward, strike, RATE, years, flag)
        greeks = (
            getattr(analytical, name.removeprefix("model_"))(
                flag, forward, strike, years, RATE, volatility
            )
            for name in MODEL_METRICS[1:]
        )
        out.append((volatility * 100, *greeks))
    return out


def check_equal(chain: pl.DataFrame) -> None:
    """Compare the baselines with ours: a race between unlike things says nothing."""
    ours = matrix(chain.lazy()).collect().drop("underlying_symbol", "fetched_at")
    theirs = pl.DataFrame(in_pandas(chain.to_pandas()), infer_schema_length=None)
    assert_frame_equal(ours, theirs.select(ours.columns), check_dtypes=False)
    greeks = with_model_greeks(chain.lazy()).collect().select(MODEL_METRICS)
    np.testing.assert_allclose(greeks.to_numpy(), one_by_one(chain), atol=1e-9)


def measure(
    env: BenchEnv, *, rounds: int = 15, snapshots: int = 1000, strikes: int = 350
) -> list[Row]:
    """Measure one snapshot of 100 strikes, many of them, and a wide one.

    Twice: in a process with one thread of Polars, as `just live` runs, and in this one, with all.
    """
    one, wide = (ready(chains(1, count)).collect() for count in (100, strikes))
    check_equal(one)
    pandas_frame = one.to_pandas()
    theirs = {"walked": lambda: in_pandas(pandas_frame), "called": lambda: one_by_one(wide)}
    baseline = in_turns(theirs, rounds)
    live = as_in_a_day(__spec__.name, rounds, snapshots, strikes)
    return [
        *_rows(live, baseline, snapshots, strikes, targets=True),
        *_rows(ours(rounds, snapshots, strikes), baseline, snapshots, strikes, targets=False),
    ]


def ours(rounds: int, snapshots: int, strikes: int) -> dict[str, float]:
    """Return the seconds of each of our ways, with as many threads as this process has.

    Plans run as those of live and of validation do: as they are written, without Polars' optimiser.
    """
    raw = chains(1), chains(snapshots), chains(1, strikes)
    one, many, wide = (ready(chain).collect() for chain in raw)

    def run(job: Callable[[pl.LazyFrame], pl.LazyFrame], chain: pl.DataFrame) -> object:
        return collect(job(chain.lazy()))

    def whole_way() -> object:
        greeks = collect(with_model_greeks(ready(raw[0])))
        return run(matrix, greeks), run(option_summary, greeks)

    return in_turns(
        {
            "matrix": lambda: run(matrix, one),
            "matrices": lambda: run(matrix, many),
            "greeks": lambda: run(with_model_greeks, wide),
            "summary": lambda: run(lambda chain: option_summary(with_model_greeks(chain)), one),
            "forward": lambda: collect(ready(raw[0])),
            "forwards": lambda: collect(ready(raw[1])),
            "whole way": whole_way,
        },
        rounds,
    )


def _rows(
    took: Mapping[str, float],
    baseline: Mapping[str, float],
    snapshots: int,
    strikes: int,
    *,
    targets: bool,
) -> list[Row]:
    walked, called = baseline["walked"], baseline["called"]
    options, all_options = 2 * strikes, 200 * snapshots
    end = "" if targets else ", all threads"

    def most(seconds: float) -> float | None:
        return seconds if targets else None

    return [
        Row(f"a matrix vs by row in pandas{end}", took["matrix"], walked, 200, most=most(0.002)),
        Row(
            f"{snapshots:,} matrices vs in pandas{end}",
            took["matrices"],
            snapshots * walked,
            all_options,
            most=most(0.050),
        ),
        Row(
            f"iv, greeks of {options} options vs vollib{end}",
            took["greeks"],
            called,
            options,
            most=most(0.0009),
        ),
        Row(
            f"a summary with its greeks vs pandas{end}",
            took["summary"],
            walked,
            200,
            most=most(0.008),
        ),
        Row(f"the forward of a snapshot{end}", took["forward"], rows=200),
        Row(f"the forwards of {snapshots:,} snapshots{end}", took["forwards"], rows=all_options),
        Row(f"forward, greeks, matrix, summary{end}", took["whole way"], rows=200),
    ]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(ours(*map(int, sys.argv[1:]))))
