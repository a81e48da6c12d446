"""Who bought and sold: investors by kind, minute by minute and day by day.

In each minute the volume of the market is divided twice, among sellers and among buyers. So sums of
the day only grow, all kinds together have bought and sold the volume of the market, and the net
flows add up to zero.
"""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl

from engine.market.hours import MINUTE
from engine.market.products import KOSDAQ150, KOSPI200, MINI_KOSPI200, Product, option_series
from engine.market.sessions import Market
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kept import kept_by_owner
from engine.simulator.market.data import draws, minute_starts, open_session
from engine.simulator.market.dice import Floats
from engine.simulator.market.listing import futures, maturities
from engine.simulator.query import Query, asked_day, fits
from engine.simulator.quotations.days import sessions_until
from engine.simulator.quotations.index_frames import index_day, index_now
from engine.simulator.quotations.stock_frames import short_days

# Share of all trading; individuals (prsn) take what the others leave.
KINDS = {
    "frgn": 0.3,
    "scrt": 0.07,
    "ivtr": 0.03,
    "pe_fund": 0.02,
    "bank": 0.005,
    "insu": 0.01,
    "mrbn": 0.002,
    "fund": 0.03,
    "etc_orgt": 0.003,
    "etc_corp": 0.02,
    "prsn": 0.51,
}
INSTITUTIONS = ("scrt", "ivtr", "pe_fund", "bank", "insu", "mrbn", "fund")  # together: orgn
STOCK_MARKETS = {"KSP": "0001", "KSQ": "1001"}
FUTURES = {"F001": KOSPI200, "F002": MINI_KOSPI200, "F004": KOSDAQ150}
OPTIONS = {
    "OC01": ("KOSPI200", "C"),
    "OP01": ("KOSPI200", "P"),
    "OC02": ("MINI_KOSPI200", "C"),
    "OP02": ("MINI_KOSPI200", "P"),
    "OC03": ("KOSDAQ150", "C"),
    "OP03": ("KOSDAQ150", "P"),
    "OC04": ("KOSPI200_WEEKLY_THU", "C"),
    "OP04": ("KOSPI200_WEEKLY_THU", "P"),
    "OC05": ("KOSPI200_WEEKLY_MON", "C"),
    "OP05": ("KOSPI200_WEEKLY_MON", "P"),
}
OPTION_PRICE = 0.006  # of the index: what an average option costs
MILLION = 1e6


