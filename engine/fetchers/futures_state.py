"""The state of a future: what KIS shows beside its bars, at the moment at which it is asked.

It costs no call: each poll for bars brings it (`output1` of FHKIF03020200).
"""

from __future__ import annotations

from datetime import datetime
from functools import cache

import polars as pl
import pyarrow as pa

from engine.columns import literal_time
from engine.kis import codec
from engine.kis.answer import Answer
from engine.schemas import FUTURES_STATE, conform

_NUMBERS = {
    "price": "futs_prpr",
    "bid": "futs_bidp",
    "ask": "futs_askp",
    "basis": "basis",
    "theoretical_price": "hts_thpr",
    "deviation": "dprt",
    "index_price": "kospi200_nmix",
    "day_turnover": "acml_tr_pbmn",
}
_WHOLE = {
    "open_interest": "hts_otst_stpl_qty",
    "open_interest_change": "otst_stpl_qty_icdc",
    "day_volume": "acml_vol",
}
_TOLD = ("open_interest", "basis", "theoretical_price")  # what the bars do not say


def read_state(answer: Answer, stamp: datetime) -> pa.RecordBatch:
    """Return the state at a stamp, one row in FUTURES_STATE; empty where the answer has none."""
    given = codec.columns([answer.record("output1")], [*_NUMBERS.values(), *_WHOLE.values()])
    rows = given.select_seq(
        literal_time(stamp).alias("timestamp"),
        pl.lit(answer.symbol).alias("symbol"),
        *_read(),
        pl.lit(answer.tr_id).alias("source"),
        literal_time(answer.received_at).alias("fetched_at"),
    )
    told = any(rows[name][0] is not None for name in _TOLD)
    return conform(rows if told else rows.clear(), FUTURES_STATE)


@cache
def _read() -> tuple[pl.Expr, ...]:
    numbers = (codec.number(field).alias(name) for name, field in _NUMBERS.items())
    return (*numbers, *(codec.whole(field).alias(name) for name, field in _WHOLE.items()))
