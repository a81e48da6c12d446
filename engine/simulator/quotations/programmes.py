"""Programme trading, arbitrage and other: each minute of today, and the sums of whole days.

A share of what the market trades in a minute is sold and bought by programmes, for customers and
for the members' own account; so sums of the day only grow, and a day has those of its last minute.
"""

from __future__ import annotations

from datetime import date, datetime

import numpy as np
import polars as pl

from engine.errors import CalendarRangeError
from engine.market.hours import MINUTE
from engine.market.sessions import Market, session
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kept import kept_by_owner
from engine.simulator.market.data import draws, open_session
from engine.simulator.market.dice import Floats
from engine.simulator.query import Query
from engine.simulator.quotations.days import asked_span, session_days
from engine.simulator.quotations.index_frames import INDICES, index_day, index_now

SHARES = {"arbt": 0.02, "nabt": 0.18}  # of the turnover of the stocks: arbitrage, other
CUSTOMERS = {"arbt": 0.7, "nabt": 0.95}  # of a programme's trading; the rest is the members' own
SIDES = ("sold", "bought")
ROWS = 30  # minutes an answer
LAST_HOUR = 17  # until when KIS repeats the last minute
CODES = {"K": "0001", "Q": "1001"}  # KOSPI, KOSDAQ
_UNITS = {"volume": "volume", "amount": "turnover"}  # of a programme's trading, of the index


@kept_by_owner(256)
def programme_minutes(exchange: SimulatedExchange, code: str, day: date) -> pl.DataFrame:
    """Return the sums of the day by the end of each minute, for the market of an index.

    Beside the columns of `index_day`: {arbt,nabt}_{sold,bought}_{volume,amount}, thousand shares
    and million KRW, and with _customers appended the same of customers alone.
    """
    hours = open_session(Market.STOCKS, day)
    minutes = index_day(exchange, code, day).filter(pl.col("label") < hours.last_stamp)
    sums: dict[str, Floats] = {}
    for kind, part in SHARES.items():
        for side in SIDES:
            share = part * _wandering(code, day, kind, side, minutes.height)
            for unit, total in _UNITS.items():
                traded = np.diff(minutes[total].to_numpy(), prepend=0.0) * share
                sums[f"{kind}_{side}_{unit}"] = np.floor(np.cumsum(traded))
                sums[f"{kind}_{side}_{unit}_customers"] = np.floor(
                    np.cumsum(traded) * CUSTOMERS[kind]
                )
    return minutes.with_columns(**{name: pl.Series(values) for name, values in sums.items()})


def _wandering(code: str, day: date, kind: str, side: str, size: int) -> Floats:
    random = draws("programmes", code, day, kind, side)
    return np.asarray(np.exp(random.normal(0, 0.2) + 0.3 * random.standard_normal(size)))


def programmes(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return programme trading of the last 30 minutes, newest first: sums of the day.

    After the close KIS goes on with the last values until 17:00.
    """
    code = CODES.get(query["FID_MRKT_CLS_CODE"], "")
    try:
        hours = session(Market.STOCKS, now.date())
    except CalendarRangeError:
        hours = None
    if hours is None or code not in INDICES:
        return pl.DataFrame()
    before = index_now(exchange, {"FID_INPUT_ISCD": code}, now)
    found = programme_minutes(exchange, code, now.date()).with_columns(
        end=pl.col("label") + MINUTE, price="close"
    )
    seen = found.filter(pl.col("end") <= now)
    if seen.is_empty() or before.is_empty():
        return pl.DataFrame()
    repeated = min(now, hours.last_stamp.replace(hour=LAST_HOUR, minute=0)) - hours.last_stamp
    if (idle := int(repeated / MINUTE)) > 0:
        last = pl.concat([seen.tail(1)] * idle)
        ends = [hours.last_stamp + n * MINUTE for n in range(1, idle + 1)]
        seen = pl.concat([seen, last.with_columns(end=pl.Series(ends, dtype=pl.Datetime("us")))])
    return seen.with_columns(before=pl.lit(before["before"][0])).tail(ROWS).reverse()


def programme_days(exchange: SimulatedExchange, query: Query, now: datetime) -> pl.DataFrame:
    """Return the sums of each day between two dates, newest first; today's so far."""
    code = CODES.get(query["FID_MRKT_CLS_CODE"], "")
    if not code:
        return pl.DataFrame()
    first, last = asked_span(query, now)
    found = [
        programme_minutes(exchange, code, day)
        .filter(pl.col("label") + MINUTE <= now)
        .tail(1)
        .with_columns(date=pl.lit(day))
        for day in session_days(first, last, now)
    ]
    return pl.concat(found) if found else pl.DataFrame()
