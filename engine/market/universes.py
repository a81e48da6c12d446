"""Universes: names that stand for many stocks, resolved from what KIS's master files list.

    KOSPI200, KOSDAQ150    the members of the index
    ETF                    exchange-traded funds
    KOSPI, KOSDAQ          the shares of the market, without ETFs and ETNs
    all                    the shares of both markets, ETFs and ETNs

What a universe means on a day is what the files said then. ELWs, warrants and rights are in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

import polars as pl

from engine.market.codes import STOCK_CODE

_FUNDS = ("ETF", "ETN")
_NO_SHARES = (*_FUNDS, "ELW", "warrant", "rights")
_IS_SHARE = ~pl.col("kind").is_in(_NO_SHARES)
_MEMBERS = {
    "KOSPI200": pl.col("index_member") == "KOSPI200",
    "KOSDAQ150": pl.col("index_member") == "KOSDAQ150",
    "ETF": pl.col("kind") == "ETF",
    "KOSPI": _IS_SHARE & (pl.col("market") == "KOSPI"),
    "KOSDAQ": _IS_SHARE & (pl.col("market") == "KOSDAQ"),
    "all": _IS_SHARE | pl.col("kind").is_in(_FUNDS),
}
UNIVERSES = tuple(_MEMBERS)
_KEY = ["symbol", "seen_first"]


def split_universes(texts: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the universes among the texts, and the others, each once."""
    named = dict.fromkeys(texts)
    universes = tuple(text for text in named if text in _MEMBERS)
    return universes, tuple(text for text in named if text not in _MEMBERS)


def members(listings: pl.DataFrame, universes: Sequence[str]) -> list[str]:
    """Return the codes of the universes' stocks, ascending.

    `listings` has symbol, market, kind and index_member of what is listed.
    """
    found: list[str] = listings.filter(_is_member(universes))["symbol"].unique().sort().to_list()
    return found


def members_on(
    periods: pl.DataFrame, universes: Sequence[str], days: Sequence[date]
) -> pl.DataFrame:
    """Return symbol, session: the universes' stocks on each of the days.

    `periods` are rows of `stock_listings`. On days before the first file of a market, that file
    counts for each stock from its listing on.
    """
    valid = _with_validity(periods).filter(_is_member(universes))
    sessions = pl.DataFrame({"session": days}, {"session": pl.Date()})
    return (
        valid.join(sessions, how="cross")
        .filter(pl.col("session").is_between("valid_from", "valid_to"))
        .select("symbol", "session")
        .unique()
        .sort("symbol", "session")
    )


def not_yet_listed(periods: pl.DataFrame, universes: Sequence[str], day: date) -> pl.DataFrame:
    """Return symbol, listed_from of the universes' stocks that are listed after the day, by date.

    `periods` are rows of `stock_listings`; each market's newest file counts.
    """
    return (
        periods.filter(pl.col("seen_last") == pl.col("seen_last").max().over("market"))
        .filter(pl.col("listed_from") > day, _is_member(universes))
        .select("symbol", "listed_from")
        .sort("listed_from", "symbol")
    )


def _is_member(universes: Sequence[str]) -> pl.Expr:
    is_code = pl.col("symbol").str.contains(f"^(?:{STOCK_CODE})$")
    return is_code & pl.any_horizontal(_MEMBERS[universe] for universe in universes)


def _with_validity(periods: pl.DataFrame) -> pl.DataFrame:
    """Return the periods with their first and last day: `valid_from`, `valid_to`.

    A period begins when a file first has it, but not before the stock is listed: a file may have it
    some days before. It lasts until the symbol's next one begins; its last one for ever, unless the
    market's newest file no longer has the symbol.
    """
    first_file = pl.col("seen_first").min().over("market")
    newest = pl.col("seen_last").max().over("market")
    seen = pl.when(pl.col("seen_first") > first_file).then("seen_first")
    begins = pl.max_horizontal(seen, "listed_from", pl.lit(date.min))
    following = pl.col("valid_from").shift(-1).over("symbol")
    return (
        periods.sort(_KEY)
        .with_columns(begins.alias("valid_from"))
        .with_columns(
            valid_to=pl.when(following.is_not_null())
            .then(following - pl.duration(days=1))
            .when(pl.col("seen_last") < newest)
            .then("seen_last")
            .otherwise(pl.lit(date.max))
        )
    )
