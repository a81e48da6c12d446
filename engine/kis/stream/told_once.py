"""Frames of what KIS tells only once: expected prices of a stock's auctions, programme trading.

`H0STANC0` is a stock's expected price each time that it changes, `H0UPPGM0` programme trading of a
market, in sums of the day. No real record of either has been seen; docs/told-once.md says what is
believed about them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, timedelta

import polars as pl
import pyarrow as pa

from engine.columns import TIME
from engine.kis import codec
from engine.kis.stream.frames import Frame
from engine.kis.stream.plain_records import is_frame_of, plain_records, rejected_record
from engine.kis.stream.registrations import NOT_REGISTERED, StreamRegistration
from engine.market.hours import MINUTE
from engine.schemas import EXPECTED_PRICES, PROGRAMME_TRADES, REJECTED_ROWS, conform

EXPECTATIONS, PROGRAMMES = "H0STANC0", "H0UPPGM0"
TOLD_ONCE = frozenset({EXPECTATIONS, PROGRAMMES})
_EXPECTATION = """
    MKSC_SHRN_ISCD STCK_CNTG_HOUR STCK_PRPR PRDY_VRSS_SIGN PRDY_VRSS PRDY_CTRT
    WGHN_AVRG_STCK_PRC STCK_OPRC STCK_HGPR STCK_LWPR ASKP1 BIDP1 CNTG_VOL ACML_VOL ACML_TR_PBMN
    SELN_CNTG_CSNU SHNU_CNTG_CSNU NTBY_CNTG_CSNU CTTR SELN_CNTG_SMTN SHNU_CNTG_SMTN
    CNTG_CLS_CODE SHNU_RATE PRDY_VOL_VRSS_ACML_VOL_RATE OPRC_HOUR OPRC_VRSS_PRPR_SIGN
    OPRC_VRSS_PRPR HGPR_HOUR HGPR_VRSS_PRPR_SIGN HGPR_VRSS_PRPR LWPR_HOUR LWPR_VRSS_PRPR_SIGN
    LWPR_VRSS_PRPR BSOP_DATE NEW_MKOP_CLS_CODE TRHT_YN ASKP_RSQN1 BIDP_RSQN1 TOTAL_ASKP_RSQN
    TOTAL_BIDP_RSQN VOL_TNRT PRDY_SMNS_HOUR_ACML_VOL PRDY_SMNS_HOUR_ACML_VOL_RATE HOUR_CLS_CODE
    MRKT_TRTM_CLS_CODE
