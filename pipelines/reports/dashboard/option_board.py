"""The options on the page: the chain by strike, smiles, exposure, the index, term structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from engine.features.modelled import with_smile_values
from engine.market.products import SERIES
from engine.market.symbols import OptionChain, parse
from engine.schemas import ALL_MATURITIES
from engine.store.identifiers import literal, literals
from pipelines.chains import chain_with_greeks
from pipelines.evaluation.standing import Ask
from pipelines.reports.option_pictures import gamma_by_strike
from pipelines.reports.sql_text import sql_text

_SIDES = {"C": "c", "P": "p"}
_OF_SIDE = ("price", "bid", "ask", "iv", "delta", "open_interest", "change")
_FLAGS = ("modelled", "stale_price")
_TIMES = ("quoted_at", "price_since")
INDEX = ("vkospi", "vkospi_weekly", "atm_30d")


@dataclass(frozen=True)
class ShownOptions:
    """What is shown of a chain and the maturities beside it, at its last snapshot."""

    summary: Mapping[str, Any]  # OPTION_SUMMARY of the chain
    strikes: pl.DataFrame  # a row a strike; c_ and p_ before the names of what calls and puts have
    since: datetime | None  # of the snapshot that changes of open interest refer to
    smiles: pl.DataFrame  # underlying_symbol, strike, forward, fitted_iv, iv; all maturities
    surface: pl.DataFrame  # OPTION_SURFACE of the maturities at the last minute, nearest first
    whole: Mapping[str, Any]  # OPTION_SURFACE over all maturities; empty without one
    gamma: pl.DataFrame  # strike, option_type, gamma_exposure over all maturities
    index: pl.DataFrame  # timestamp and INDEX through the day

    @property
    def at(self) -> datetime:
        """The minute of the snapshot."""
        moment: datetime = self.summary["timestamp"]
        return moment

    @property
    def since_text(self) -> str:
        """The moment that changes of open interest refer to, with its day if that is another."""
        if self.since is None:
            return "–"
        today = self.since.date() == self.at.date()
        return f"{self.since:%H:%M}" if today else f"{self.since:%m-%d %H:%M}"

    @property
    def chain(self) -> str:
        """The underlying_symbol of the chain."""
        return str(self.summary["underlying_symbol"])


def chosen_summary(summaries: pl.DataFrame, asked: str | None) -> dict[str, Any] | None:
    """Return the last summary of the chain asked for, else of the one that expires next.

    None if there is no summary.
    """
    rows = summaries.sort("days_to_expiry", nulls_last=True).to_dicts()
    wanted = [row for row in rows if row["underlying_symbol"] == asked]
    return next(iter([*wanted, *rows]), None)


def read_options(
    ask: Ask, summary: Mapping[str, Any], summaries: pl.DataFrame, today: Mapping[str, str]
) -> ShownOptions:
    """Read what belongs to the last snapshot of a chain; `today` has the SQL of begin and now."""
    chain = _option_chain(str(summary["underlying_symbol"]))
    whole_name = f"{ALL_MATURITIES}{chain.series.call.underlying}"
    names = _beside(chain, summaries)
    surface = ask(sql_text("dashboard", "last_surface.sql", names=literals(names), **today))
    whole = ask(
        sql_text("dashboard", "last_surface.sql", names=literal(whole_name), **today)
    ).to_dicts()
    index = ask(sql_text("dashboard", "index_today.sql", over=literal(whole_name), **today))
    rows = _chains_at(ask, summaries.filter(pl.col("underlying_symbol").is_in(names)))
    valued = with_smile_values(
        chain_with_greeks(rows).lazy(), _at_chain(surface, rows).lazy()
    ).collect()
    own = valued.filter(pl.col("underlying_symbol") == chain.code)
    before = ask(sql_text("dashboard", "interest_before.sql", chain=literal(chain.code), **today))
    out = pl.col("option_type") == pl.when(_above_forward()).then(pl.lit("C")).otherwise(
        pl.lit("P")
    )
    smiles = (
        valued.sort("underlying_symbol", "strike")
        .group_by("underlying_symbol", "strike", maintain_order=True)
        .agg(
            pl.col("forward", "fitted_iv").first(),
            iv=pl.col("model_iv").filter(out).first(),
        )
    )
    return ShownOptions(
        summary,
        _by_strike(own, before),
        before["timestamp"].min(),  # type: ignore[arg-type]
        smiles,
        surface.sort("years"),
        next(iter(whole), {}),
        gamma_by_strike(valued),
        index.select("timestamp", *INDEX),
    )


def _option_chain(name: str) -> OptionChain:
    chain = parse(name)
    assert isinstance(chain, OptionChain)  # noqa: S101 - the table holds no other names
    return chain


def _above_forward() -> pl.Expr:
    return pl.col("strike") >= pl.col("forward")


def _beside(chain: OptionChain, summaries: pl.DataFrame) -> list[str]:
    """Return the chains of the same underlying and the same hours: months, and weeks with them."""
    series = [
        one
        for one in SERIES.values()
        if one.call.underlying == chain.series.call.underlying
        and (one is chain.series or one.is_weekly or chain.series.is_weekly)
    ]
    others = [_option_chain(name) for name in summaries["underlying_symbol"]]
    return [one.code for one in others if one.series in series and one.market is chain.market]


def _chains_at(ask: Ask, summaries: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of each chain's last snapshot, with the forward where KIS gave no price."""
    moments = " OR ".join(
        f"(underlying_symbol = {literal(name)} AND timestamp = {literal(at)})"
        for name, at in summaries.select("underlying_symbol", "timestamp").iter_rows()
    )
    rows = ask(f"SELECT * FROM option_chain_raw WHERE {moments}")  # noqa: S608 - quoted
    forward = pl.col("underlying_symbol").replace_strict(
        dict(summaries.select("underlying_symbol", "forward").iter_rows()),
        default=None,
        return_dtype=pl.Float64,
    )
    return rows.with_columns(pl.col("underlying_price").fill_null(forward))


def _at_chain(surface: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the smiles at the minutes of the chains: a smile may lag a snapshot by seconds."""
    moments = rows.select("underlying_symbol", "timestamp").unique()
    return surface.drop("timestamp").join(moments, on="underlying_symbol")


def _by_strike(rows: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Return the chain with calls and puts of a strike in one row, ascending.

    The change of open interest is that since the snapshot `before`.
    """
    option = ["strike", "option_type"]
    known = before.select(*option, interest_before="open_interest").unique(option)
    valued = (
        rows.join(known, on=option, how="left")
        .with_columns(
            change=pl.col("open_interest") - pl.col("interest_before"),
            iv=pl.coalesce("model_iv", "fitted_iv"),
            delta=pl.coalesce("model_delta", "fitted_delta"),
        )
        .unique(["strike", "option_type"], keep="first", maintain_order=True)
    )
    wanted = (*_OF_SIDE, *_FLAGS, *_TIMES)
    sides = [
        valued.filter(pl.col("option_type") == side).select(
            "strike", *(pl.col(name).alias(f"{prefix}_{name}") for name in wanted)
        )
        for side, prefix in _SIDES.items()
    ]
    return (
        sides[0]
        .join(sides[1], on="strike", how="full", coalesce=True)
        .sort("strike")
        .filter(pl.col("strike").is_not_null())
    )
