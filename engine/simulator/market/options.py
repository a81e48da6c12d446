"""Option chains computed around the index: Black-76 off a smile, plausible volume, KIS's greeks.

An option's day follows from the contracts it will have traded by the close and the share of the
day's trading done so far: a contract trades where the product of the two passes a whole number, and
the last price is what the smile gave then. So board, single quote and minute bars of an option
agree, and the price of one that rarely trades is stale, as at KIS.

KIS's greeks are Black-Scholes on the index less dividends with the historical volatility, calendar
days / 365 and 3 % (docs/kis.md#greeks); the implied volatility is the smile's. The two differ as
they do at KIS.
"""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from engine.columns import PRICES
from engine.features import black76
from engine.features.black76 import Terms
from engine.market.products import option_series
from engine.market.sessions import Market, Session
from engine.simulator.market.carry import DIVIDEND_YIELD
from engine.simulator.market.chain_day import (
    ChainDay,
    chain_day,
    option_price_on_ticks,
    prices,
    smile,
)
from engine.simulator.market.data import BARS, MarketData
from engine.simulator.market.dice import Floats
from engine.simulator.market.listing import SERIES, maturities, options

BLOCK = 15  # minutes computed at once: a single one would cost a third of it
VENDOR = Terms(
    underlying=pl.col("spot") * (-DIVIDEND_YIELD * pl.col("vendor_years")).exp(),
    strike=pl.col("strike"),
    years=pl.col("vendor_years"),
    is_call=pl.col("option_type") == "C",
    on_spot=pl.lit(value=True),
)
_HISTORICAL = pl.col("historical") / 100
_IS_CALL = pl.col("option_type") == "C"
_DEEP = (
    pl.when(_IS_CALL)
    .then(pl.col("strike") < 0.8 * pl.col("spot"))
    .otherwise(pl.col("strike") > 1.2 * pl.col("spot"))
)
_UNTRADED = pl.col("volume") == 0
_LIMIT = 0.08  # of the index, around the option's price at the close before
_QUOTED = {
    "opened": pl.when(_UNTRADED).then(0.0).otherwise("before"),
    "high": pl.when(_UNTRADED).then(0.0).otherwise(pl.max_horizontal("price", "before", "fair")),
    "low": pl.when(_UNTRADED).then(0.0).otherwise(pl.min_horizontal("price", "before", "fair")),
    "iv": pl.when(_UNTRADED & _DEEP).then(0.0).otherwise("iv"),  # KIS cannot solve these
    "atm_class": pl.when(pl.col("strike") == pl.col("atm"))
    .then(pl.lit("ATM"))
    .when((pl.col("strike") < pl.col("atm")) == _IS_CALL)
    .then(pl.lit("ITM"))
    .otherwise(pl.lit("OTM")),
}


class Listing(NamedTuple):
    """Where an option is listed: `row` is its number in `ChainDay.listed`."""

    series: str
    maturity: str
    row: int


