"""Frames of the share indices: 0001 KOSPI, 1001 KOSDAQ, 2001 KOSPI200, 3003 KOSDAQ150.

They follow the two indices of the market, so that they agree with the boards. Volumes are thousand
shares, turnover is million KRW, as KIS has them.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import NamedTuple

import polars as pl

from engine.columns import PRICES
from engine.errors import CalendarRangeError
from engine.market.hours import MINUTE
from engine.market.sessions import Market, Session, session
from engine.market.told_once import BEFORE_OPEN
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kept import kept_by_owner
from engine.simulator.kis_format import KOSPI_PER_KOSPI200
from engine.simulator.market.chain_day import trading_done
from engine.simulator.market.data import draws, open_session
from engine.simulator.market.listing import previous_close
from engine.simulator.query import Query, asked_day, asked_hour
from engine.simulator.quotations.auctions import STEP
from engine.simulator.quotations.days import asked_span, periods, session_days, sessions_until
from engine.simulator.refusals import wrong_field

ROWS = 102  # minutes an answer
EXPECTED_SHARE = 0.4  # of the volume traded by the auction's end: what it is expected to have
DAYS = 100


class Index(NamedTuple):
    """A share index: it is `factor` times one of the market's two indices, its `underlying`."""

    name: str
    underlying: str
    factor: float
    volume: float  # a day, thousand shares
    turnover: float  # a day, million KRW


INDICES = {
    "0001": Index("종합", "KOSPI200", KOSPI_PER_KOSPI200, 420_000, 14_000_000),
    "1001": Index("KOSDAQ", "KOSDAQ150", 0.55, 900_000, 9_000_000),
    "2001": Index("KOSPI200", "KOSPI200", 1.0, 150_000, 11_000_000),
    "3003": Index("KOSDAQ150", "KOSDAQ150", 1.0, 120_000, 4_500_000),
}


@kept_by_owner(512)
def index_day(exchange: SimulatedExchange, code: str, day: date) -> pl.DataFrame:
    """Return every minute from the stocks' open on: label, prices, volume and turnover so far."""
    index, hours = INDICES[code], open_session(Market.STOCKS, day)
    whole = exchange.market.index(index.underlying, open_session(Market.DERIVATIVES, day))
    size = float(draws("index volume", code, day).normal(1, 0.15))
    minutes = whole.filter(pl.col("label") >= hours.opens)
    done = pl.Series(trading_done(minutes.height))
    return minutes.select(
        "label",
        *((pl.col(name) * index.factor).round(2) for name in PRICES),
        volume=(done * max(0.4, size) * index.volume).floor(),
        turnover=(done * max(0.4, size) * index.turnover).floor(),
    )


def _minutes(exchange: SimulatedExchange, code: str, now: datetime) -> pl.DataFrame:
    """Return today's finished minutes; before there is one, all of the session before."""
    for day in sessions_until(now.date(), 2):
        minutes = index_day(exchange, code, day)
        finished = minutes.filter(pl.col("label") + MINUTE <= now)
        if not finished.is_empty():
            return finished
    return pl.DataFrame()