def investors(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return one row: {kind}_{sold,bought}_{volume,amount} of the day so far.

    Stocks: thousand shares; derivatives: contracts. Amounts are million KRW.
    """
    market, sector = query["FID_INPUT_ISCD"], query["FID_INPUT_ISCD_2"]
    code = sector if sector in FUTURES or sector in OPTIONS else STOCK_MARKETS.get(market, "")
    for day in sessions_until(now.date(), 2):
        found = flow_minutes(exchange, code, day) if code else pl.DataFrame()
        found = found if found.is_empty() else found.filter(pl.col("label") + MINUTE <= now)
        if not found.is_empty():
            return found.tail(1)
    return pl.DataFrame()


@kept_by_owner(128)
def flow_minutes(exchange: SimulatedExchange, code: str, day: date) -> pl.DataFrame:
    """Return the sums of the day by the end of each minute, for a market of stocks or a sector."""
    traded = _traded(exchange, code, day)
    if traded.is_empty():
        return traded
    sums: dict[str, Floats] = {}
    for side in ("sold", "bought"):
        for unit in ("volume", "amount"):
            parts = divided(traded[unit].to_numpy(), code, day, side)
            sums |= {f"{kind}_{side}_{unit}": part for kind, part in parts.items()}
    return traded.select("label").with_columns(**{name: pl.Series(v) for name, v in sums.items()})


def divided(amounts: Floats, *key: object) -> dict[str, Floats]:
    """Divide what was traded in each minute among the kinds; return their sums of the day."""
    random = draws("flows", *key)
    rest = amounts.copy()
    sums: dict[str, Floats] = {}
    for kind, part in KINDS.items():
        if kind == "prsn":
            continue
        wandering = np.exp(random.normal(0, 0.3) + 0.15 * random.standard_normal(amounts.size))
        own = np.minimum(np.floor(amounts * np.minimum(part * wandering, 0.45)), rest)
        rest -= own
        sums[kind] = np.cumsum(own)
    sums["prsn"] = np.cumsum(rest)
    sums["orgn"] = np.sum([sums[kind] for kind in INSTITUTIONS], axis=0)
    return sums


def _traded(exchange: SimulatedExchange, code: str, day: date) -> pl.DataFrame:
    """Return label, volume and amount of each minute, whole numbers."""
    if code in FUTURES:
        return _futures_traded(exchange, FUTURES[code], day)
    if code in OPTIONS:
        return _options_traded(exchange, *OPTIONS[code], day)
    minutes = index_day(exchange, code, day)
    return minutes.select(
        "label",
        volume=pl.col("volume") - pl.col("volume").shift().fill_null(0),
        amount=pl.col("turnover") - pl.col("turnover").shift().fill_null(0),
    )


def _futures_traded(exchange: SimulatedExchange, product: Product, day: date) -> pl.DataFrame:
    hours = open_session(Market.DERIVATIVES, day)
    bars = [exchange.market.bars(c.code, hours) for c in futures(product, day)[:2]]
    return (
        pl.concat(bars)
        .with_columns(amount=pl.col("volume") * pl.col("close") * product.multiplier / MILLION)
        .group_by("label")
        .agg(pl.col("volume").sum().cast(pl.Float64), pl.col("amount").sum().floor())
        .sort("label")
    )


def _options_traded(exchange: SimulatedExchange, series: str, side: str, day: date) -> pl.DataFrame:
    found = option_series(series)
    hours = open_session(Market.DERIVATIVES, day)
    level = exchange.market.index(found.future.underlying, hours)["close"].to_numpy()
    total = np.zeros(level.size)
    for maturity in maturities(series, day)[:2]:
        chain = exchange.options.day(series, maturity, day)
        wanted = (chain.listed["option_type"] == side).to_numpy()
        total += np.floor(chain.volume[wanted].sum() * chain.share_traded)
    volume = np.diff(total, prepend=0.0)
    amount = np.floor(volume * level * OPTION_PRICE * found.future.multiplier / MILLION)
    return pl.DataFrame({"label": minute_starts(hours), "volume": volume, "amount": amount})


def investor_days(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the flows of a stock market with its index: a row for each day, newest first."""
    market = query["FID_INPUT_ISCD_1"]
    code = STOCK_MARKETS.get(market, "")
    if not code:
        return pl.DataFrame()
    last = asked_day(query["FID_INPUT_DATE_1"], now)
    rows = []
    for day in sessions_until(min(last, now.date()), 30):
        end = min(now, datetime.combine(day, now.max.time()))
        index = index_now(exchange, {"FID_INPUT_ISCD": code}, end)
        flow = flow_minutes(exchange, code, day).filter(pl.col("label") + MINUTE <= now).tail(1)
        if not flow.is_empty():
            rows.append(pl.concat([index, flow.drop("label")], how="horizontal"))
    return pl.concat(rows) if rows else pl.DataFrame()


def stock_investor_days(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the flows of all kinds of investors in a stock: a row for each day, newest first."""
    if not fits(query["FID_INPUT_ISCD"], query["FID_COND_MRKT_DIV_CODE"]):
        return pl.DataFrame()
    days = short_days(exchange, {**query, "FID_PERIOD_DIV_CODE": "D"}, now)
    rows = []
    for row in days.iter_rows(named=True):
        for side in ("sold", "bought"):
            for unit, total in (("volume", row["volume"]), ("amount", row["turnover"] // MILLION)):
                key = (query["FID_INPUT_ISCD"], row["date"], side)
                parts = divided(np.array([float(int(total))]), *key)
                parts["prsn"] += parts.pop("etc_orgt") + parts.pop("etc_corp")
                row |= {f"{kind}_{side}_{unit}": float(v[0]) for kind, v in parts.items()}
        rows.append(row)
    return pl.DataFrame(rows)