"""
_PROGRAMME = """
    BSTP_CLS_CODE BSOP_HOUR ARBT_SELN_ENTM_CNQN ARBT_SELN_ONSL_CNQN ARBT_SHNU_ENTM_CNQN
    ARBT_SHNU_ONSL_CNQN NABT_SELN_ENTM_CNQN NABT_SELN_ONSL_CNQN NABT_SHNU_ENTM_CNQN
    NABT_SHNU_ONSL_CNQN ARBT_SELN_ENTM_CNTG_AMT ARBT_SELN_ONSL_CNTG_AMT ARBT_SHNU_ENTM_CNTG_AMT
    ARBT_SHNU_ONSL_CNTG_AMT NABT_SELN_ENTM_CNTG_AMT NABT_SELN_ONSL_CNTG_AMT
    NABT_SHNU_ENTM_CNTG_AMT NABT_SHNU_ONSL_CNTG_AMT ARBT_SMTN_SELN_VOL ARBT_SMTM_SELN_VOL_RATE
    ARBT_SMTN_SELN_TR_PBMN ARBT_SMTM_SELN_TR_PBMN_RATE ARBT_SMTN_SHNU_VOL
    ARBT_SMTM_SHNU_VOL_RATE ARBT_SMTN_SHNU_TR_PBMN ARBT_SMTM_SHNU_TR_PBMN_RATE
    ARBT_SMTN_NTBY_QTY ARBT_SMTM_NTBY_QTY_RATE ARBT_SMTN_NTBY_TR_PBMN
    ARBT_SMTM_NTBY_TR_PBMN_RATE NABT_SMTN_SELN_VOL NABT_SMTM_SELN_VOL_RATE
    NABT_SMTN_SELN_TR_PBMN NABT_SMTM_SELN_TR_PBMN_RATE NABT_SMTN_SHNU_VOL
    NABT_SMTM_SHNU_VOL_RATE NABT_SMTN_SHNU_TR_PBMN NABT_SMTM_SHNU_TR_PBMN_RATE
    NABT_SMTN_NTBY_QTY NABT_SMTM_NTBY_QTY_RATE NABT_SMTN_NTBY_TR_PBMN
    NABT_SMTM_NTBY_TR_PBMN_RATE WHOL_ENTM_SELN_VOL ENTM_SELN_VOL_RATE WHOL_ENTM_SELN_TR_PBMN
    ENTM_SELN_TR_PBMN_RATE WHOL_ENTM_SHNU_VOL ENTM_SHNU_VOL_RATE WHOL_ENTM_SHNU_TR_PBMN
    ENTM_SHNU_TR_PBMN_RATE WHOL_ENTM_NTBY_QT ENTM_NTBY_QTY_RAT WHOL_ENTM_NTBY_TR_PBMN
    ENTM_NTBY_TR_PBMN_RATE WHOL_ONSL_SELN_VOL ONSL_SELN_VOL_RATE WHOL_ONSL_SELN_TR_PBMN
    ONSL_SELN_TR_PBMN_RATE WHOL_ONSL_SHNU_VOL ONSL_SHNU_VOL_RATE WHOL_ONSL_SHNU_TR_PBMN
    ONSL_SHNU_TR_PBMN_RATE WHOL_ONSL_NTBY_QTY ONSL_NTBY_QTY_RATE WHOL_ONSL_NTBY_TR_PBMN
    ONSL_NTBY_TR_PBMN_RATE TOTAL_SELN_QTY WHOL_SELN_VOL_RATE TOTAL_SELN_TR_PBMN
    WHOL_SELN_TR_PBMN_RATE SHNU_CNTG_SMTN WHOL_SHUN_VOL_RATE TOTAL_SHNU_TR_PBMN
    WHOL_SHUN_TR_PBMN_RATE WHOL_NTBY_QTY WHOL_SMTM_NTBY_QTY_RATE WHOL_NTBY_TR_PBMN
    WHOL_NTBY_TR_PBMN_RATE ARBT_ENTM_NTBY_QTY ARBT_ENTM_NTBY_TR_PBMN ARBT_ONSL_NTBY_QTY
    ARBT_ONSL_NTBY_TR_PBMN NABT_ENTM_NTBY_QTY NABT_ENTM_NTBY_TR_PBMN NABT_ONSL_NTBY_QTY
    NABT_ONSL_NTBY_TR_PBMN ACML_VOL ACML_TR_PBMN
