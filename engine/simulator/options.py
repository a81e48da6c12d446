"""Option chains computed around the index: Black-76 off a smile, plausible volume, KIS's greeks.

An option's day follows from its total volume and the share of the day's trading done so far: its
trades fall where that product passes a whole number, and its last price is what the smile gave at
its last trade. So board, single quote and minute bars of an option agree with each other, and a
rarely traded one is stale as in life.

KIS's greeks are Black-Scholes on the index with the historical volatility, calendar days / 365 and
2 % (KIS.md); the implied volatility is the smile's. The two differ as they do at KIS.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from engine import expiries, instruments
from engine.features import black76
from engine.features.black76 import Terms
from engine.sessions import Market, Session, session
from engine.simulator.carry import RATE
from engine.simulator.listing import SERIES, STRIKES, maturities, options, previous_close
from engine.simulator.market import BARS, MarketData, draws

Floats = NDArray[np.float64]
EXPIRES_AT = time(15, 20)
YEAR_SECONDS = 365 * 24 * 3600
ATM_VOLUME = 30_000  # contracts a day of the front monthly at the money
WEIGHT = {"KOSPI200": 1.0, "MINI_KOSPI200": 0.2, "KOSDAQ150": 0.02}  # of that, else 0.7


@dataclass(frozen=True)
class ChainDay:
    """One maturity on one day. Arrays over options follow `listed`, over minutes `index`."""

    series: str
    maturity: str
    listed: pl.DataFrame  # code, strike, option_type
    index: pl.DataFrame  # market.INDEX, every minute
    done: Floats  # share of the day's trading done by the end of each minute
    years: Floats  # to expiry at the end of each minute
    days: int  # calendar days to expiry
    before: float  # index at the close of the session before
    volume: Floats  # contracts that each option will have traded by the close
    open_interest: Floats
    volatility: float  # implied, at the money; a fraction
    historical: float  # a fraction


class OptionMarket:
    """The option chains of a market; everything is computed once and kept."""

    def __init__(self, market: MarketData) -> None:
        self.market = market
        self.day = lru_cache(maxsize=256)(self._day)
        self.at = lru_cache(maxsize=256)(self._at)

    def _day(self, series: str, maturity: str, day: date) -> ChainDay:
        of = session(Market.DERIVATIVES, day)
        assert of is not None
        underlying = instruments.option_series(series).future.underlying
        index = self.market.index(underlying, of)
        listed = options(self.market, series, maturity, day)
        before = previous_close(self.market, underlying, day)
        expiry = expiries.expiry(series, maturity)
        ends = index["label"].dt.offset_by("1m")
        left = (datetime.combine(expiry, EXPIRES_AT) - ends).dt.total_seconds().to_numpy()
        implied, historical = _volatilities(series, day)
        volume, interest = _activity(series, maturity, day, listed, before, implied)
        return ChainDay(
            series, maturity, listed, index, _done(index.height), np.maximum(left, 0) / YEAR_SECONDS,
            (expiry - day).days, before, volume, interest, implied, historical,
        )  # fmt: skip

    def _at(self, series: str, maturity: str, day: date, minute: int) -> pl.DataFrame:
        return quotes(self.day(series, maturity, day), minute)

    def find(self, code: str, day: date) -> tuple[str, str, int] | None:
        """Return series, maturity and place in its listing of an option code, None if unknown."""
        return self._places(day).get(code)

    @lru_cache(maxsize=64)  # noqa: B019  (one market lives as long as its server)
    def _places(self, day: date) -> dict[str, tuple[str, str, int]]:
        return {
            code: (series, maturity, place)
            for series in SERIES
            for maturity in maturities(series, day)
            for place, code in enumerate(options(self.market, series, maturity, day)["code"])
        }

    def bars(self, code: str, of: Session) -> pl.DataFrame:
        """Return an option's minute bars of a daytime session in `market.BARS`."""
        found = None if of.market is Market.NIGHT else self.find(code, of.date)
        if found is None:
            return BARS.to_frame()
        series, maturity, place = found
        return _option_bars(self.day(series, maturity, of.date), place, of)


