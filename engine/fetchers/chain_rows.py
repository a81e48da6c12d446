"""KIS's rows about options as columns of OPTION_CHAIN: rows of the board and single quotes."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

import polars as pl

from engine.fetchers.newest_quotes import BOARD, SINGLE
from engine.few_rows import collect_few
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
    """Return one side of a board, or both, with a REASON where a row has no code or no strike.

    Other values are as KIS gives them, zeros included; null where they cannot be read.
    """
    fields = [*_BOARD.values(), *_NUMBERS.values(), *_TEXT.values()]
    text = codec.columns(rows, [*fields, *_WHOLE.values(), *_SIZES.values(), _TURNOVER])
    plan = text.lazy().select(*_of_board(), quoted_at=pl.lit(quoted_at, pl.Datetime("us")))
    return collect_few(plan.with_columns(_reason()))


def read_quotes(answers: list[Answer]) -> pl.DataFrame:
    """Return single quotes of options, a row for each answer, without strike, quotes and class."""
    records: list[Mapping[str, Any]] = [answer.record("output1") for answer in answers]
    fields = [*_QUOTE.values(), *_NUMBERS.values(), *_WHOLE.values(), _TURNOVER]
    return codec.columns(records, fields).select_seq(
        *_of_quote(),
        pl.Series("symbol", [answer.symbol for answer in answers], pl.String),
        pl.Series("quoted_at", [answer.received_at for answer in answers], pl.Datetime("us")),
    )


@cache
def option_type() -> pl.Expr:
    """Return call (C) or put (P) by the code, whichever side of the board the row was on."""
    return (
        pl.when(is_call(pl.col("symbol")))
        .then(pl.lit("C"))
        .otherwise(pl.lit("P"))
        .alias("option_type")
    )


@cache
def _of_board() -> tuple[pl.Expr, ...]:
    """Return the columns of a row of the board, but for `quoted_at`, from KIS's fields."""
    return (
        pl.col(codec.ROW),
        *(pl.col(field).str.extract(_PATTERNS[name]).alias(name) for name, field in _TEXT.items()),
        *_values({**_BOARD, **_NUMBERS}, {**_WHOLE, **_SIZES}),
        pl.lit(None, pl.Int64).alias("bought"),  # only the feed tells these two
        pl.lit(None, pl.Int64).alias("sold"),
        pl.lit(BOARD).alias("quote_source"),
    )


@cache
def _of_quote() -> tuple[pl.Expr, ...]:
    """Return the columns of a single quote that are in KIS's fields."""
    return (*_values({**_QUOTE, **_NUMBERS}, _WHOLE), pl.lit(SINGLE).alias("quote_source"))


def _values(numbers: Mapping[str, str], wholes: Mapping[str, str]) -> tuple[pl.Expr, ...]:
    return (
        *(codec.number(field).alias(name) for name, field in numbers.items()),
        *(codec.whole(field).alias(name) for name, field in wholes.items()),
        (codec.number(_TURNOVER) * _THOUSANDS).alias("turnover"),
    )


@cache
def _reason() -> pl.Expr:
    return codec.first_reason(
        (pl.col("symbol").is_null(), "code cannot be read"),
        (pl.col("strike") <= 0, "strike cannot be read"),
    )
