"""One maturity of an option series on one day: what is listed, how much will trade, the smile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time

import numpy as np
import polars as pl

from engine.errors import CalendarRangeError
from engine.features import black76
from engine.features.black76 import Terms
from engine.market import expiries
from engine.market.products import option_series
from engine.market.sessions import Market, Session, session
from engine.simulator.market.carry import DIVIDEND_YIELD
from engine.simulator.market.data import MarketData, draws, open_session, traded_index
from engine.simulator.market.dice import Floats
from engine.simulator.market.listing import STRIKES, maturities, options, previous_close
from engine.simulator.market.synthetic import u_shape

YEAR_SECONDS = 365 * 24 * 3600
EXPIRING_END = time(15, 20)
ATM_VOLUME = 30_000  # contracts a day of the front monthly at the money
WEIGHT = {"KOSPI200": 1.0, "MINI_KOSPI200": 0.2, "KOSDAQ150": 0.02}  # of that; weeklies 0.7
NIGHT_SHARE = 0.15  # of the day's volume
FURTHER_OUT = 0.12  # of the volume of the maturity before
# Implied volatility at the money and historical volatility, fractions: the official sample of 2024
# has 16.9 % historical, the board of September 2026 76.6 % and 36-40 % implied
# (docs/kis.md#greeks).
VOLATILITIES = {
    date(2024, 5, 1): (0.16, 0.169),
    date(2025, 9, 1): (0.19, 0.22),
    date(2026, 9, 17): (0.38, 0.766483),
}
# What the index is worth without the dividends until expiry: so an option and a future that expire
# together stand on one forward.
EX_DIVIDENDS = pl.col("spot") * (-DIVIDEND_YIELD * pl.col("years")).exp()
LATEST_PRICE = Terms(
    underlying=EX_DIVIDENDS,
    strike=pl.col("strike"),
    years=pl.col("years"),
    is_call=pl.col("option_type") == "C",
    on_spot=pl.lit(value=True),
)


@dataclass(frozen=True)
class ChainDay:
    """A chain's figures for a day. Arrays over options follow `listed`, over minutes `index`."""

    series: str
    listed: pl.DataFrame  # code, strike, option_type
    index: pl.DataFrame  # INDEX of engine.simulator.market.data, every minute
    share_traded: Floats  # share of the day's trading done by the end of each minute
    years: Floats  # at the end of each minute, until trading of the options ends
    days: int  # calendar days to expiry
    index_before: float  # the index at the close of the session before
    price_before: Floats  # of each option at that close, index points
    volume: Floats  # contracts that each option will have traded by the close
    open_interest: Floats  # contracts, at the close of the session before
    opened: Floats  # what each contract traded adds to open interest (below 0: takes away)
    implied: float  # volatility at the money, a fraction
    historical: float  # a fraction


def chain_day(
    market: MarketData, series: str, maturity: str, day: date, hours: Market = Market.DERIVATIVES
) -> ChainDay:
    """Return a maturity's day, or (with `hours` NIGHT) the night that follows it."""
    underlying = option_series(series).future.underlying
    traded = open_session(hours, day)
    index = traded_index(market, underlying, traded)
    listed = options(market, series, maturity, day)
    before = previous_close(market, underlying, day)
    if hours is Market.NIGHT:
        day_before = open_session(Market.DERIVATIVES, day)
        before = float(traded_index(market, underlying, day_before)["close"][-1])
    expiry = expiries.last_day(series, maturity)
    years = _years(index, expiry)
    implied, historical = _volatilities(series, day)
    spot = np.full(listed.height, before)
    price_before = prices(series, implied, listed, spot, np.full(listed.height, years[0] + 1 / 365))
    volume, interest, opened = _activity(series, maturity, day, listed, before, implied)
    if hours is Market.NIGHT:
        volume = np.floor(volume * NIGHT_SHARE)
    return ChainDay(
        series,
        listed,
        index,
        _shares_done(index, traded),
        years,
        (expiry - day).days,
        before,
        price_before,
        volume,
        interest,
        opened,
        implied,
        historical,
    )


def _years(index: pl.DataFrame, expiry: date) -> Floats:
    ends = index["label"].dt.offset_by("1m")
    left = (_last_trade(expiry) - ends).dt.total_seconds().to_numpy()
    return np.asarray(np.maximum(left, 0) / YEAR_SECONDS)


