"""The state of a future: what KIS shows beside its bars, at the moment at which it is asked.

It costs no call: each poll for bars brings it (`output1` of FHKIF03020200).
"""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pyarrow as pa

from engine.columns import TIME
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
    rows = given.select(
        pl.lit(stamp, TIME).alias("timestamp"),
        pl.lit(answer.symbol).alias("symbol"),
        *(codec.number(field).alias(name) for name, field in _NUMBERS.items()),
        *(codec.whole(field).alias(name) for name, field in _WHOLE.items()),
        pl.lit(answer.tr_id).alias("source"),
        pl.lit(answer.received_at, TIME).alias("fetched_at"),
    )
    return conform(rows.filter(pl.any_horizontal(pl.col(_TOLD).is_not_null())), FUTURES_STATE)