def index_now(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return one row: the index and its day so far, the day before, the year's extremes."""
    code = query["FID_INPUT_ISCD"]
    minutes = _minutes(exchange, code, now) if code in INDICES else pl.DataFrame()
    if minutes.is_empty():
        return minutes
    day: date = minutes["label"][0].date()
    before = sessions_until(day - timedelta(days=1), 1)
    last = index_day(exchange, code, before[0]).tail(1) if before else minutes.head(1)
    whole = index_day(exchange, code, before[0]) if before else minutes
    year = _days(exchange, code, sessions_until(day, 60), now)
    top, bottom = year.sort("high").row(-1, named=True), year.sort("low").row(0, named=True)
    index = INDICES[code]
    up = int(draws("advances", code, day).integers(200, 700))
    return minutes.tail(1).select(
        code=pl.lit(code),
        name=pl.lit(index.name),
        date=pl.lit(day),
        price="close",
        before=pl.lit(_before(exchange, code, day)),
        open=pl.lit(minutes["open"][0]),
        high=pl.lit(minutes["high"].max()),
        low=pl.lit(minutes["low"].min()),
        volume="volume",
        turnover="turnover",
        volume_before=pl.lit(last["volume"][-1]),
        turnover_before=pl.lit(last["turnover"][-1]),
        open_before=pl.lit(whole["open"][0]),
        high_before=pl.lit(whole["high"].max()),
        low_before=pl.lit(whole["low"].min()),
        up=pl.lit(float(up)),
        down=pl.lit(float(900 - up)),
        year_high=pl.lit(top["high"]),
        year_high_date=pl.lit(f"{top['date']:%Y%m%d}"),
        year_low=pl.lit(bottom["low"]),
        year_low_date=pl.lit(f"{bottom['date']:%Y%m%d}"),
        asks=pl.col("volume") * 0.11,
        bids=pl.col("volume") * 0.09,
    )


def _before(exchange: SimulatedExchange, code: str, day: date) -> float:
    index = INDICES[code]
    return round(previous_close(exchange.market, index.underlying, day) * index.factor, 2)


def minute_rows(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return at most 102 minutes, newest first; the first is the one still running.

    FID_INPUT_HOUR_1 is a step in seconds (30 and 60: a minute) or a time of day.
    """
    code = query["FID_INPUT_ISCD"]
    if code not in INDICES or query["FID_COND_MRKT_DIV_CODE"] != "U":
        return pl.DataFrame()
    step, until = _step_and_time(query["FID_INPUT_HOUR_1"], now)
    days = sessions_until(now.date(), 3)
    if query.get("FID_PW_DATA_INCU_YN") != "Y":
        days = [day for day in days if day == now.date()]
    found = [_rows(exchange, code, day, min(until, now), query) for day in days]
    rows = pl.concat(found) if found else pl.DataFrame()
    if rows.is_empty() or step <= 60:
        return rows.head(ROWS)
    return _longer(rows, step).head(ROWS)


def _step_and_time(text: str, now: datetime) -> tuple[int, datetime]:
    if len(text) == 6:
        return 60, asked_hour(text, now.date(), now)
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= 3600):
        raise wrong_field("FID_INPUT_HOUR_1")
    return int(text), now


def _rows(
    exchange: SimulatedExchange, code: str, day: date, until: datetime, query: Query
) -> pl.DataFrame:
    rows = index_day(exchange, code, day)
    if query.get("FID_ETC_CLS_CODE") == "1":
        rows = rows.filter(pl.col("label") <= open_session(Market.STOCKS, day).last_stamp)
    before = _before(exchange, code, day)
    sizes = rows.with_columns(
        traded=pl.col("volume") - pl.col("volume").shift().fill_null(0),
        before=pl.lit(before),
        date=pl.lit(day),
    ).filter(pl.col("label") <= until)
    running = pl.col("label") + MINUTE > until
    opened = pl.col("open")
    return sizes.with_columns(
        high=pl.when(running).then(opened).otherwise("high"),
        low=pl.when(running).then(opened).otherwise("low"),
        close=pl.when(running).then(opened).otherwise("close"),
        traded=pl.when(running).then(0.0).otherwise("traded"),
        turnover=pl.when(running)
        .then(pl.col("turnover").shift().fill_null(0))
        .otherwise("turnover"),
        volume=pl.when(running).then(pl.col("volume").shift().fill_null(0)).otherwise("volume"),
    ).reverse()


def _longer(rows: pl.DataFrame, step: int) -> pl.DataFrame:
    grouped = rows.sort("label").group_by_dynamic("label", every=f"{step}s")
    return grouped.agg(
        pl.col("open", "before", "date").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close", "volume", "turnover").last(),
        pl.col("traded").sum(),
    ).reverse()


def _days(exchange: SimulatedExchange, code: str, dates: list[date], now: datetime) -> pl.DataFrame:
    rows = [
        _whole_day(exchange, code, day)
        if day < now.date()
        else _day_until(exchange, code, day, now)
        for day in dates
    ]
    found = [row for row in rows if not row.is_empty()]
    return pl.concat(found) if found else pl.DataFrame()


@kept_by_owner(2048)
def _whole_day(exchange: SimulatedExchange, code: str, day: date) -> pl.DataFrame:
    """Return a day that is over; kept, since each day of a table needs those of its year."""
    return _day_until(exchange, code, day, datetime.combine(day + timedelta(days=1), time()))


def _day_until(exchange: SimulatedExchange, code: str, day: date, now: datetime) -> pl.DataFrame:
    """Return a row: the day's finished minutes as one bar; none before the first is finished."""
    finished = index_day(exchange, code, day).filter(pl.col("label") <= now - MINUTE)
    return finished.select(
        pl.lit(day).alias("date"),
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close", "volume", "turnover").last(),
    ).head(min(finished.height, 1))


def days_between(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the days, weeks, months or years between two dates, newest first."""
    first, last = asked_span(query, now)
    dates = session_days(first - timedelta(days=10), last, now)
    return _periods(exchange, query, dates, now, first)


def days_until(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the 100 days until a date, newest first."""
    dates = sessions_until(min(asked_day(query["FID_INPUT_DATE_1"], now), now.date()), DAYS)
    return _periods(exchange, query, dates, now, date.min)


def _periods(
    exchange: SimulatedExchange, query: Query, dates: list[date], now: datetime, first: date
) -> pl.DataFrame:
    code = query["FID_INPUT_ISCD"]
    if code not in INDICES or query["FID_COND_MRKT_DIV_CODE"] != "U":
        return pl.DataFrame()
    days = _days(exchange, code, dates, now)
    if days.is_empty():
        return days
    return periods(days, query.get("FID_PERIOD_DIV_CODE", "D")).filter(pl.col("date") >= first)


def expected_trend(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the index that an auction is expected to give: every ten seconds, newest first."""
    code = query["FID_INPUT_ISCD"]
    hours = _stock_hours(now.date())
    if code not in INDICES or hours is None or hours.auction is None:
        return pl.DataFrame()
    opening = query["FID_MKOP_CLS_CODE"] != "2"
    start = hours.opens - BEFORE_OPEN[Market.STOCKS] if opening else hours.continuous_end
    end = hours.opens if opening else hours.auction
    minutes = index_day(exchange, code, now.date())
    at = minutes.filter(pl.col("label") <= end)
    if at.is_empty() or now < start:
        return pl.DataFrame()
    final, volume = at["open"][-1], at["volume"][-1]
    moments = [start + n * STEP for n in range(int((min(end, now) - start) / STEP) + 1)]
    done = [(moment - start) / (end - start) for moment in moments]
    off = [draws("expected", code, moment).uniform(-0.004, 0.004) for moment in moments]
    return pl.DataFrame(
        {
            "hour": [f"{moment:%H%M%S}" for moment in moments],
            "price": [final * (1 + o * (1 - d)) for o, d in zip(off, done, strict=True)],
            "volume": [float(int(volume * EXPECTED_SHARE * d)) for d in done],
            "before": [_before(exchange, code, now.date())] * len(moments),
        }
    ).reverse()


def _stock_hours(day: date) -> Session | None:
    try:
        return session(Market.STOCKS, day)
    except CalendarRangeError:
        return None