class OptionMarket:
    """The option chains of a market; what is computed is kept for the next call."""

    def __init__(self, market: MarketData) -> None:
        self._market = market
        self.day = lru_cache(maxsize=32)(lambda *key: chain_day(market, *key))
        self.block = lru_cache(maxsize=24)(self._block)
        self._paid = lru_cache(maxsize=24)(self._paid_before_blocks)
        self._listings = lru_cache(maxsize=4)(self._all_listings)

    def _block(
        self,
        series: str,
        maturity: str,
        day: date,
        number: int,
        hours: Market = Market.DERIVATIVES,
    ) -> pl.DataFrame:
        chain = self.day(series, maturity, day, hours)
        paid = self._paid(series, maturity, day, hours)
        return quotes(chain, _minutes(chain, number), paid[number])

    def _paid_before_blocks(self, series: str, maturity: str, day: date, hours: Market) -> Floats:
        """Return each option's turnover (KRW) before each block of minutes; shape (blocks, n)."""
        chain = self.day(series, maturity, day, hours)
        blocks = range(-(-chain.index.height // BLOCK))
        paid = [
            _paid(chain, minutes, _fair(chain, minutes))[-1]
            for minutes in (_minutes(chain, number) for number in blocks)
        ]
        return np.cumsum([np.zeros(chain.listed.height), *paid], axis=0)

    def at(
        self,
        series: str,
        maturity: str,
        day: date,
        minute: int,
        hours: Market = Market.DERIVATIVES,
    ) -> pl.DataFrame:
        """Return the chain at the end of the n-th minute (from 0) of the hours; see `quotes`."""
        number, minute_of_block = divmod(minute, BLOCK)
        count = self.day(series, maturity, day).listed.height
        return self.block(series, maturity, day, number, hours)[
            minute_of_block * count : (minute_of_block + 1) * count
        ]

    def find(self, code: str, day: date) -> Listing | None:
        """Return where an option code is listed on the day, None if it is not."""
        return self._listings(day).get(code)

    def _all_listings(self, day: date) -> dict[str, Listing]:
        return {
            code: Listing(series, maturity, row)
            for series in SERIES
            for maturity in maturities(series, day)
            for row, code in enumerate(options(self._market, series, maturity, day)["code"])
        }

    def bars(self, code: str, session: Session) -> pl.DataFrame:
        """Return an option's minute bars of a session in `BARS`."""
        found = self.find(code, session.date)
        if found is None:
            return BARS.to_frame()
        hours = option_hours(session)
        day = self.day(found.series, found.maturity, session.date, hours)
        return _option_bars(day, found.row, session)


def option_hours(session: Session) -> Market:
    """Return whose hours chains keep in a session of derivatives: the night's or the day's."""
    return Market.NIGHT if session.market is Market.NIGHT else Market.DERIVATIVES


def _minutes(day: ChainDay, block: int) -> range:
    return range(block * BLOCK, min((block + 1) * BLOCK, day.index.height))


def _fair(day: ChainDay, minutes: range) -> Floats:
    """Return the smile's price of each option at the end of each minute, minute by minute."""
    listed = pl.concat([day.listed] * len(minutes))
    return _prices(day, listed, np.repeat(np.array(minutes), day.listed.height))


def _paid(day: ChainDay, minutes: range, fair: Floats) -> Floats:
    """Return each option's turnover (KRW) since the minutes began, shape (minutes, n).

    A minute's contracts cost the smile's price at its end, which is `fair`.
    """
    share = np.array([day.share_traded[m] if m >= 0 else 0.0 for m in (minutes[0] - 1, *minutes)])
    traded = np.diff(np.floor(day.volume * share[:, None]), axis=0)
    multiplier = option_series(day.series).call.multiplier
    return np.cumsum(traded * fair.reshape(traded.shape) * multiplier, axis=0)


def quotes(day: ChainDay, minutes: range, paid_before: Floats) -> pl.DataFrame:
    """Return every listed option at the end of each minute; minute by minute, each as `day.listed`.

    `paid_before` is the turnover of each option before the first of the minutes, KRW.

    Columns: code, strike, option_type, price (last trade), before (yesterday's), opened, high, low,
    bid (0: none), ask, upper_limit, lower_limit, fair (what the smile gives now), theoretical
    (KIS's), spot (index): index points; volume, open_interest, open_interest_change: contracts;
    turnover: KRW;
    iv, historical: % per year; delta, gamma, vega, theta, rho: KIS's; atm_class by yesterday's
    close.
    """
    listed = pl.concat([day.listed] * len(minutes))
    minute = np.repeat(np.array(minutes), day.listed.height)
    spot, strike = day.index["close"].to_numpy(), listed["strike"].to_numpy()
    volume = np.tile(day.volume, len(minutes))
    traded = np.floor(volume * day.share_traded[minute])
    last = np.minimum(
        np.searchsorted(day.share_traded, traded / np.maximum(volume, 1) - 1e-12), minute
    )
    before = np.tile(day.price_before, len(minutes))
    price = np.where(traded > 0, _prices(day, listed, last), before)
    fair = _fair(day, minutes)
    reach = _LIMIT * day.index_before
    interest = np.tile(day.open_interest, len(minutes))
    change = np.maximum(np.trunc(traded * np.tile(day.opened, len(minutes))), -interest)
    frame = listed.with_columns(
        spot=pl.Series(spot[minute]),
        vendor_years=pl.lit(max(day.days, 0.5) / 365),
        volume=pl.Series(traded.astype("i8")),
        turnover=pl.Series((_paid(day, minutes, fair) + paid_before).ravel()),
        price=pl.Series(price),
        before=pl.Series(before),
        fair=pl.Series(fair),
        **bid_and_ask(fair, day.series),
        upper_limit=pl.Series(option_price_on_ticks(before + reach, day.series, np.floor)),
        lower_limit=pl.Series(option_price_on_ticks(before - reach, day.series, np.ceil)),
        historical=pl.lit(day.historical * 100),
        iv=pl.Series(smile(day.implied, strike, spot[minute], day.years[minute]) * 100),
        open_interest=pl.Series((interest + change).astype("i8")),
        open_interest_change=pl.Series(change.astype("i8")),
        atm=pl.lit(_nearest(day.listed["strike"].to_numpy(), day.index_before)),
    )
    valued = frame.with_columns(theoretical=black76.price(VENDOR, _HISTORICAL), **_QUOTED)
    told = black76.with_greeks(valued.lazy(), _HISTORICAL, VENDOR).collect()
    return told.with_columns(pl.col("theoretical", *black76.GREEKS).fill_null(0.0))


def bid_and_ask(fair: Floats, series: str) -> dict[str, pl.Series]:
    """Return bid and ask around the smile's price, on ticks; a bid below the first tick is 0."""
    half_spread = np.maximum(0.01, fair * 0.004)
    bid = option_price_on_ticks(fair - half_spread, series, np.floor)
    return {
        "bid": pl.Series(np.where(bid > fair - half_spread + 1e-9, 0.0, bid)),
        "ask": pl.Series(option_price_on_ticks(fair + half_spread, series, np.ceil)),
    }


def _nearest(strikes: Floats, level: float) -> float:
    return float(strikes[np.argmin(np.abs(strikes - level))])


def _prices(
    day: ChainDay, listed: pl.DataFrame, minute: np.ndarray[tuple[int], np.dtype[np.int64]]
) -> Floats:
    spot = day.index["close"].to_numpy()[minute]
    return prices(day.series, day.implied, listed, spot, day.years[minute])


def _option_bars(day: ChainDay, row: int, session: Session) -> pl.DataFrame:
    """Return an option's bars; what trades in the last minute of the auction's wait is its bar."""
    volume = np.diff(np.floor(day.volume[row] * day.share_traded), prepend=0.0).astype("i8")
    repeated = pl.concat([day.listed[[row]]] * day.index.height)
    paths = {
        name: prices(day.series, day.implied, repeated, day.index[name].to_numpy(), day.years)
        for name in PRICES
    }
    frame = pl.DataFrame({"label": day.index["label"], **paths, "volume": volume})
    if session.auction is not None:
        waits = pl.col("label") >= session.continuous_end
        auction = pl.lit(session.auction, dtype=BARS["label"])
        frame = frame.with_columns(label=pl.when(waits).then(auction).otherwise("label"))
    frame = frame.with_columns(high=pl.max_horizontal(PRICES), low=pl.min_horizontal(PRICES))
    return BARS.to_frame().vstack(frame.filter(pl.col("volume") > 0).select(list(BARS)))
