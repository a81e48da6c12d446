"""A session's trades with all that their frames tell: sums, extremes, open interest, greeks."""

from __future__ import annotations

from datetime import date

import numpy as np
import polars as pl

from engine.market.sessions import Session
from engine.market.symbols import Contract, Option
from engine.simulator.exchange import SimulatedExchange, price_over_index
from engine.simulator.kis_format import hour_text
from engine.simulator.market.data import instrument
from engine.simulator.market.options import BLOCK, Listing, bid_and_ask, option_hours
from engine.simulator.market.trades import (
    MOST_MOMENTS,
    OPTION_MOMENTS,
    OPTION_TRADES,
    trades_of_bars,
)
from engine.simulator.session_rows import SessionRows
from engine.simulator.summaries import contracts_opened, interest_at_close, untraded_state

GREEKS = ("theoretical", "delta", "gamma", "vega", "theta", "rho", "iv", "historical")
CHAIN = (*GREEKS, "spot", "strike", "option_type", "upper_limit", "lower_limit")


def day_rows(exchange: SimulatedExchange, symbol: str, session: Session, most: int) -> pl.DataFrame:
    """Return `TRADES` of the session with the columns that the frames need; see `trade_columns`."""
    found = instrument(symbol)
    bars = exchange.session_rows(symbol, session).bars
    moments = MOST_MOMENTS
    if isinstance(found, Option):
        most, moments = min(most, OPTION_TRADES), OPTION_MOMENTS
    rows = trades_of_bars(symbol, session, bars, most=most, moments=moments)
    if rows.is_empty():
        return rows
    price = pl.col("price")
    before, volume_before = _close_before(exchange, symbol, session)
    listing = exchange.options.find(symbol, session.date) if isinstance(found, Option) else None
    rows = rows.with_columns(
        _hour("happened_at", session.date).alias("hour"),
        before=pl.lit(before),
        volume_before=pl.lit(volume_before),
        open=price.first(),
        high=price.cum_max(),
        low=price.cum_min(),
        bought_count=(pl.col("side") == "B").fill_null(value=False).cum_sum().cast(pl.Int64),
        sold_count=(pl.col("side") == "S").fill_null(value=False).cum_sum().cast(pl.Int64),
        symbol=pl.lit(symbol),
        date=pl.lit(f"{session.date:%Y%m%d}"),
        tick=pl.lit(found.tick_size(before)),
        basis=price - price / (price_over_index(symbol, session.date) if found.product else 1.0),
    ).with_columns(_interest(exchange, symbol, session, volume_before, listing))
    if listing is None:
        return _with_hours(rows)
    chain = exchange.options.day(
        listing.series, listing.maturity, session.date, option_hours(session)
    )
    return rows.with_columns(
        before=pl.lit(float(chain.price_before[listing.row])),
        **bid_and_ask(rows["price"].to_numpy(), listing.series),
    )


def _hour(column: str, day: date) -> pl.Expr:
    return hour_text(pl.col(column).dt.truncate("1s"), day)


def _close_before(
    exchange: SimulatedExchange, symbol: str, session: Session
) -> tuple[float, float]:
    """Return close and volume of the session before; for an untraded contract its fair price, 0."""
    before = exchange.session_before(symbol, session.market, session.date)
    if before is not None and before.labels:
        last = before.so_far.row(-1, named=True)
        return float(last["close"]), float(last["volume"])
    found = instrument(symbol)
    if isinstance(found, Contract):
        return untraded_state(exchange, found, session.date).price, 0.0
    first: SessionRows = exchange.session_rows(symbol, session)
    return float(first.bars["open"][0]), 0.0


def _interest(
    exchange: SimulatedExchange,
    symbol: str,
    session: Session,
    volume_before: float,
    listing: Listing | None,
) -> list[pl.Expr]:
    """Return open interest and that of the close before, by the rules of the REST answers."""
    if listing is not None:
        hours = option_hours(session)
        chain = exchange.options.day(listing.series, listing.maturity, session.date, hours)
        before = int(chain.open_interest[listing.row])
        share = float(chain.opened[listing.row])
    else:
        before, share = interest_at_close(volume_before), contracts_opened(symbol, session.date)
    opened = (pl.col("day_volume") * share).cast(pl.Int64).clip(-before, None)
    return [
        pl.lit(before, pl.Int64).alias("interest_before"),
        (opened + before).alias("open_interest"),
    ]


def _with_hours(rows: pl.DataFrame) -> pl.DataFrame:
    """Add when the day's open, high and low were traded, which the frames of stocks tell."""
    new_high = pl.col("high") > pl.col("high").shift(1).fill_null(0.0)
    new_low = pl.col("low") < pl.col("low").shift(1).fill_null(np.inf)
    return rows.with_columns(
        open_hour=pl.col("hour").first(),
        high_hour=pl.when(new_high).then("hour").forward_fill(),
        low_hour=pl.when(new_low).then("hour").forward_fill(),
    )


def with_greeks(
    exchange: SimulatedExchange, rows: pl.DataFrame, session: Session, code: str
) -> pl.DataFrame:
    """Add to an option's trades what board and single quote say about it at that moment.

    That is the state at the end of the last whole minute; in the first minute that at its own end.
    """
    listing = exchange.options.find(code, session.date)
    if listing is None or rows.is_empty():
        return rows
    minute = ((rows["label"] - session.opens).dt.total_minutes() - 1).clip(0, None)
    wanted = minute.unique().sort()
    hours = option_hours(session)
    count = exchange.options.day(
        listing.series, listing.maturity, session.date, hours
    ).listed.height
    parts = [
        exchange.options.block(listing.series, listing.maturity, session.date, number, hours)
        .select(CHAIN)
        .gather_every(count, listing.row)
        .with_row_index("minute", number * BLOCK)
        for number in (wanted // BLOCK).unique().sort().to_list()
    ]
    chain = pl.concat(parts).with_columns(pl.col("minute").cast(pl.Int64))
    return rows.with_columns(minute=minute.cast(pl.Int64)).join(
        chain, on="minute", how="left", maintain_order="left"
    )