def _last_trade(expiry: date) -> datetime:
    """Return when trading ends on the last day; beyond the calendar the day is nominal."""
    try:
        last = session(Market.DERIVATIVES, expiry, expiring=True)
    except CalendarRangeError:
        last = None
    return last.continuous_end if last else datetime.combine(expiry, EXPIRING_END)


def _volatilities(series: str, day: date) -> tuple[float, float]:
    dates = [known.toordinal() for known in VOLATILITIES]
    implied, historical = (
        float(np.interp(day.toordinal(), dates, values))
        for values in zip(*VOLATILITIES.values(), strict=True)
    )
    return implied * float(np.exp(draws("volatility", series, day).normal(0, 0.03))), historical


def smile(at_the_money: float, strike: Floats, spot: Floats, years: Floats) -> Floats:
    """Return implied volatilities as fractions: higher for low strikes, flat far from the money."""
    x = np.log(strike / spot) / np.sqrt(np.maximum(years, 7 / 365) / 0.1)
    return np.asarray(at_the_money * np.clip(1 - 0.9 * x + 2.2 * x**2, 0.7, 1.8))


def trading_done(minutes: int) -> Floats:
    """Return the share of a day's trading done by the end of each minute: busy at both ends."""
    shape = u_shape(minutes)
    return np.asarray(np.cumsum(shape) / shape.sum())


def _shares_done(index: pl.DataFrame, session: Session) -> Floats:
    """Return the share of trading done by the end of each minute.

    Nothing trades in the wait for an auction; what the auction trades is in the last minute.
    """
    done = trading_done(index.height)
    waits = (index["label"] >= session.continuous_end).to_numpy()
    waits[-1] = False
    if waits.any():
        done[waits] = done[np.argmax(waits) - 1]
    return done


def _activity(
    series: str, maturity: str, day: date, listed: pl.DataFrame, before: float, implied: float
) -> tuple[Floats, Floats, Floats]:
    """Return each option's volume, open interest, and what a contract traded adds to the latter.

    Most of it is near or out of the money.
    """
    strike, is_call = listed["strike"].to_numpy(), (listed["option_type"] == "C").to_numpy()
    rank = maturities(series, day).index(maturity)
    distance = np.log(strike / before) / (implied * 0.3)
    outside = np.where(is_call, distance, -distance)
    shape = np.exp(-np.where(outside >= 0, 1.8 * outside, 7.0 * -outside))
    # A draw for each option that stays the same when the listing moves with the index.
    number = 2 * np.round(strike / STRIKES[series].step).astype(int) + is_call
    daily, lasting = (
        np.exp(draws(series, maturity, key).normal(0, 0.5, 8192))[number] for key in (day, "life")
    )
    opened = draws(series, maturity, day, "opened").uniform(-0.25, 0.3, 8192)[number]
    scale = ATM_VOLUME * WEIGHT.get(series, 0.7) * FURTHER_OUT**rank
    interest = np.floor(scale * 1.5 * np.sqrt(shape) * lasting)
    return np.floor(scale * shape * daily), interest, opened


def prices(
    series: str, at_the_money: float, listed: pl.DataFrame, spot: Floats, years: Floats
) -> Floats:
    """Return the smile's price of each row of `listed` at its level of the index, on ticks."""
    volatility = smile(at_the_money, listed["strike"].to_numpy(), spot, years)
    frame = listed.with_columns(
        spot=pl.Series(spot), years=pl.Series(years), volatility=pl.Series(volatility)
    )
    value = frame.select(value=black76.price(LATEST_PRICE, pl.col("volatility")))["value"]
    return option_price_on_ticks(value.to_numpy(), series)


def option_price_on_ticks(
    value: Floats, series: str, rounded: Callable[[Floats], Floats] = np.round
) -> Floats:
    """Return prices on the series' ticks, at least one; `rounded` may be np.floor or np.ceil."""
    ticks = option_series(series).call.ticks
    step = np.full_like(value, round(ticks[0][1] * 100))
    for start, tick in ticks[1:]:
        step = np.where(value >= start, round(tick * 100), step)
    least = round(ticks[0][1] * 100)
    steps = np.round(value * 100 / step, 6)  # 0.15 is 15 hundredths, not a bit less
    return np.asarray(np.maximum(rounded(steps) * step, least) / 100)
