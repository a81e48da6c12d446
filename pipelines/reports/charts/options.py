"""What is read off the smiles: the fit, exposure by strike, the index through the day, flow."""

from __future__ import annotations

import altair as alt
import polars as pl

from pipelines.reports.charts.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    WIDTH,
    Picture,
    Width,
    chain_names,
    clock_axis,
    side_names,
)
from pipelines.texts import Texts

NEAR = 0.12  # of the forward; strikes farther away are not drawn
_COLORS = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, INK, GREY]  # of maturities, nearest first


def surface_chart(
    quotes: pl.DataFrame, smiles: pl.DataFrame, t: Texts, *, width: Width = WIDTH
) -> Picture:
    """Draw the smiles (lines) of one minute over the quotes (points) that they were fitted to.

    `quotes`: underlying_symbol, strike, iv (% per year, each option's own); `smiles`:
    underlying_symbol, strike, fitted_iv, forward. Rules stand at the forwards.
    """
    near = (pl.col("strike") / pl.col("forward") - 1).abs() <= NEAR
    called = pl.col("underlying_symbol").replace_strict(chain_names(t, smiles))
    lines = smiles.filter(near).drop_nulls("fitted_iv")
    reach = lines.group_by("underlying_symbol").agg(
        low=pl.col("strike").min(), high=pl.col("strike").max()
    )
    points = quotes.join(reach, on="underlying_symbol").filter(
        pl.col("strike").is_between("low", "high"), pl.col("iv") > 0
    )
    lines = lines.sort("underlying_symbol", "strike").with_columns(called)
    points = points.with_columns(called)
    names = lines["underlying_symbol"].unique(maintain_order=True).to_list()
    color = alt.Color(
        "underlying_symbol:N",
        scale=alt.Scale(domain=names, range=_COLORS[: len(names)]),
        legend=alt.Legend(title=None, orient="top"),
    )
    x = alt.X("strike:Q", title=t("axis_strike"), scale=alt.Scale(zero=False, padding=12))
    y = alt.Y("iv:Q", title=t("axis_volatility"), scale=alt.Scale(zero=False))
    fitted = lines.select("underlying_symbol", "strike", iv="fitted_iv")
    forwards = lines.select("underlying_symbol", "forward").unique()
    return alt.layer(
        alt.Chart(fitted).mark_line(strokeWidth=1.6).encode(x=x, y=y, color=color),
        alt.Chart(points.select("underlying_symbol", "strike", "iv"))
        .mark_point(filled=True, size=22, opacity=0.75)
        .encode(x=x, y=y, color=color),
        alt.Chart(forwards)
        .mark_rule(strokeDash=[4, 3], opacity=0.6)
        .encode(x="forward:Q", color=color),
    ).properties(width=width, height=340)


def index_chart(rows: pl.DataFrame, t: Texts, *, width: Width = WIDTH) -> Picture:
    """Draw volatility indices and constant maturities through a day, % per year.

    `rows`: timestamp, vkospi, vkospi_weekly, atm_7d, atm_30d, atm_60d of one row a minute.
    """
    names = {
        "vkospi": t("our_index_30d"),
        "vkospi_weekly": t("our_index_7d"),
        "atm_7d": t("atm_7d"),
        "atm_30d": t("atm_30d"),
        "atm_60d": t("atm_60d"),
    }
    known = {name: text for name, text in names.items() if rows[name].count()}
    colors = dict(zip(names, (INK, GREY, ORANGE, BLUE, GREEN), strict=True))
    long = (
        rows.select("timestamp", *known)
        .unpivot(index="timestamp", variable_name="line", value_name="value")
        .with_columns(pl.col("line").replace_strict(known, return_dtype=pl.String))
    )
    scale = alt.Scale(domain=list(known.values()), range=[colors[name] for name in known])
    return (
        alt.Chart(long, width=width, height=230)
        .mark_line(strokeWidth=1.4, interpolate="step-after")
        .encode(
            x=clock_axis(t("axis_time")),
            y=alt.Y("value:Q", title=t("axis_volatility"), scale=alt.Scale(zero=False)),
            color=alt.Color(
                "line:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=5)
            ),
        )
    )


