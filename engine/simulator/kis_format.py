"""Numbers as KIS writes them: every value a string, and some of them oddly written."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import orjson
import polars as pl

KOSPI_PER_KOSPI200 = 6.3  # points of the one for a point of the other, autumn 2026
OK = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다."}
OK_END = orjson.dumps(OK)[1:]  # the end of an answer's JSON, after its last comma

# Of the rows of `market.options.quotes`, and of trades with the columns of these.
INTRINSIC = (  # index points
    pl.when(pl.col("option_type") == "C")
    .then(pl.col("spot") - pl.col("strike"))
    .otherwise(pl.col("strike") - pl.col("spot"))
    .clip(0, None)
)
OFF_THEORETICAL = (  # by how many per cent the price is off; KIS writes 9999.99 where it cannot say
    pl.when(pl.col("theoretical") < 0.005)
    .then(9999.99)
    .otherwise((pl.col("price") / pl.col("theoretical") - 1) * 100)
)


def fixed_text(value: pl.Expr, decimals: int) -> pl.Expr:
    """Write numbers with so many decimals; a tiny negative number becomes "-0.0000", as at KIS."""
    scaled = (value.abs() * 10**decimals).round().cast(pl.Int64)
    sign = pl.when(value < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    whole = pl.concat_str(sign, scaled // 10**decimals)
    if decimals == 0:
        return whole
    part = (scaled % 10**decimals).cast(pl.String).str.zfill(decimals)
    return pl.concat_str(whole, part, separator=".")


def exact_text(value: pl.Expr, decimals: int) -> pl.Expr:
    """Write numbers with so many decimals, or with more where rounding would change the value."""
    text = fixed_text(value, decimals)
    return pl.when(text.cast(pl.Float64) == value).then(text).otherwise(value.cast(pl.String))


def json_rows(frame: pl.DataFrame) -> list[bytes]:
    """Return each row of a frame of strings as the bytes of a JSON object.

    The values must need no escaping: they are numbers, codes, dates and names.
    """
    parts: list[pl.Expr] = []
    for name in frame.columns:
        parts += [pl.lit(f'{"," if parts else "{"}"{name}":"'), pl.col(name), pl.lit('"')]
    rows = frame.select(pl.concat_str([*parts, pl.lit("}")]).alias("row"))["row"]
    return [row.encode() for row in rows]


def hour_text(label: pl.Expr, day: date) -> pl.Expr:
    """Write labels of the session of `day` as HHMMSS; after midnight the hours go on to 30."""
    seconds = (label - datetime.combine(day, time())).dt.total_seconds()
    return (
        (seconds // 3600 * 10_000 + seconds // 60 % 60 * 100 + seconds % 60)
        .cast(pl.String)
        .str.zfill(6)
    )


def hour_of(label: datetime, day: date) -> str:
    """Write one label; see `hour_text`."""
    minutes = int((label - datetime.combine(day, time())) / timedelta(minutes=1))
    return f"{minutes // 60:02d}{minutes % 60:02d}00"


def price_text(value: float, decimals: int) -> str:
    """Write one price; see `exact_text`."""
    text = f"{value:.{decimals}f}"
    return text if float(text) == value else repr(value)


def sign_text(move: pl.Expr) -> pl.Expr:
    """Write KIS's code of a change: 2 up, 3 none, 5 down."""
    up_or_down = pl.when(move > 0).then(pl.lit("2")).otherwise(pl.lit("5"))
    return pl.when(move.abs() < 0.005).then(pl.lit("3")).otherwise(up_or_down)


def change(price: float, before: float, decimals: int) -> tuple[str, str, str]:
    """Return change, its code (2 up, 3 none, 5 down) and its per cent, as KIS writes them."""
    move = price - before
    sign = "3" if abs(move) < 1e-9 else "2" if move > 0 else "5"
    share = move / before * 100 if before else 0.0
    return f"{move:.{decimals}f}", sign, f"{share:.2f}"
