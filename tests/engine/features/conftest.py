"""Plausible option chains, made up and the same on every machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from engine.features import black76
from engine.features.black76 import Terms, greeks
from engine.market.codes import option_code
from engine.market.products import option_series
from engine.schemas import OPTION_CHAIN

MOMENT = datetime(2026, 11, 2, 10, 31)
EXPIRY = datetime(2026, 12, 10, 15, 20)
UNDERLYING_EXPIRY = EXPIRY  # of A01612
STRIKES = tuple(np.arange(945.0, 1195.1, 2.5))
KOSPI200 = option_series("KOSPI200")
VENDOR = Terms(years=pl.col("years"), on_spot=pl.lit(True))


def board(
    underlying: float = 1061.3,
    *,
    strikes: Iterable[float] = STRIKES,
    moment: datetime = MOMENT,
    expiry: datetime = EXPIRY,
    symbol: str = "202612_KOSPI200",
    source: str = "future:A01612",
    volatility: float = 0.36,
    center: float | None = None,
) -> pl.DataFrame:
    """Return one snapshot of OPTION_CHAIN with expiries and multiplier, calls first.

    Prices are Black-76 off a smile, on the tick; KIS's greeks come from 76.65 % historical
    volatility. Volume and open interest are most at `center` (default: the underlying).
    """
    listed = list(strikes)
    codes = pl.DataFrame(
        [
            (side, float(strike), option_code(product, "202612", strike))
            for side, product in (("C", KOSPI200.call), ("P", KOSPI200.put))
            for strike in listed
        ],
        schema=["option_type", "strike", "symbol"],
        orient="row",
    )
    x = (pl.col("strike") / underlying).log()
    smile = volatility * (1 - 0.9 * x + 2.2 * x * x)
    away = ((pl.col("strike") - (center or underlying)) / 25).pow(2) + 1
    round_strike = pl.when(pl.col("strike") % 10 == 0).then(4).otherwise(1)
    rows = (
        codes.with_columns(
            timestamp=pl.lit(moment, pl.Datetime("us")),
            expiry=pl.lit(expiry, pl.Datetime("us")),
            underlying_expiry=pl.lit(UNDERLYING_EXPIRY, pl.Datetime("us")),
            multiplier=250_000,
            underlying_symbol=pl.lit(symbol),
            underlying_price=pl.lit(underlying),
            underlying_source=pl.lit(source),
            years=max((expiry - moment).total_seconds(), 0) / (365 * 86400),
            historical_volatility=76.6483,
            true_volatility=smile,
        )
        .with_columns(
            fair=black76.price(VENDOR_FREE, pl.col("true_volatility")),
            greeks=greeks(VENDOR, pl.lit(0.766483)),
            theoretical_price=black76.price(VENDOR, pl.lit(0.766483)),
            volume=(round_strike * 600 / away).cast(pl.Int64),
            open_interest=(round_strike * 2500 / away.sqrt()).cast(pl.Int64),
            iv=(pl.col("true_volatility") * 100).round(4),
            atm_class=pl.lit("OTM"),
            price_since=pl.lit(moment, pl.Datetime("us")),
            stale_price=pl.lit(value=False),
            quote_source=pl.lit("board"),
            **{name: pl.lit(None, pl.Int64) for name in ("bid_size", "ask_size", "bought", "sold")},
            **{name: pl.lit(None, pl.Float64) for name in ("turnover", "index_price")},
            quoted_at=pl.lit(moment, pl.Datetime("us")).dt.offset_by("2s"),
            fetched_at=pl.lit(moment, pl.Datetime("us")).dt.offset_by("3s"),
        )
        .unnest("greeks")
    )
    tick = pl.when(pl.col("fair") < 10).then(0.01).otherwise(0.05)
    ticks = (pl.col("fair") / tick).round().clip(lower_bound=1)
    return rows.with_columns(
        price=(ticks * tick).round(2),
        bid=((ticks - 1) * tick).round(2),
        ask=((ticks + 1) * tick).round(2),
    ).select(*OPTION_CHAIN.names, "expiry", "underlying_expiry", "multiplier")


VENDOR_FREE = Terms(years=pl.col("years"))


@pytest.fixture(scope="session")
def make_board() -> Callable[..., pl.DataFrame]:
    """Return the function `board`, since test modules do not import each other."""
    return board
