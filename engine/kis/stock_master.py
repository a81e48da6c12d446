"""The master files of shares, kospi_code.mst and kosdaq_code.mst: what is listed, and its name.

Each is a zip of one text file in cp949, with a line of fields of fixed width for each share, fund
or note. Everything but the Korean name is ASCII, and widths are in bytes
(docs/kis.md#stock-master-files).
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from engine.errors import KisUnreachable
from engine.kis.master import unpack
from engine.kis.stock_layout import CODE_BYTES, LAYOUTS, MEMBERSHIP, STANDARD_BYTES, StockLayout
from engine.text import visible

# Our kind by KIS's group of securities; any other group is `other`. Shares are common or preferred.
KINDS = {
    "EF": "ETF",
    "FE": "ETF",
    "EN": "ETN",
    "EW": "ELW",
    "RT": "REIT",
    "IF": "infrastructure",
    "MF": "fund",
    "SC": "fund",
    "BC": "fund",
    "DR": "depositary receipt",
    "FS": "common",
    "ST": "common",
    "SW": "warrant",
    "SR": "rights",
}
_CODES = ("sector_large", "sector_medium", "sector_small")
_FLAGS = ("halted", "liquidating", "managed")  # Y or N; columns of the table, too
_BYTES = "latin-1"  # a letter for each byte, and back


@dataclass(frozen=True)
class StockMaster:
    """What a file lists, by symbol; and its lines that do not have the layout, as they are."""

    listings: pl.DataFrame
    odd: list[str]


def parse_stock_master(packed: bytes, market: str) -> StockMaster:
    """Read the master file of KOSPI or KOSDAQ.

    `listings` has the columns of `stock_listings` that the file tells. A line that does not have
    the layout is in `odd`. Raises KisUnreachable if the file cannot be read, or if half of its
    lines or more do not have the layout: then KIS has changed it, and nothing can be trusted.
    """
    layout = LAYOUTS[market]
    wanted = [*_CODES, *_FLAGS, "group", "spac", "listed_from", "preferred", MEMBERSHIP[market][0]]
    text = unpack(packed).decode(_BYTES)
    lines = pl.DataFrame({"line": [line.rstrip("\r") for line in text.split("\n")]})
    lines = lines.filter(pl.col("line").str.strip_chars(" \x00\x1a") != "")
    fields = lines.select("line", *_head(layout), *_tail(layout, wanted)).with_columns(fits=_fits())
    sound = fields.filter("fits")
    if 2 * sound.height <= fields.height:
        raise KisUnreachable(
            f"the master file of {market} has another layout than the known one:"
            f" {fields.height - sound.height:,} of {fields.height:,} lines do not fit, none is used"
        )
    names = sound.with_columns(name=pl.Series(map(_korean, sound["name"]), dtype=pl.String))
    odd = fields.filter(~pl.col("fits"))["line"].to_list() if sound.height < fields.height else []
    listings = names.select(_columns(market)).unique("symbol", keep="last", maintain_order=True)
    return StockMaster(listings, [_korean(line) for line in odd])


def _head(layout: StockLayout) -> list[pl.Expr]:
    head = pl.col("line").str.head(-layout.tail)  # nothing where the line is too short
    return [
        head.str.slice(0, CODE_BYTES).str.strip_chars(" ").alias("symbol"),
        head.str.slice(CODE_BYTES, STANDARD_BYTES).str.strip_chars(" ").alias("standard_code"),
        head.str.slice(CODE_BYTES + STANDARD_BYTES).str.strip_chars(" ").alias("name"),
    ]


def _tail(layout: StockLayout, wanted: list[str]) -> list[pl.Expr]:
    tail = pl.col("line").str.tail(layout.tail)
    return [
        tail.str.slice(layout.offset(field), layout.widths[field])
        .str.strip_chars(" ")
        .alias(f"_{field}")
        for field in wanted
    ]


def _fits() -> pl.Expr:
    """Say whether a line has at each place what belongs there by the layout."""
    matches = {
        "symbol": r"^[0-9A-Z]{6,9}$",
        "standard_code": r"^[A-Z]{2}[0-9A-Z]{10}$",
        "name": r"^[^\x00]+$",
        "_group": r"^[A-Z]{2}$",
        **dict.fromkeys((f"_{name}" for name in _FLAGS), r"^[YN]$"),
        "_listed_from": r"^([0-9]{8})?$",
        "_preferred": r"^[0-9A-Z]?$",
    }
    return pl.all_horizontal(pl.col(name).str.contains(like) for name, like in matches.items())


def _columns(market: str) -> list[pl.Expr]:
    member, index = MEMBERSHIP[market]
    group = pl.col("_group")
    is_preferred = ~pl.col("_preferred").is_in(["", "0", "N"])
    kind = group.replace_strict(KINDS, default="other", return_dtype=pl.String)
    return [
        pl.col("symbol"),
        pl.col("name"),
        pl.lit(market).alias("market"),
        pl.when(pl.col("_spac") == "Y")
        .then(pl.lit("SPAC"))
        .when((kind == "common") & is_preferred)
        .then(pl.lit("preferred"))
        .otherwise(kind)
        .alias("kind"),
        group.alias("group_code"),
        *(_text(f"_{name}").alias(name) for name in _CODES),
        pl.when(~pl.col(f"_{member}").is_in(["", "0", "N"]))
        .then(pl.lit(index))
        .alias("index_member"),
        *((pl.col(f"_{name}") == "Y").alias(name) for name in _FLAGS),
        pl.col("_listed_from").str.to_date("%Y%m%d", strict=False).alias("listed_from"),
        pl.col("standard_code"),
    ]


def _text(name: str) -> pl.Expr:
    """Return a code, null where the field is blank or nothing but zeros."""
    return pl.when(pl.col(name).str.contains("[^0]")).then(pl.col(name))


def _korean(text: str) -> str:
    """Return the Korean text of bytes that were kept as letters (_BYTES)."""
    return visible(text.encode(_BYTES).decode("cp949", errors="replace").strip())
