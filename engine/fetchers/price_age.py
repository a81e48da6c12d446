"""Since when a price has stood: consecutive snapshots tell it, since KIS does not."""

from __future__ import annotations

from functools import cache

import polars as pl

from engine.few_rows import collect_few
from engine.market.nights import session_of

_COMPARED = ("price", "volume")  # a trade at the same price changes the volume
_SINCE = pl.col("price_since")


def _session(moment: str) -> pl.Expr:
    return session_of(pl.col("underlying_symbol"), pl.col(moment))


@cache
def _price_since() -> pl.Expr:
    """Return `price_since` of a snapshot that is joined with what was seen before."""
    stands = pl.all_horizontal(
        *(pl.col(name).eq_missing(pl.col(f"{name}_seen")) for name in _COMPARED),
        _session("price_since") == _session("timestamp"),
    )
    since = pl.when(stands).then("price_since").otherwise("timestamp")
    return pl.when(pl.col("price").is_not_null()).then(since).alias("price_since")


class PriceAges:
    """Remembers, by chain, the last price of every option and the snapshot that showed it first."""

    def __init__(self) -> None:
        self._seen: dict[str, pl.DataFrame] = {}

    def with_price_since(self, key: str, chain: pl.DataFrame) -> pl.DataFrame:
        """Return a snapshot (OPTION_CHAIN so far) with `price_since`; remember it under `key`.

        That is the timestamp of the first snapshot of the session from which on price and volume
        have been the same: the price is at least as old. NULL where there is no price.
        """
        seen = self._seen.get(key)
        if seen is None:
            seen = chain.clear().select("symbol", *_COMPARED, price_since="timestamp")
        joined = chain.lazy().join(
            seen.lazy(), on="symbol", how="left", suffix="_seen", maintain_order="left"
        )
        aged = collect_few(
            joined.with_columns(_price_since()).drop(f"{name}_seen" for name in _COMPARED)
        )
        latest = aged[seen.columns].lazy().filter(pl.col("price").is_not_null())
        both = pl.concat([latest, seen.lazy()])
        self._seen[key] = collect_few(both.unique("symbol", keep="first"))
        return aged

    def recall(self, key: str, stored: pl.DataFrame) -> None:
        """Take from a stored snapshot (OPTION_CHAIN) what an earlier run of the day has seen.

        A price that is still the same stands since then; what this run has seen to differ stays as
        it is.
        """
        known = stored.select("symbol", *_COMPARED, "price_since").drop_nulls("price")
        seen = self._seen.get(key, known.clear())
        earlier = _SINCE.min().over("symbol", *_COMPARED)
        both = pl.concat([seen, known]).with_columns(earlier)
        self._seen[key] = both.unique("symbol", keep="first", maintain_order=True)
