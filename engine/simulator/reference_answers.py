"""Answers about the calendar and the listing.

CTCA0903R, HHMCM000002C0, FHPIO056104C0 and the master file of derivatives.
"""

from __future__ import annotations

import io
import zipfile
from datetime import date, datetime, timedelta

import orjson
import polars as pl

from engine.errors import CalendarRangeError
from engine.market import expiries
from engine.market.codes import maturity_mark
from engine.market.products import KOSDAQ150, KOSPI200, MINI_KOSPI200, option_series
from engine.market.sessions import Market, session
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kept import kept_by_owner
from engine.simulator.kis_format import OK, fixed_text
from engine.simulator.market.listing import (
    KOREAN,
    SERIES,
    future_name,
    futures,
    maturities,
    options,
    previous_close,
    series_of,
)
from engine.simulator.query import Query, asked_day
from engine.simulator.quotations.days import sessions_until

HOLIDAY_ROWS = 24
KEY_WIDTH = 20  # the continuation keys are padded with spaces to this length
MORE = {"msg_cd": "KIOK0500", "msg1": "조회가 계속됩니다..다음버튼을 Click 하십시오.".ljust(70)}
DONE = {"msg_cd": "KIOK0460", "msg1": "조회 되었습니다. (마지막 자료)".ljust(70)}
# Kind of product in the master file: futures, calls, puts (docs/kis.md#master-file).
KINDS = {
    "KOSPI200": "156",
    "MINI_KOSPI200": "BDE",
    "KOSDAQ150": "3JK",
    "KOSPI200_WEEKLY_MON": " NO",
    "KOSPI200_WEEKLY_THU": " LM",
}
INDEX_CODES = {"KOSPI200": "2001", "KOSDAQ150": "3003"}
ATM, ITM, OTM = "1", "2", "3"