"""
FIELDS = {EXPECTATIONS: _EXPECTATION.split(), PROGRAMMES: _PROGRAMME.split()}
_KEY = {EXPECTATIONS: "MKSC_SHRN_ISCD", PROGRAMMES: "BSTP_CLS_CODE"}
_EPOCH = date(1970, 1, 1)
_MINUTE_US = 60_000_000
_TOLERANCE = timedelta(seconds=2)  # by which the clocks may differ
_UNTIMELY = (
    (pl.col("said_at").is_null(), codec.NO_TIME),
    (pl.col("is_later"), "a time that has not come yet"),
)
_RECEIVED = "received"  # index of the frame's time of receipt
MARKETS = {"0001": "KOSPI", "1001": "KOSDAQ"}  # our name by KIS's code, of programme trading
_SUMS = {  # columns of PROGRAMME_TRADES and their fields
    f"{ours}_{side}{ending}": f"{kis}_SMTN_{kis_side}_{quantity if ending else 'TR_PBMN'}"
    for kis, ours in (("ARBT", "arbitrage"), ("NABT", "other"))
    for kis_side, side, quantity in (
        ("SELN", "sold", "VOL"),
        ("SHNU", "bought", "VOL"),
        ("NTBY", "net", "QTY"),
    )
    for ending in ("", "_volume")
} | {"net": "WHOL_NTBY_TR_PBMN", "net_volume": "WHOL_NTBY_QTY"}


def read_told(
    frames: Sequence[Frame], registered: Collection[StreamRegistration], ahead: timedelta
) -> tuple[pa.RecordBatch, pa.RecordBatch, pa.RecordBatch]:
    """Return what frames of TOLD_ONCE hold: EXPECTED_PRICES, PROGRAMME_TRADES, REJECTED_ROWS.

    `ahead` is how far our clock is ahead of KIS's; a record whose time is later than its receipt is
    rejected. Never raises, whatever the texts are.
    """
    rejected: list[dict[str, object]] = []
    records: dict[str, list[dict[str, str]]] = {tr_id: [] for tr_id in FIELDS}
    for number, (received_at, text) in enumerate(frames):
        tr_id = next(name for name in FIELDS if is_frame_of(text, name))
        found = plain_records(text, FIELDS[tr_id])
        if found is None:
            rejected.append(rejected_record(received_at, tr_id, "", "torn", text))
        for record in found or ():
            key = record[_KEY[tr_id]]
            if StreamRegistration(tr_id, key) not in registered:
                rejected.append(rejected_record(received_at, tr_id, key, NOT_REGISTERED, text))
            else:
                records[tr_id].append({**record, _RECEIVED: str(number)})
    received = pl.Series([moment for moment, _ in frames], dtype=TIME)
    batches = []
    for tr_id, read, schema in (
        (EXPECTATIONS, _expectations, EXPECTED_PRICES),
        (PROGRAMMES, _programmes, PROGRAMME_TRADES),
    ):
        marked = read(_columns(tr_id, records[tr_id], received, ahead))
        for row in marked.filter(pl.col(codec.REASON).is_not_null()).iter_rows(named=True):
            moment, text = frames[int(records[tr_id][row[codec.ROW]][_RECEIVED])]
            rejected.append(
                rejected_record(moment, tr_id, row["symbol"] or "", row[codec.REASON], text)
            )
        good = marked.filter(pl.col(codec.REASON).is_null()).with_columns(source=pl.lit(tr_id))
        batches.append(conform(good, schema))
    return (*batches, pa.RecordBatch.from_pylist(rejected, REJECTED_ROWS))


def _columns(
    tr_id: str, records: Sequence[dict[str, str]], received: pl.Series, ahead: timedelta
) -> pl.DataFrame:
    """Return the fields as text, `fetched_at`, `said_at` (the record's time) and `is_later`.

    The last says that this time had not come at the receipt. A record tells HHMMSS: its day is that
    of its receipt.
    """
    hour = "STCK_CNTG_HOUR" if tr_id == EXPECTATIONS else "BSOP_HOUR"
    given = codec.columns(records, [*FIELDS[tr_id], _RECEIVED])
    by_number = pl.lit(received.implode()).list.get(pl.col(_RECEIVED).cast(pl.Int64))
    of_day = codec.label(hour, _EPOCH).dt.timestamp("us").cast(pl.Duration("us"))
    return (
        given.with_columns(fetched_at=by_number.cast(TIME))
        .with_columns(said_at=pl.col("fetched_at").dt.truncate("1d") + of_day)
        .with_columns(is_later=pl.col("said_at") > pl.col("fetched_at") - ahead + _TOLERANCE)
    )


def _expectations(given: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of EXPECTED_PRICES of records, and REASON.

    What is told at the first moment of a minute belongs to this minute.
    """
    price = codec.number("STCK_PRPR")
    return given.select(
        codec.ROW,
        pl.col("MKSC_SHRN_ISCD").alias("symbol"),
        (pl.col("said_at").dt.truncate("1m") + MINUTE).alias("timestamp"),
        "said_at",
        pl.when(price > 0).then(price).alias("price"),
        codec.whole("CNTG_VOL").alias("size"),
        "fetched_at",
        codec.first_reason(*_UNTIMELY, (price.is_null(), codec.UNREADABLE)),
    )


def _programmes(given: pl.DataFrame) -> pl.DataFrame:
    """Return the columns of PROGRAMME_TRADES of records, and REASON.

    They are sums up to a moment: those told at the first moment of a minute are the end of the one
    before, like a row of FHPPG04600101.
    """
    amounts = [codec.whole(field) for name, field in _SUMS.items() if not name.endswith("_volume")]
    return given.select(
        codec.ROW,
        pl.col("BSTP_CLS_CODE").replace_strict(MARKETS, default=None).alias("symbol"),
        (-((-pl.col("said_at").dt.timestamp("us")) // _MINUTE_US) * _MINUTE_US)
        .cast(TIME)
        .alias("timestamp"),
        *(codec.whole(field).alias(name) for name, field in _SUMS.items()),
        pl.lit(None, pl.Float64).alias("index_price"),
        "fetched_at",
        codec.first_reason(
            *_UNTIMELY, (pl.any_horizontal(value.is_null() for value in amounts), codec.UNREADABLE)
        ),
    )
