"""Frames of stocks as of now: the day so far with its book, trades, days, expected prices."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from engine.market.sessions import Market
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.market.data import draws, instrument
from engine.simulator.market.price_levels import ON_KOSDAQ, STOCKS, stock_profile
from engine.simulator.market.split import original_days
from engine.simulator.query import Query, asked_day, fits
from engine.simulator.quotations.auctions import expected_price, expected_prices
from engine.simulator.quotations.days import (
    asked_span,
    periods,
    session_days,
    sessions_until,
    symbol_days,
)
from engine.simulator.session_rows import SessionRows
from engine.simulator.summaries import symbol_state

LEVELS = 10
MOST_STOCKS = 30  # in a call for several
LIMIT = 0.3  # of the close before
TRADES = 30
DAILY = 30  # rows of the short list of days
YEAR = 365  # days that weeks and months go back


def one_stock(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the stock asked for; see `stocks`."""
    symbol = query["FID_INPUT_ISCD"]
    known = fits(symbol, query["FID_COND_MRKT_DIV_CODE"])
    return stocks(exchange, [symbol] if known else [], now)


def several_stocks(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return up to 30 stocks in the order asked for; see `stocks`. Unknown codes are left out."""
    numbers = range(1, MOST_STOCKS + 1)
    asked = [
        (query.get(f"FID_INPUT_ISCD_{n}", ""), query.get(f"FID_COND_MRKT_DIV_CODE_{n}", ""))
        for n in numbers
    ]
    return stocks(exchange, [symbol for symbol, market in asked if fits(symbol, market)], now)


def named_stocks(exchange: SimulatedExchange, now: datetime) -> pl.DataFrame:
    """Return the stocks that have a real name: what stands for a whole market here."""
    return stocks(exchange, list(STOCKS), now)


def stocks(exchange: SimulatedExchange, symbols: list[str], now: datetime) -> pl.DataFrame:
    """Return a row for each stock with its book: prices and turnover in KRW, volumes in shares."""
    rows = [_stock(exchange, symbol, now) for symbol in symbols]
    return pl.DataFrame([row for row in rows if row])


def _stock(
    exchange: SimulatedExchange, symbol: str, now: datetime
) -> dict[str, float | str] | None:
    state = symbol_state(exchange, symbol, Market.STOCKS, now)
    if state is None:
        return None
    stock = instrument(symbol)
    today, before = state.today, state.before
    name, _, shares, _ = stock_profile(symbol)
    expected = expected_price(exchange, symbol, Market.STOCKS, now)
    upper, lower = before["close"] * (1 + LIMIT), before["close"] * (1 - LIMIT)
    upper -= upper % stock.tick_size(upper)
    lower += -lower % stock.tick_size(lower)
    random = draws("book", symbol, now.replace(microsecond=0))
    asks, bids = _levels(symbol, state.price, upper, lower)
    sizes = random.integers(1, 40, 2 * LEVELS) * max(1, int(shares / 50_000))
    changes = random.integers(-9, 10, 2 * LEVELS)
    return {
        "code": symbol,
        "name": name,
        "market": "KOSDAQ" if symbol in ON_KOSDAQ else "KOSPI",
        "hour": f"{now:%H%M%S}",
        "date": f"{now:%Y%m%d}",
        **_stopped(exchange, symbol, now),
        "price": state.price,
        "before": before["close"],
        **{f"{part}_before": before[part] for part in ("open", "high", "low")},
        "volume_before": before["volume"],
        "turnover_before": before["turnover"],
        **{part: today.get(part, 0.0) for part in ("open", "high", "low", "volume", "turnover")},
        "upper": upper,
        "lower": lower,
        "tick": stock.tick_size(state.price),
        "listed": float(round(shares * 300)),
        "expected": expected.price,
        "expected_volume": expected.volume,
        **{f"ask{n + 1}": price for n, price in enumerate(asks)},
        **{f"bid{n + 1}": price for n, price in enumerate(bids)},
        **{f"ask_size{n + 1}": float(sizes[n]) for n in range(LEVELS)},
        **{f"bid_size{n + 1}": float(sizes[LEVELS + n]) for n in range(LEVELS)},
        **{f"ask_change{n + 1}": float(changes[n]) for n in range(LEVELS)},
        **{f"bid_change{n + 1}": float(changes[LEVELS + n]) for n in range(LEVELS)},
        "asks": float(sizes[:LEVELS].sum()),
        "bids": float(sizes[LEVELS:].sum()),
    }


def _stopped(exchange: SimulatedExchange, symbol: str, now: datetime) -> dict[str, str]:
    """Return KIS's codes for whether trading of the stock is stopped now."""
    rows = exchange.today(symbol, Market.STOCKS, now)
    stops = exchange.stops(symbol, rows.session) if rows else []
    kinds = {stop.kind for stop in stops if stop.begin <= now < stop.end}
    return {
        "status": "58" if "halt" in kinds else "55",
        "is_stopped": "Y" if kinds & {"halt", "circuit_breaker"} else "N",
        "is_interrupted": "Y" if "vi" in kinds else "N",
    }


def _levels(
    symbol: str, price: float, upper: float, lower: float
) -> tuple[list[float], list[float]]:
    """Return ten prices on each side, on ticks; 0 beyond the day's limits."""
    stock = instrument(symbol)
    asks, bids = [], []
    ask = bid = price
    for _ in range(LEVELS):
        ask += stock.tick_size(ask)
        bid -= stock.tick_size(bid - 1)
        asks.append(ask if ask <= upper else 0.0)
        bids.append(bid if bid >= lower else 0.0)
    return asks, bids


def trades(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the last trades, newest first: one for each minute with trades, at its end."""
    stock = one_stock(exchange, query, now)
    if stock.is_empty():
        return stock
    rows = exchange.today(query["FID_INPUT_ISCD"], Market.STOCKS, now)
    count = rows.last_finished(now) + 1 if rows else 0
    if rows is None or not count:
        return pl.DataFrame()
    return (
        rows.bars.head(count)
        .tail(TRADES)
        .reverse()
        .select(
            hour=(pl.col("label") + pl.duration(seconds=59)).dt.strftime("%H%M%S"),
            price="close",
            before=pl.lit(stock["before"][0]),
            volume="volume",
        )
    )


def short_days(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the last 30 days, weeks or months of a stock, newest first."""
    period = query["FID_PERIOD_DIV_CODE"]
    count = DAILY if period == "D" else YEAR * 5 // 7
    return _stock_periods(exchange, query, sessions_until(now.date(), count + 1), now).head(DAILY)


def days_between(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the days, weeks, months or years between two dates, newest first, 100 at most."""
    first, last = asked_span(query, now)
    dates = session_days(first - timedelta(days=10), last, now)
    found = _stock_periods(exchange, query, dates, now)
    return found.filter(pl.col("date") >= first) if not found.is_empty() else found


def _stock_periods(
    exchange: SimulatedExchange, query: Query, dates: list[date], now: datetime
) -> pl.DataFrame:
    symbol = query["FID_INPUT_ISCD"]
    if not fits(symbol, query["FID_COND_MRKT_DIV_CODE"]):
        return pl.DataFrame()
    days = symbol_days(exchange, symbol, dates, now)
    if query.get("FID_ORG_ADJ_PRC") == "1":
        days = original_days(exchange.market, symbol, days)
    return periods(days, query.get("FID_PERIOD_DIV_CODE", "D"))


def expected_trend(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the expected prices of today's auctions so far, newest first."""
    stock = one_stock(exchange, query, now)
    if stock.is_empty():
        return stock
    found = expected_prices(exchange, query["FID_INPUT_ISCD"], Market.STOCKS, now)
    if found.is_empty():
        return found
    return found.with_columns(before=pl.lit(stock["before"][0]), date=pl.lit(f"{now:%Y%m%d}"))


def closing_prices(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the stocks whose closing auction is under way, with the price expected of it."""
    wanted = {"0000": ("KOSPI", "KOSDAQ"), "1001": ("KOSDAQ",)}.get(
        query["FID_INPUT_ISCD"], ("KOSPI",)
    )
    found = named_stocks(exchange, now)
    if now.hour < 12 or found.is_empty():
        return pl.DataFrame()
    return found.filter(pl.col("expected") > 0, pl.col("market").is_in(wanted))


def interruptions(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return today's interruptions (VI): of the stock asked for, else of `named_stocks`."""
    if asked_day(query["FID_INPUT_DATE_1"], now) != now.date():
        return pl.DataFrame()
    wanted = {"K": "KOSPI", "Q": "KOSDAQ"}.get(query["FID_MRKT_CLS_CODE"])
    asked = query["FID_INPUT_ISCD"]
    chosen = [asked] if fits(asked, "J") else []
    found = stocks(exchange, chosen, now) if asked else named_stocks(exchange, now)
    rows = []
    for stock in found.iter_rows(named=True):
        today = exchange.today(stock["code"], Market.STOCKS, now)
        if today is None or wanted not in {None, stock["market"]}:
            continue
        for begin, end in _known_interruptions(exchange, today, now):
            price = today.bars.filter(pl.col("label") == begin)["close"][0]
            lasts = "000000" if now < end else f"{end:%H%M%S}"
            times = {"started": f"{begin:%H%M%S}", "ended": lasts}
            rows.append(stock | times | {"interrupted_at": price})
    return pl.DataFrame(rows)


def _known_interruptions(
    exchange: SimulatedExchange, today: SessionRows, now: datetime
) -> list[tuple[datetime, datetime]]:
    """Return begin and end of each VI that began at least a minute ago."""
    stops = exchange.stops(today.symbol, today.session)
    is_known = now - timedelta(minutes=1)
    return [(s.begin, s.end) for s in stops if s.kind == "vi" and s.begin <= is_known]