def holidays(_exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """CTCA0903R: 24 days a page, from BASS_DT on; the next page begins after the key's day."""
    key = query["CTX_AREA_NK"].strip()
    first = asked_day(key, now) + timedelta(days=1) if key else asked_day(query["BASS_DT"], now)
    rows = [row for n in range(HOLIDAY_ROWS) if (row := _day_row(first + timedelta(days=n)))]
    last = rows[-1]["bass_dt"] if len(rows) == HOLIDAY_ROWS else ""
    return orjson.dumps(
        {
            "ctx_area_nk": last.ljust(KEY_WIDTH),
            "ctx_area_fk": query["BASS_DT"].ljust(KEY_WIDTH),
            "output": rows,
            "rt_cd": "0",
            **(MORE if last else DONE),
        }
    )


def page_mark(answer: bytes) -> str:
    """Return the header tr_cont of a page of `holidays`: M if another follows, else D."""
    return "M" if orjson.loads(answer)["msg_cd"] == MORE["msg_cd"] else "D"


def _day_row(day: date) -> dict[str, str] | None:
    try:
        is_open = session(Market.STOCKS, day) is not None
    except CalendarRangeError:
        return None
    year_end = day.weekday() < 5 and (day.month, day.day) >= (12, 29)  # banks work, KRX does not
    flag = "NY"[is_open]
    return {
        "bass_dt": f"{day:%Y%m%d}",
        "wday_dvsn_cd": f"{(day.weekday() + 1) % 7 + 1:02d}",
        "bzdy_yn": "NY"[is_open or year_end],
        "tr_day_yn": "Y",
        "opnd_yn": flag,
        "sttl_day_yn": flag,
    }


def business_days(_exchange: SimulatedExchange, _query: Query, now: datetime) -> bytes:
    """HHMCM000002C0: the last five sessions of derivatives, the newest first, and today's hours."""
    dates = sessions_until(now.date(), 5, Market.DERIVATIVES)
    hours = session(Market.DERIVATIVES, dates[0]) if dates else None
    output1 = {f"date{n}": f"{day:%Y%m%d}" for n, day in enumerate(dates, start=1)}
    output1 |= {"today": f"{now:%Y%m%d}", "time": f"{now:%H%M%S}"}
    if hours is not None:
        output1 |= {"s_time": f"{hours.opens:%H%M%S}", "e_time": f"{hours.last_stamp:%H%M%S}"}
    return orjson.dumps({"output1": output1, **OK})


def series_list(_exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
    """FHPIO056104C0: the listed maturities of a series."""
    series = series_of(query.get("FID_COND_MRKT_CLS_CODE", ""))
    if series is None:
        return orjson.dumps({"output": [], **OK})
    calls = option_series(series).call
    rows = [
        {"mtrt_yymm_code": f"0{maturity_mark(calls, name)}", "mtrt_yymm": name}
        for name in maturities(series, now.date())
    ]
    return orjson.dumps({"output": rows, **OK})


@kept_by_owner(4)
def master_file(exchange: SimulatedExchange, day: date) -> bytes:
    """Return fo_idx_code_mts.mst.zip of a day: one text file, cp949, fields separated by |."""
    lines = [*_futures_lines(day), *_option_lines(exchange, day)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        entry = zipfile.ZipInfo("fo_idx_code_mts.mst", (day.year, day.month, day.day, 6, 0, 0))
        text = "".join(f"{line}\n" for line in lines).encode("cp949")
        archive.writestr(entry, text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _futures_lines(day: date) -> list[str]:
    return [
        "|".join(
            (
                KINDS[product.name][0],
                contract.code,
                f"KR4{contract.code:0<9.9}",
                f"{future_name(contract):<30}",
                "",
                "0.00",
                str(min(rank, 4)),
                INDEX_CODES[product.underlying],
                product.underlying,
            )
        )
        for product in (KOSPI200, MINI_KOSPI200, KOSDAQ150)
        for rank, contract in enumerate(futures(product, day), start=1)
    ]


def _option_lines(exchange: SimulatedExchange, day: date) -> list[str]:
    return [
        line
        for series in SERIES
        for rank, maturity in enumerate(maturities(series, day), start=1)
        for line in _series_lines(exchange, series, maturity, min(rank, 4), day)
    ]


def _maturity_name(series: str, maturity: str) -> str:
    """Return a maturity as names in the master file have it: 202612, of a fourth week 2609W4."""
    return f"{maturity[:4]}W{maturity[5]}" if expiries.is_weekly(series) else maturity


def _strike_name(strike: pl.Expr) -> pl.Expr:
    """Write strikes as the names have them: 1,120.0."""
    text = fixed_text(strike, 1)
    return text.str.replace(r"^(\d)(\d{3}\.)", "${1},${2}")


def _series_lines(
    exchange: SimulatedExchange, series: str, maturity: str, rank: int, day: date
) -> list[str]:
    underlying = option_series(series).future.underlying
    listed = options(exchange.market, series, maturity, day)
    close = previous_close(exchange.market, underlying, day)
    atm = listed["strike"][(listed["strike"] - close).abs().arg_min() or 0]
    is_call, strike = pl.col("option_type") == "C", pl.col("strike")
    fields = [
        pl.when(is_call).then(pl.lit(KINDS[series][1])).otherwise(pl.lit(KINDS[series][2])),
        pl.col("code"),
        "KR4" + pl.col("code"),
        (
            f"{KOREAN[series]}"
            + pl.col("option_type")
            + f" {_maturity_name(series, maturity)} "
            + _strike_name(strike)
        ).str.pad_end(30),
        pl.when(strike == atm)
        .then(pl.lit(ATM))
        .when((strike < atm) == is_call)
        .then(pl.lit(ITM))
        .otherwise(pl.lit(OTM)),
        strike.cast(pl.String),
        pl.lit(str(rank)),
        pl.lit(INDEX_CODES[underlying]),
        pl.lit(underlying),
    ]
    return listed.select(line=pl.concat_str(fields, separator="|"))["line"].to_list()