def _volatilities(series: str, day: date) -> tuple[float, float]:
    """Return implied (at the money) and historical volatility, fractions.

    2024: 17 % historical (official sample). September 2026: 38 % and 76.6 % (KIS.md).
    """
    when = day.toordinal()
    dates = [
        date(2024, 5, 1).toordinal(),
        date(2025, 9, 1).toordinal(),
        date(2026, 9, 17).toordinal(),
    ]
    wobble = float(np.exp(draws("volatility", series, day).normal(0, 0.03)))
    implied = float(np.interp(when, dates, [0.16, 0.19, 0.38]))
    return implied * wobble, round(float(np.interp(when, dates, [0.169, 0.22, 0.766])), 6)


def smile(volatility: float, strike: Floats, forward: Floats, years: Floats) -> Floats:
    """Return the implied volatility: a skew to low strikes, flattening wings."""
    x = np.log(strike / forward) / np.sqrt(np.maximum(years, 7 / 365) / 0.1)
    return np.asarray(volatility * np.clip(1 - 0.9 * x + 2.2 * x**2, 0.7, 1.8))


def _done(minutes: int) -> Floats:
    along = np.linspace(0, 1, minutes)
    shape = 0.7 + 1.3 * np.exp(-along * 12) + 0.6 * np.exp((along - 1) * 15)
    return np.asarray(np.cumsum(shape) / shape.sum())


def _activity(
    series: str, maturity: str, day: date, listed: pl.DataFrame, before: float, implied: float
) -> tuple[Floats, Floats]:
    """Return each option's volume of the day and its open interest: most near and out of the money."""
    strike, is_call = listed["strike"].to_numpy(), (listed["option_type"] == "C").to_numpy()
    rank = maturities(series, day).index(maturity)
    distance = np.log(strike / before) / (implied * 0.3)
    outside = np.where(is_call, distance, -distance)
    shape = np.exp(-np.where(outside >= 0, 1.8 * outside, 7.0 * -outside))
    place = np.round(strike / STRIKES[series].step).astype(int)
    noise, drift = (
        np.exp(draws(series, maturity, is_put, *key).normal(0, 0.5, 4096))[place]
        for key, is_put in (((day,), 0), ((), 1))
    )
    scale = ATM_VOLUME * WEIGHT.get(series, 0.7) * 0.12**rank
    return np.floor(scale * shape * noise), np.floor(scale * 1.5 * np.sqrt(shape) * drift)


def _terms(on_spot: bool) -> Terms:
    return Terms(
        underlying=pl.col("underlying"), strike=pl.col("strike"), years=pl.col("years"),
        is_call=pl.col("option_type") == "C", rate=pl.lit(RATE), on_spot=pl.lit(on_spot),
    )  # fmt: skip


def _prices(day: ChainDay, listed: pl.DataFrame, index: Floats, years: Floats) -> Floats:
    """Return the smile's price of options at given levels of the index, on ticks."""
    strike = listed["strike"].to_numpy()
    volatility = smile(day.volatility, strike, index, years)
    frame = listed.with_columns(
        underlying=pl.Series(index), years=pl.Series(years), volatility=pl.Series(volatility)
    )
    value = frame.select(value=black76.price(_terms(on_spot=True), pl.col("volatility")))["value"]
    return _on_ticks(value.to_numpy(), day.series)


def _on_ticks(value: Floats, series: str) -> Floats:
    ticks = instruments.option_series(series).call.ticks
    step = np.full_like(value, round(ticks[0][1] * 100))
    for start, tick in ticks[1:]:
        step = np.where(value >= start, round(tick * 100), step)
    return np.asarray(
        np.maximum(np.round(value * 100 / step) * step, round(ticks[0][1] * 100)) / 100
    )


