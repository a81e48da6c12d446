"""KIS's rows about options as columns of OPTION_CHAIN: rows of the board and single quotes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any

import polars as pl

from engine.fetchers.newest_quotes import BOARD, SINGLE
from engine.kis import codec
from engine.kis.answer import Answer
from engine.market.codes import is_call

_PATTERNS = {
    "symbol": r"^\s*([23BC][0-9A-Z]{8})\s*$",
    "atm_class": r"^\s*(ATM|ITM|OTM)\s*$",
}
_TEXT = {"symbol": "optn_shrn_iscd", "atm_class": "atm_cls_name"}
_WHOLE = {"volume": "acml_vol", "open_interest": "hts_otst_stpl_qty"}
_NUMBERS = {
    "iv": "hts_ints_vltl",
    "historical_volatility": "hist_vltl",
    "delta": "delta_val",
    "gamma": "gama",
    "vega": "vega",
    "theta": "theta",
    "rho": "rho",
    "theoretical_price": "hts_thpr",
}
# In the official sample of the board, an option with an ask of 0.01 and no bid has seln_rsqn 1710
# and shnu_rsqn 0, and acml_tr_pbmn 85 after 34 contracts at 0.01: that is in thousand KRW.
_SIZES = {"bid_size": "shnu_rsqn", "ask_size": "seln_rsqn"}
_TURNOVER, _THOUSANDS = "acml_tr_pbmn", 1000
_BOARD = {"strike": "acpr", "price": "optn_prpr", "bid": "optn_bidp", "ask": "optn_askp"}
_QUOTE = {"price": "futs_prpr"}  # an option's, too, in spite of its name


def read_board(rows: list[Any], quoted_at: datetime) -> pl.DataFrame:
    """Return one side of a board, with a REASON where a row has no code or no strike.

    Other values are as KIS gives them, zeros included; null where they cannot be read.
    """
    options = _columns(rows, {**_BOARD, **_NUMBERS}, _TEXT, quoted_at, _SIZES)
    return options.with_columns(
        pl.lit(None, pl.Int64).alias("bought"),  # only the feed tells these two
        pl.lit(None, pl.Int64).alias("sold"),
        codec.first_reason(
            (pl.col("symbol").is_null(), "code cannot be read"),
            (pl.col("strike") <= 0, "strike cannot be read"),
        ),
        quote_source=pl.lit(BOARD),
    )


def read_quotes(answers: list[Answer]) -> pl.DataFrame:
    """Return single quotes of options, a row for each answer, without strike, quotes and class."""
    records: list[Mapping[str, Any]] = [answer.record("output1") for answer in answers]
    options = _columns(records, {**_QUOTE, **_NUMBERS}, {}, None)
    return options.drop(codec.ROW).with_columns(
        pl.Series("symbol", [answer.symbol for answer in answers], pl.String),
        pl.Series("quoted_at", [answer.received_at for answer in answers], pl.Datetime("us")),
        quote_source=pl.lit(SINGLE),
    )


def option_type() -> pl.Expr:
    """Return call (C) or put (P) by the code, whichever side of the board the row was on."""
    return (
        pl.when(is_call(pl.col("symbol")))
        .then(pl.lit("C"))
        .otherwise(pl.lit("P"))
        .alias("option_type")
    )


def _columns(
    rows: list[Any],
    numbers: dict[str, str],
    text: dict[str, str],
    quoted_at: datetime | None,
    sizes: Mapping[str, str] = MappingProxyType({}),
) -> pl.DataFrame:
    wholes = {**_WHOLE, **sizes}
    names = [*numbers.values(), *wholes.values(), *text.values(), _TURNOVER]
    return codec.columns(rows, names).select(
        codec.ROW,
        *(pl.col(field).str.extract(_PATTERNS[name]).alias(name) for name, field in text.items()),
        *(codec.number(field).alias(name) for name, field in numbers.items()),
        *(codec.whole(field).alias(name) for name, field in wholes.items()),
        (codec.number(_TURNOVER) * _THOUSANDS).alias("turnover"),
        pl.lit(quoted_at, pl.Datetime("us")).alias("quoted_at"),
    )
