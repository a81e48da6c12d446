"""What the pictures of options read from the database at a URL; times are KST without zone."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import polars as pl

from engine.errors import InputError
from engine.features.modelled import with_smile_values
from engine.history.front import front_series
from engine.history.option_flow import open_interest_changes, option_flow
from engine.history.realised import realised_volatility, with_implied
from engine.history.scan import scan
from engine.market import sessions
from engine.market.products import SERIES, option_series
from engine.market.symbols import FrontMonth, Symbol, chains_of
from engine.schemas import ALL_MATURITIES
from pipelines.chains import chain_with_greeks
from pipelines.reports.charts.options import NEAR

WARM_UP = 400  # days before the first session drawn, for a forecast


def surface_at(
    url: str, day: date, series: str, minute: time | None
) -> tuple[datetime, pl.DataFrame]:
    """Return the minute and OPTION_SURFACE of the last one of the day, or until then.

    Raises InputError where nothing is stored.
    """
    rows = _surfaces(url, day, series)
    until = datetime.combine(day, minute or time.max)
    known = rows.filter(pl.col("timestamp") <= until, pl.col("smile_theta").is_not_null())
    at = known.select(pl.col("timestamp").max()).collect().item()
    if at is None:
        raise InputError(f"the database holds no smile of {series} on {day} until {until:%H:%M}")
    return at, rows.filter(pl.col("timestamp") == at).collect()


def surfaces_of_day(url: str, day: date, series: str) -> pl.DataFrame:
    """Return OPTION_SURFACE over all maturities by minute; raises InputError without a row."""
    whole = pl.col("underlying_symbol").str.starts_with(ALL_MATURITIES)
    rows = _surfaces(url, day, series).filter(whole).sort("timestamp").collect()
    if rows.is_empty():
        raise InputError(f"the database holds no smile of {series} on {day}")
    return rows


def chain_on_smile(url: str, at: datetime, surface: pl.DataFrame) -> pl.DataFrame:
    """Return the chains of a minute with the model's and the smile's values of every option."""
    names = surface["underlying_symbol"].to_list()
    rows = scan("option_chain_raw", url).filter(
        pl.col("timestamp") == at, pl.col("underlying_symbol").is_in(names)
    )
    greeks = chain_with_greeks(rows.collect())
    return with_smile_values(greeks.lazy(), surface.lazy()).collect()


def told_flow_of_day(url: str, day: date, series: str) -> pl.DataFrame:
    """Return the net buying of `option_flow` of all chains of a series and its weeklies.

    Of the options for which the feed told who came to whose price; empty without any.
    """
    told = pl.col("bought").is_not_null()
    chain = scan("option_chain_raw", url).filter(told, _of_series(series), *_on(day)).collect()
    surface = _surfaces(url, day, series).collect()
    found = option_flow(chain.lazy(), surface.lazy()).collect()
    return found.filter(pl.col("net_futures").is_not_null())


def interest_of_day(url: str, underlying_symbol: str, day: date) -> pl.DataFrame:
    """Return `open_interest_changes` of a chain through a day.

    Of strikes within NEAR of the day's forwards, if it has any.
    """
    of_chain = pl.col("underlying_symbol") == underlying_symbol
    chain = scan("option_chain_raw", url).filter(of_chain, *_on(day)).collect().lazy()
    surface = scan("option_surface", url).filter(of_chain, *_on(day)).collect().lazy()
    low, high = (
        surface.select(
            low=pl.col("forward").min() * (1 - NEAR), high=pl.col("forward").max() * (1 + NEAR)
        )
        .collect()
        .row(0)
    )
    changes = open_interest_changes(chain).collect()
    near = pl.col("strike").is_between(low, high) if low else pl.lit(value=True)
    return changes.filter(near)


def volatility_until(url: str, front: Symbol, day: date, count: int, series: str) -> pl.DataFrame:
    """Return `with_implied` of the sessions to the day; raises InputError without a bar."""
    first = day - timedelta(days=WARM_UP)
    wanted = pl.col("timestamp") >= datetime.combine(first, time())
    bars = scan(front.table, url).filter(wanted, pl.col("timestamp") < _end(day))
    of_symbol = (
        front_series(bars, front.code)
        if isinstance(front, FrontMonth)
        else bars.filter(pl.col("symbol") == front.code)
    )
    whole = pl.col("underlying_symbol") == _over_all(series)
    surface = scan("option_surface", url).filter(whole, wanted)
    found = with_implied(realised_volatility(of_symbol), surface.select("timestamp", "atm_30d"))
    days = sessions.previous_sessions(sessions.Market.DERIVATIVES, day, count - 1)
    rows = found.filter(pl.col("session").is_between(min(days, default=day), day)).collect()
    if rows.is_empty():
        raise InputError(f"the database holds no bars of {front.code} until {day}")
    return rows


def _surfaces(url: str, day: date, series: str) -> pl.LazyFrame:
    """Return the surfaces of a series and its weeklies by day, and those over all maturities."""
    whole = pl.col("underlying_symbol") == _over_all(series)
    return scan("option_surface", url).filter(whole | _of_series(series), *_on(day))


def _of_series(series: str) -> pl.Expr:
    """Return whether a row's chain is of the series or of one of its weeklies."""
    own = option_series(series)
    return pl.any_horizontal(
        chains_of(one, pl.col("underlying_symbol"))
        for one in SERIES.values()
        if one.call.underlying == own.call.underlying and (one is own or one.is_weekly)
    )


def _over_all(series: str) -> str:
    return f"{ALL_MATURITIES}{option_series(series).call.underlying}"


def _end(day: date) -> datetime:
    return datetime.combine(day, time()) + timedelta(days=1)


def _on(day: date) -> list[pl.Expr]:
    return [pl.col("timestamp") >= datetime.combine(day, time()), pl.col("timestamp") < _end(day)]