def quotes(day: ChainDay, minute: int) -> pl.DataFrame:
    """Return `listed` with every number that KIS quotes, as of the end of a minute (its place).

    price, opened, high, low, before (yesterday's), bid, ask, theoretical (index points), volume,
    open_interest (contracts), iv (%), delta, gamma, vega, theta, rho (KIS's, from the historical
    volatility), atm_class by yesterday's close.
    """
    spot, strike = day.index["close"].to_numpy(), day.listed["strike"].to_numpy()
    traded = np.floor(day.volume * day.done[minute])
    last = _trade_place(day, traded, minute)
    n = strike.size
    years_now = np.full(n, day.years[minute])
    price_now = _prices(day, day.listed, np.full(n, spot[minute]), years_now)
    settled = _prices(day, day.listed, np.full(n, day.before), years_now + 1 / 365)
    price = np.where(traded > 0, _prices(day, day.listed, spot[last], day.years[last]), settled)
    implied = smile(day.volatility, strike, np.full(n, spot[minute]), years_now) * 100
    frame = day.listed.with_columns(
        underlying=pl.lit(spot[minute]), years=pl.lit(max(day.days, 1) / 365),
        volume=pl.Series(traded.astype("i8")), historical=pl.lit(day.historical * 100), price=pl.Series(price), before=pl.Series(settled),
        fair=pl.Series(price_now), iv=pl.Series(implied),
        open_interest=pl.Series(day.open_interest.astype("i8")),
    )  # fmt: skip
    return frame.with_columns(**_vendor_greeks(day), **_book(), **_flags(day)).with_columns(
        **_range()
    )


def _trade_place(day: ChainDay, traded: Floats, minute: int) -> NDArray[np.int64]:
    """Return the minute of each option's last trade: where volume * share passed its count."""
    share = traded / np.maximum(day.volume, 1)
    return np.minimum(np.searchsorted(day.done, share - 1e-12), minute)


def _vendor_greeks(day: ChainDay) -> dict[str, pl.Expr]:
    terms, volatility = _terms(on_spot=True), pl.lit(day.historical)
    greeks = {
        name: getattr(black76, name)(terms, volatility)
        for name in ("delta", "gamma", "vega", "theta", "rho")
    }
    return {**greeks, "theoretical": black76.price(terms, volatility)}


def _book() -> dict[str, pl.Expr]:
    half = pl.max_horizontal(pl.lit(0.01), (pl.col("fair") * 0.004).round(2))
    bid = pl.col("fair") - half
    return {
        "bid": pl.when(bid < 0.01).then(0.0).otherwise(bid),
        "ask": pl.col("fair") + half,
    }


def _flags(day: ChainDay) -> dict[str, pl.Expr]:
    strikes = day.listed["strike"].to_numpy()
    atm = float(strikes[np.argmin(np.abs(strikes - day.before))])
    below, call = pl.col("strike") < atm, pl.col("option_type") == "C"
    flag = (
        pl.when(pl.col("strike") == atm)
        .then(pl.lit("ATM"))
        .when(below == call)
        .then(pl.lit("ITM"))
        .otherwise(pl.lit("OTM"))
    )
    return {"atm_class": flag}


def _range() -> dict[str, pl.Expr]:
    traded = pl.col("volume") > 0
    widest = pl.max_horizontal("price", "before", "fair")
    lowest = pl.min_horizontal("price", "before", "fair")
    return {
        "opened": pl.when(traded).then("before").otherwise(0.0),
        "high": pl.when(traded).then(widest).otherwise(0.0),
        "low": pl.when(traded).then(lowest).otherwise(0.0),
    }


def _option_bars(day: ChainDay, place: int, of: Session) -> pl.DataFrame:
    volume = np.diff(np.floor(day.volume[place] * day.done), prepend=0.0).astype("i8")
    one = day.listed[[place]]
    many = pl.concat([one] * day.index.height)
    paths = {
        name: _prices(day, many, day.index[name].to_numpy(), day.years)
        for name in ("open", "high", "low", "close")
    }
    frame = pl.DataFrame({"label": day.index["label"], **paths, "volume": volume})
    frame = frame.with_columns(
        high=pl.max_horizontal("open", "high", "low", "close"),
        low=pl.min_horizontal("open", "high", "low", "close"),
    )
    return frame.filter(pl.col("volume") > 0).select(list(BARS)).cast(dict(BARS))