def exposure_chart(
    strikes: pl.DataFrame, levels: dict[str, float], t: Texts, *, width: Width = WIDTH
) -> Picture:
    """Draw gamma exposure by strike, calls above puts, and its levels; in `Texts.large_won`.

    `strikes`: strike, option_type, gamma_exposure (KRW per 1 % move; of puts below 0); `levels`:
    what they are called and index points.
    """
    names = side_names(t)
    bars = strikes.with_columns(
        pl.col("option_type").replace_strict(names, return_dtype=pl.String).alias("side"),
        exposure=pl.col("gamma_exposure") / t.large_won,
    ).select("strike", "side", "exposure")
    sides = alt.Scale(domain=list(names.values()), range=[VERMILLION, BLUE])
    drawn = (
        alt.Chart(bars)
        .mark_bar(size=max(2, min(9, 560 // max(bars["strike"].n_unique(), 1))))
        .encode(
            x=alt.X("strike:Q", title=t("axis_strike"), scale=alt.Scale(zero=False)),
            y=alt.Y("exposure:Q", title=t("axis_exposure"), stack=None),
            color=alt.Color(
                "side:N", scale=sides, legend=alt.Legend(title=None, orient="top", offset=4)
            ),
        )
    )
    rules = pl.DataFrame(list(levels.items()), ["name", "level"], orient="row")
    kinds = alt.Scale(domain=list(levels), range=[INK, GREEN, PURPLE, ORANGE][: len(levels)])
    lines = (
        alt.Chart(rules)
        .mark_rule(strokeWidth=1.6, strokeDash=[5, 3])
        .encode(
            x="level:Q",
            color=alt.Color(
                "name:N",
                scale=kinds,
                legend=alt.Legend(title=None, orient="top", symbolType="stroke"),
            ),
        )
    )
    return (
        alt.layer(drawn, lines)
        .resolve_scale(color="independent")
        .properties(width=width, height=320)
    )


def flow_chart(
    flow: pl.DataFrame, changes: pl.DataFrame, t: Texts, *, width: Width = WIDTH
) -> Picture:
    """Draw the signed flow through a day above the map of open interest, strike by time.

    Without a flow, which only the feed tells, the map alone.
    `flow`: timestamp, option_type, net_futures (of the minute; drawn summed up); `changes`:
    timestamp, strike, change (contracts since the morning, calls and puts together).
    """
    if flow.is_empty():
        return _interest_map(changes, t, width)
    names = side_names(t)
    summed = (
        flow.group_by("timestamp", "option_type")
        .agg(net=pl.col("net_futures").sum())
        .sort("timestamp")
        .with_columns(net=pl.col("net").cum_sum().over("option_type"))
        .with_columns(
            pl.col("option_type").replace_strict(names, return_dtype=pl.String).alias("side")
        )
        .select("timestamp", "side", "net")
    )
    sides = alt.Scale(domain=list(names.values()), range=[VERMILLION, BLUE])
    lines = (
        alt.Chart(summed, width=width, height=170)
        .mark_line(strokeWidth=1.4, interpolate="step-after")
        .encode(
            x=clock_axis(),
            y=alt.Y("net:Q", title=t("axis_net_options"), axis=alt.Axis(tickCount=5)),
            color=alt.Color("side:N", scale=sides, legend=alt.Legend(title=None, orient="top")),
        )
    )
    return alt.vconcat(lines, _interest_map(changes, t, width), spacing=12).resolve_scale(
        x="shared", color="independent"
    )


def _interest_map(changes: pl.DataFrame, t: Texts, width: Width) -> Picture:
    step = changes.select(pl.col("strike").unique().sort().diff().min()).item() or 2.5
    cells = (
        changes.with_columns(pl.col("timestamp").dt.truncate("10m"))
        .group_by("timestamp", "strike")
        .agg(change=pl.col("change").last())
        .drop_nulls()
        .with_columns(
            until=pl.col("timestamp").dt.offset_by("10m"), top=pl.col("strike") + float(step)
        )
    )
    return (
        alt.Chart(cells, width=width, height=240)
        .mark_rect()
        .encode(
            x=clock_axis(t("axis_time")),
            x2="until:T",
            y=alt.Y("strike:Q", title=t("axis_strike"), scale=alt.Scale(zero=False)),
            y2="top:Q",
            color=alt.Color(
                "change:Q",
                scale=alt.Scale(scheme="redblue", domainMid=0, reverse=True),
                legend=alt.Legend(
                    title=t("axis_interest_change"),
                    orient="bottom",
                    gradientLength=320,
                    gradientThickness=10,
                    titleLimit=400,
                ),
            ),
        )
    )


def volatility_chart(sessions: pl.DataFrame, t: Texts, *, width: Width = WIDTH) -> Picture:
    """Draw implied beside realised volatility by session (% per year), and their difference.

    `sessions`: as `engine.history.realised.with_implied` gives them.
    """
    names = {
        "iv": t("line_implied"),
        "realised_volatility": t("line_realised"),
        "yang_zhang": t("line_yang_zhang"),
        "har_20d": t("line_har"),
    }
    today = {"day": t("line_day")}
    with_day = sessions.with_columns(day=(pl.col("whole") * 245).sqrt() * 100)
    known = {n: t for n, t in (names | today).items() if with_day[n].count()}
    colors = {"iv": INK, "realised_volatility": BLUE, "yang_zhang": GREEN, "har_20d": ORANGE}
    scale = alt.Scale(domain=list(known.values()), range=[colors.get(name, GREY) for name in known])
    long = (
        with_day.select("session", *known)
        .unpivot(index="session", variable_name="line", value_name="value")
        .with_columns(pl.col("line").replace_strict(known, return_dtype=pl.String))
        .drop_nulls()
    )
    axis = alt.Axis(
        format="%m-%d", labelAngle=0, tickCount=8, labelOverlap="greedy", labelSeparation=8
    )
    x = alt.X("session:T", title=None, axis=axis)
    lines = (
        alt.Chart(long, width=width, height=240)
        .mark_line(strokeWidth=1.4, point=alt.OverlayMarkDef(size=16))
        .encode(
            x=x,
            y=alt.Y("value:Q", title=t("axis_volatility"), scale=alt.Scale(zero=False)),
            color=alt.Color(
                "line:N", scale=scale, legend=alt.Legend(title=None, orient="top", columns=5)
            ),
        )
    )
    gaps = sessions.with_columns(
        gap=pl.coalesce("iv_less_forecast", "iv_less_realised")
    ).drop_nulls("gap")
    if gaps.is_empty():
        return lines
    bars = (
        alt.Chart(gaps.select("session", "gap"), width=width, height=110)
        .mark_bar(size=5, color=PURPLE)
        .encode(x=x, y=alt.Y("gap:Q", title=t("axis_premium"), axis=alt.Axis(tickCount=4)))
    )
    return alt.vconcat(lines, bars, spacing=10).resolve_scale(x="shared")
