"""How a quotation is defined: blocks of an answer, each with its source and its columns.

A source returns a frame of numbers as of now; a column turns them into KIS's text. So a new
endpoint is one entry in a table, and a new field is one line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import polars as pl

from engine.simulator.exchange import SimulatedExchange
from engine.simulator.kis_format import OK, fixed_text, sign_text
from engine.simulator.query import Query

Source = Callable[[SimulatedExchange, Query, datetime], pl.DataFrame]
Columns = Mapping[str, pl.Expr]


@dataclass(frozen=True)
class Block:
    """A part of an answer, such as `output1`: a list of rows, or one row alone."""

    name: str
    source: Source
    columns: Columns
    is_list: bool = True

    def read(self, exchange: SimulatedExchange, query: Query, now: datetime) -> Any:
        """Return the block's rows, or its one row; empty where KIS knows nothing."""
        frame = self.source(exchange, query, now)
        if frame.is_empty():
            return [] if self.is_list else {}
        rows = frame.select(**self.columns).to_dicts()
        return rows if self.is_list else rows[0]


@dataclass(frozen=True)
class Quotation:
    """A quotation: where it is, which fields of the query it needs, what it answers."""

    tr_id: str
    path: str
    fields: tuple[str, ...]
    blocks: tuple[Block, ...]

    def answer(self, exchange: SimulatedExchange, query: Query, now: datetime) -> bytes:
        """Return the answer as KIS writes it."""
        parts = {block.name: block.read(exchange, query, now) for block in self.blocks}
        return orjson.dumps({**parts, **OK})


def whole(value: str | pl.Expr) -> pl.Expr:
    """Write a number without decimals."""
    return fixed_text(_expr(value), 0)


def cents(value: str | pl.Expr) -> pl.Expr:
    """Write a number with two decimals: index points, per cent."""
    return fixed_text(_expr(value), 2)


def share(part: str | pl.Expr, total: str | pl.Expr) -> pl.Expr:
    """Write a part in per cent of a total; 0.00 if the total is 0."""
    ratio = _expr(part) / _expr(total) * 100
    return cents(pl.when(_expr(total) == 0).then(0.0).otherwise(ratio))


def sign(move: str | pl.Expr) -> pl.Expr:
    """Write KIS's code of a change: 2 up, 3 none, 5 down."""
    return sign_text(_expr(move))


def text(name: str) -> pl.Expr:
    """Return a column that is text already."""
    return pl.col(name)


def same(value: str, *names: str) -> dict[str, pl.Expr]:
    """Return fields with one value in every answer: the simulated market does not know them."""
    return {name: pl.lit(value) for name in names}


def numbered(names: Iterable[str], counts: range, column: Callable[[str, int], pl.Expr]) -> Columns:
    """Return fields with a running number: askp1, askp2 …"""
    return {f"{name}{n}": column(name, n) for name in names for n in counts}


def _expr(value: str | pl.Expr) -> pl.Expr:
    return pl.col(value) if isinstance(value, str) else value


MOVE = pl.col("price") - pl.col("before")
SIGN = sign(MOVE)
PERCENT = share(MOVE, "before")
