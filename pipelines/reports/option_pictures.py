"""Pictures of what is read off the smiles, with titles; see docs/options.md."""

from __future__ import annotations

import datetime as dt

import altair as alt
import polars as pl

from engine.errors import InputError
from engine.features.quotes import LEAST_PRICE
from engine.schemas import ALL_MATURITIES
from pipelines.evaluation.bars import symbol_with_bars
from pipelines.reports import option_queries, queries
from pipelines.reports.charts.options import (
    exposure_chart,
    flow_chart,
    index_chart,
    surface_chart,
    volatility_chart,
)
from pipelines.reports.charts.smile import term_chart
from pipelines.reports.charts.style import Titled
from pipelines.texts import Texts

_WHOLE = pl.col("underlying_symbol").str.starts_with(ALL_MATURITIES)
_LEVELS = {
    "forward": "underlying",
    "zero_gamma": "zero_gamma",
    "call_wall": "call_wall",
    "put_wall": "put_wall",
}
_OUT_OF_THE_MONEY = (
    pl.when(pl.col("option_type") == "C")
    .then(pl.col("strike") >= pl.col("forward"))
    .otherwise(pl.col("strike") < pl.col("forward"))
)


def surface(
    url: str, day: dt.date, series: str, minute: dt.time | None, width: int, t: Texts
) -> Titled:
    """Return the smiles of a minute over the quotes that they were fitted to."""
    at, smiles = option_queries.surface_at(url, day, series, minute)
    chain = option_queries.chain_on_smile(url, at, smiles.filter(~_WHOLE))
    fitted = pl.col("fresh") >= LEAST_PRICE * pl.col("fresh_error")
    quotes = chain.filter(_OUT_OF_THE_MONEY, fitted).select(
        "underlying_symbol", "strike", iv="model_iv"
    )
    off = float(smiles.filter(~_WHOLE).select(pl.col("error_points").max()).item() or 0)
    return (
        surface_chart(quotes, chain, t, width=width),
        t("plot_surface", series=t.subject(series), at=f"{at:%Y-%m-%d %H:%M}"),
        t("plot_surface_note", off=f"{off:.2f}"),
    )


def term(
    url: str, day: dt.date, series: str, minute: dt.time | None, width: int, t: Texts
) -> Titled:
    """Return the term structure of a minute beside the volatility indices through the day."""
    at, smiles = option_queries.surface_at(url, day, series, minute)
    maturities = smiles.filter(~_WHOLE).with_columns(days_to_expiry=pl.col("years") * 365)
    whole = option_queries.surfaces_of_day(url, day, series)
    return (
        alt.vconcat(
            term_chart(maturities, t, width=width),
            index_chart(whole, t, width=width),
            spacing=24,
        ).resolve_scale(color="independent"),
        t("plot_term", series=t.subject(series), day=day),
        t("plot_term_and_index_note", at=f"{at:%H:%M}"),
    )


def exposure(
    url: str, day: dt.date, series: str, minute: dt.time | None, width: int, t: Texts
) -> Titled:
    """Return gamma exposure by strike over all maturities, with walls and the zero level."""
    at, smiles = option_queries.surface_at(url, day, series, minute)
    chain = option_queries.chain_on_smile(url, at, smiles.filter(~_WHOLE))
    strikes = gamma_by_strike(chain)
    found = smiles.filter(_WHOLE).to_dicts() or smiles.to_dicts()
    figures = found[0]
    known = {t(key): figures[name] for name, key in _LEVELS.items() if figures[name] is not None}
    forward, total = figures["forward"], figures["gamma_exposure"] or 0
    near = pl.col("strike").is_between(
        min(forward * 0.88, *known.values()), max(forward * 1.12, *known.values())
    )
    return (
        exposure_chart(strikes.filter(near), known, t, width=width),
        t("plot_exposure", series=t.subject(series), at=f"{at:%Y-%m-%d %H:%M}"),
        t(
            "plot_exposure_note",
            total=t.in_large_won(total, signed=True),
            maturities=figures["maturities"],
        ),
    )


def gamma_by_strike(chain: pl.DataFrame) -> pl.DataFrame:
    """Return strike, option_type and gamma_exposure (KRW per 1 % move) over all maturities.

    `chain` is prepared and on its smile; units and sign as in `engine.features.exposure`.
    """
    sign = pl.when(pl.col("option_type") == "C").then(1).otherwise(-1)
    size = pl.col("open_interest") * pl.col("multiplier") * pl.col("forward").pow(2) * 0.01
    return (
        chain.filter("is_sound")
        .group_by("strike", "option_type")
        .agg(gamma_exposure=(sign * size * pl.col("fitted_gamma")).sum())
        .sort("strike", "option_type")
    )


def flow(url: str, day: dt.date, series: str, width: int, t: Texts) -> Titled:
    """Return the signed flow of all maturities, open interest of the nearest by strike and time."""
    underlying = queries.maturities(url, day, series)[0]
    changes = option_queries.interest_of_day(url, underlying, day)
    if changes.is_empty():
        raise InputError(f"the database holds no chain of {underlying} on {day}")
    both = changes.group_by("timestamp", "strike").agg(change=pl.col("change").sum())
    moved = (
        both.group_by("strike").agg(most=pl.col("change").abs().max()).filter(pl.col("most") > 0)
    )
    known = option_queries.told_flow_of_day(url, day, series)
    told = t("plot_flow_none" if known.is_empty() else "plot_flow_some")
    return (
        flow_chart(known, both.join(moved, on="strike", how="semi"), t, width=width),
        t("plot_flow", series=t.subject(series), day=day),
        t("plot_flow_note", told=told, name=t.name_of(underlying)),
    )


def volatility(
    url: str, day: dt.date, symbol: str | None, series: str, count: int, width: int, t: Texts
) -> Titled:
    """Return implied beside realised volatility over the sessions to the day."""
    front = symbol_with_bars(symbol or queries.DEFAULT_SYMBOL)
    rows = option_queries.volatility_until(url, front, day, count, series)
    last = rows.filter(pl.col("iv").is_not_null()).tail(1).to_dicts()
    rank = last[0]["iv_rank"] if last else None
    known = last[0]["iv_sessions"] if last else 0
    said = t("plot_volatility_sessions" if last else "plot_volatility_none", count=known)
    if rank is not None:
        said = t("plot_volatility_ranked", count=known, rank=f"{rank:.0f}")
    return (
        volatility_chart(rows, t, width=width),
        t("plot_volatility", name=t.name(front), day=day),
        t("plot_volatility_note", said=said),
    )
