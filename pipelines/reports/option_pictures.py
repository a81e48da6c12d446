"""Pictures of what is read off the smiles, with titles; see docs/options.md."""

from __future__ import annotations

import datetime as dt

import altair as alt
import polars as pl

from engine.errors import InputError
from engine.features.quotes import LEAST_PRICE
from engine.market.symbols import parse
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
from pipelines.reports.charts.style import Picture, with_title

_WHOLE = pl.col("underlying_symbol").str.starts_with(ALL_MATURITIES)
_LEVELS = {
    "forward": "선도가격",
    "zero_gamma": "제로 감마",
    "call_wall": "콜월",
    "put_wall": "풋월",
}
_OUT_OF_THE_MONEY = (
    pl.when(pl.col("option_type") == "C")
    .then(pl.col("strike") >= pl.col("forward"))
    .otherwise(pl.col("strike") < pl.col("forward"))
)


def surface(
    url: str, day: dt.date, series: str, minute: dt.time | None, width: int, source: str
) -> Picture:
    """Return the smiles of a minute over the quotes that they were fitted to."""
    at, smiles = option_queries.surface_at(url, day, series, minute)
    chain = option_queries.chain_on_smile(url, at, smiles.filter(~_WHOLE))
    fitted = pl.col("fresh") >= LEAST_PRICE * pl.col("fresh_error")
    quotes = chain.filter(_OUT_OF_THE_MONEY, fitted).select(
        "underlying_symbol", "strike", iv="model_iv"
    )
    off = float(smiles.filter(~_WHOLE).select(pl.col("error_points").max()).item() or 0)
    return with_title(
        surface_chart(quotes, chain, width=width),
        f"{series} · {at:%Y-%m-%d %H:%M} 변동성 곡면: 만기별 eSSVI 적합",
        f"점: 외가격 옵션의 내재변동성 (자체 계산), 선: 적합된 스마일, 점선: 선도가격"
        f" · 적합 오차 {off:.2f}%p 이하",
        source,
    )


def term(
    url: str, day: dt.date, series: str, minute: dt.time | None, width: int, source: str
) -> Picture:
    """Return the term structure of a minute beside the volatility indices through the day."""
    at, smiles = option_queries.surface_at(url, day, series, minute)
    maturities = smiles.filter(~_WHOLE).with_columns(days_to_expiry=pl.col("years") * 365)
    whole = option_queries.surfaces_of_day(url, day, series)
    return with_title(
        alt.vconcat(
            term_chart(maturities, width=width),
            index_chart(whole, width=width),
            spacing=24,
        ).resolve_scale(color="independent"),
        f"{series} · {day} 변동성 기간구조와 변동성지수",
        f"기간구조: {at:%H:%M} · 변동성지수: 스마일의 분산스왑, 30일과 7일"
        " (KRX VKOSPI와 산출 방법이 다름)",
        source,
    )


def exposure(
    url: str, day: dt.date, series: str, minute: dt.time | None, width: int, source: str
) -> Picture:
    """Return gamma exposure by strike over all maturities, with walls and the zero level."""
    at, smiles = option_queries.surface_at(url, day, series, minute)
    chain = option_queries.chain_on_smile(url, at, smiles.filter(~_WHOLE))
    strikes = gamma_by_strike(chain)
    found = smiles.filter(_WHOLE).to_dicts() or smiles.to_dicts()
    levels = {text: found[0][name] for name, text in _LEVELS.items() if found[0][name] is not None}
    near = pl.col("strike").is_between(
        min(levels["선도가격"] * 0.88, *levels.values()),
        max(levels["선도가격"] * 1.12, *levels.values()),
    )
    total = found[0]["gamma_exposure"]
    return with_title(
        exposure_chart(strikes.filter(near), levels, width=width),
        f"{series} · {at:%Y-%m-%d %H:%M} 행사가별 감마 익스포저",
        f"합계 {(total or 0) / 1e8:+,.0f}억 원/1% · 만기 {found[0]['maturities']}개"
        " · 통상적인 가정 (딜러가 콜 매수, 풋 매도)",
        source,
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


def flow(url: str, day: dt.date, series: str, width: int, source: str) -> Picture:
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
    told = "피드가 켜진 때만 알 수 있음" if known.is_empty() else "피드로 받은 옵션만 포함"
    return with_title(
        flow_chart(known, both.join(moved, on="strike", how="semi"), width=width),
        f"{series} · {day} 옵션 순매수와 미결제약정",
        f"순매수: 모든 만기, 매수 체결 − 매도 체결에 델타를 곱한 값 ({told})"
        f" · 미결제약정 증감: {parse(underlying).name_ko}, 콜과 풋의 합",
        source,
    )


def volatility(
    url: str, day: dt.date, symbol: str | None, series: str, count: int, width: int, source: str
) -> Picture:
    """Return implied beside realised volatility over the sessions to the day."""
    front = symbol_with_bars(symbol or queries.DEFAULT_SYMBOL)
    rows = option_queries.volatility_until(url, front, day, count, series)
    last = rows.filter(pl.col("iv").is_not_null()).tail(1).to_dicts()
    rank = last[0]["iv_rank"] if last else None
    said = (
        "내재변동성이 저장된 세션 없음"
        if not last
        else f"내재변동성 세션 {last[0]['iv_sessions']}개"
        + ("" if rank is None else f", IV 순위 {rank:.0f}")
    )
    return with_title(
        volatility_chart(rows, width=width),
        f"{front.name_ko} · {day}까지의 내재변동성과 실현변동성",
        f"실현: 5분 수익률과 야간 갭, 연 245세션 · 아래: 내재 − HAR 예측 (없으면 − 실현) · {said}",
        source,
    )
