"""The volatility smile at one minute, and the term structure over the maturities."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import (
    BLUE,
    GREY,
    VERMILLION,
    Picture,
    Width,
    chain_names,
    maturity_names,
    side_names,
)
from pipelines.texts import Texts

NEAR = 0.12  # of the underlying price; strikes farther away hardly trade


def smile_chart(chain: pl.DataFrame, t: Texts, *, width: Width = 470) -> Picture:
    """Draw implied volatility (% per year) over the strike, of one snapshot.

    `chain`: underlying_symbol, option_type, strike, iv, underlying_price (rows of
    option_chain_raw). Only strikes within 12 % of the underlying and with a volatility are drawn;
    the rule stands at the underlying's price.
    """
    near = (pl.col("strike") / pl.col("underlying_price") - 1).abs() <= NEAR
    side_of = side_names(t)
    drawn = chain.filter(near, pl.col("iv") > 0).with_columns(
        pl.col("option_type").replace_strict(side_of, return_dtype=pl.String).alias("side"),
        pl.col("underlying_symbol").replace_strict(chain_names(t, chain)),
    )
    names = list(side_of.values())
    sides = alt.Scale(domain=names, range=[VERMILLION, BLUE])
    sizes = alt.Scale(domain=names, range=[70, 14])  # a call and a put of one volatility both show
    base = alt.Chart(drawn.select("strike", "iv", "side", "underlying_symbol"))
    points = base.mark_point(strokeWidth=1.5, opacity=1).encode(
        x=alt.X("strike:Q", title=t("axis_strike"), scale=alt.Scale(zero=False, padding=12)),
        y=alt.Y("iv:Q", title=t("axis_implied"), scale=alt.Scale(zero=False)),
        color=alt.Color("side:N", scale=sides, legend=alt.Legend(title=None, orient="top")),
        size=alt.Size("side:N", scale=sizes, legend=None),
        shape=alt.Shape("underlying_symbol:N", legend=_maturities(chain)),
        tooltip=[
            alt.Tooltip("underlying_symbol:N", title=t("chain")),
            alt.Tooltip("side:N", title=t("side")),
            alt.Tooltip("strike:Q", title=t("strike")),
            alt.Tooltip("iv:Q", title=t("axis_implied"), format=".2f"),
        ],
    )
    return alt.layer(points, *_underlying(chain)).properties(width=width, height=320)


def _maturities(chain: pl.DataFrame) -> alt.Legend | None:
    several = chain["underlying_symbol"].n_unique() > 1
    return alt.Legend(title=None, orient="top") if several else None


def _underlying(chain: pl.DataFrame) -> list[Picture]:
    """Draw the price of the underlying; where each maturity has its own, that of the nearest."""
    priced = chain.select("underlying_symbol", "underlying_price").drop_nulls()
    at = priced.sort("underlying_symbol").select("underlying_price").head(1)
    rule = alt.Chart(at).mark_rule(color=GREY, strokeDash=[4, 3]).encode(x="underlying_price:Q")
    label = (
        alt.Chart(at)
        .mark_text(align="left", baseline="top", dx=5, color="#555555")
        .encode(
            x="underlying_price:Q",
            y=alt.value(4),
            text=alt.Text("underlying_price:Q", format=",.2f"),
        )
    )
    return [rule, label]


def term_chart(summaries: pl.DataFrame, t: Texts, *, width: Width = 260) -> Picture:
    """Draw ATM volatility (% per year) over the days to expiry, a point for each maturity.

    `summaries`: underlying_symbol, days_to_expiry, atm_volatility of one minute.
    """
    known = summaries.select(
        "days_to_expiry",
        "atm_volatility",
        name=pl.col("underlying_symbol").replace_strict(maturity_names(t, summaries)),
    ).drop_nulls()
    base = alt.Chart(known, width=width, height=320).encode(
        x=alt.X("days_to_expiry:Q", title=t("axis_days"), scale=alt.Scale(domainMin=0, padding=30)),
        y=alt.Y(
            "atm_volatility:Q",
            title=t("axis_atm"),
            scale=alt.Scale(zero=False, padding=30),
            axis=alt.Axis(format=".2f", tickCount=5),
        ),
    )
    line = base.mark_line(color=GREY, strokeWidth=1)
    points = base.mark_point(filled=True, size=60, color=BLUE, opacity=1)
    # A name goes towards the middle: centred, that of the nearest maturity would cross the axis.
    middle = known.select(pl.col("days_to_expiry").max() / 2).item() or 0
    near = alt.datum.days_to_expiry < middle
    left = base.transform_filter(near).mark_text(align="left", dx=-4, dy=-12, fontSize=10)
    right = base.transform_filter(~near).mark_text(align="right", dx=4, dy=-12, fontSize=10)
    names = [side.encode(text="name:N") for side in (left, right)]
    return alt.layer(line, points, *names)
