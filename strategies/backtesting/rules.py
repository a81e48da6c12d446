"""The rules of a backtest: when a position is left, what trading costs, and what a point is worth.

Costs are honest only if they are at least what you pay: a commission of 0.003 % of a KOSPI200
future at 400 points is a quarter of a tick, and a market order pays the spread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from engine.market.symbols import parse


class BacktestRules(BaseModel):
    """The rules of a backtest. Costs are ticks per contract (or share) and side."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    exit: Literal["opposite", "inside"] = Field(
        default="opposite",
        description="leave on the opposite signal only, or also when back inside the bands",
    )
    contracts: int = Field(
        default=1, ge=1, le=1_000_000_000, description="contracts (or shares) of a position"
    )
    commission_ticks: float = Field(default=0.25, ge=0, description="per contract and side")
    slippage_ticks: float = Field(default=1.0, ge=0, description="per contract and side")
    capital: float | None = Field(
        default=None, gt=0, description="KRW; by default the position's value at the first open"
    )


def first_capital(rules: BacktestRules) -> pl.Expr:
    """Return the capital at the beginning, KRW, of rows of positions; aggregate it by symbol."""
    if rules.capital:
        return pl.lit(rules.capital, pl.Float64)
    return pl.first("open") * pl.first("multiplier") * rules.contracts


def terms(symbols: Sequence[str]) -> pl.DataFrame:
    """Return symbol, multiplier: KRW that a point of a contract, or a KRW of a share, is worth.

    Raises InputError for an unknown symbol.
    """
    products = [parse(symbol).product for symbol in symbols]
    multipliers = [product.multiplier if product else 1 for product in products]
    return pl.DataFrame(
        {
            "symbol": pl.Series(symbols, dtype=pl.String),
            "multiplier": pl.Series(multipliers, dtype=pl.Int64),
        }
    )


def tick_at(price: str, symbols: Sequence[str]) -> pl.Expr:
    """Return the smallest price step at the price in a column, for each row's symbol."""
    ticks_of = {symbol: parse(symbol).ticks for symbol in symbols}
    tick: pl.Expr = pl.lit(None, pl.Float64)
    for ticks in set(ticks_of.values()):
        alike = [symbol for symbol in symbols if ticks_of[symbol] == ticks]
        for start, step in ticks:
            above = pl.col("symbol").is_in(alike) & (pl.col(price) >= start)
            tick = pl.when(above).then(float(step)).otherwise(tick)
    return tick
