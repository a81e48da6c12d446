"""What the stored listings say: names by code, and the search for them."""

from __future__ import annotations

import polars as pl

from engine.market import names

NAMES = """
SELECT DISTINCT ON (symbol) symbol, name FROM stock_listings ORDER BY symbol, seen_first DESC"""


def learn_names(found: pl.DataFrame) -> None:
    """Have this process name stocks as the stored listings do; `found` is the answer to NAMES."""
    names.learn_stocks(dict(found.select("symbol", "name").iter_rows()))


def search_listings(stated: pl.DataFrame, text: str = "") -> pl.DataFrame:
    """Return the listings whose code begins with the text, or whose name has it somewhere.

    `stated` is the answer to `sql/listings/states.sql`. Letters are compared without case and
    blanks: `sk 하이닉스` finds SK하이닉스. What is listed comes before what is listed no more, each
    by code.
    """
    plain = "".join(text.split()).lower()
    name = pl.col("name").str.replace_all(r"\s", "").str.to_lowercase()
    found = pl.col("code").str.to_lowercase().str.starts_with(plain) | name.str.contains(
        plain, literal=True
    )
    past = (pl.col("state") == "listed no more") | pl.col("state").str.starts_with("now ")
    return stated.filter(found).sort(past, "code", "seen_first")
