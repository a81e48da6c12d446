"""KIS's rows about options as columns of OPTION_CHAIN: rows of the board and single quotes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
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
_BOARD = {"strike": "acpr", "price": "optn_prpr", "bid": "optn_bidp", "ask": "optn_askp"}
_QUOTE = {"price": "futs_prpr"}  # here KIS names the last price of an option so, too


def read_board(rows: list[Any], quoted_at: datetime) -> pl.DataFrame:
    """Return one side of a board, with a REASON where a row has no code or no strike.

    Other values are as KIS gives them, zeros included; null where they cannot be read.
    """
    options = _columns(rows, {**_BOARD, **_NUMBERS}, _TEXT, quoted_at)
    return options.with_columns(
        codec.first_reason(
            (pl.col("symbol").is_null(), "code cannot be read"),
            (pl.col("strike") <= 0, "strike cannot be read"),
        ),
        quote_source=pl.lit(BOARD),
    )


def read_quotes(answers: list[Answer]) -> pl.DataFrame:
    """Return single quotes of options, a row for each answer: no strike, bid, ask, ATM class."""
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
    rows: list[Any], numbers: dict[str, str], text: dict[str, str], quoted_at: datetime | None
) -> pl.DataFrame:
    names = [*numbers.values(), *_WHOLE.values(), *text.values()]
    return codec.columns(rows, names).select(
        codec.ROW,
        *(pl.col(field).str.extract(_PATTERNS[name]).alias(name) for name, field in text.items()),
        *(codec.number(field).alias(name) for name, field in numbers.items()),
        *(codec.whole(field).alias(name) for name, field in _WHOLE.items()),
        pl.lit(quoted_at, pl.Datetime("us")).alias("quoted_at"),
    )
