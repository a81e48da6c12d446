"""Options of a chain that its snapshots do not quote: their sums of the day.

Which options are quoted changes with the market. Sums over a chain must not change with that, so
all others are asked for once, and an option that is no longer near the market keeps what it had.
"""

from __future__ import annotations

from datetime import date

import polars as pl

from engine.few_rows import collect_few
from engine.market.nights import session_of
from engine.schemas import OPTION_CHAIN

COUNTED = ("volume", "turnover", "open_interest")
_CHAIN = pl.Schema(OPTION_CHAIN)
_TOLD = pl.Schema(
    {
        "symbol": pl.String(),
        **{name: _CHAIN[name] for name in COUNTED},
        "told_at": pl.Datetime("us"),
    }
)
_LISTED = pl.Schema({"symbol": pl.String(), "strike": pl.Float64(), "distance": pl.Int32()})
_NOTHING_TOLD, _NOTHING_LISTED = _TOLD.to_frame(), _LISTED.to_frame()


class OtherOptions:
    """Remembers, by chain, which options are listed beside the quoted ones, and their COUNTED."""

    def __init__(self) -> None:
        self._listed: dict[str, pl.DataFrame] = {}
        self._told: dict[str, pl.DataFrame] = {}

    def note_listed(self, key: str, others: pl.DataFrame) -> None:
        """Take the options that the snapshot does not quote: symbol, strike, distance from ATM."""
        self._listed[key] = others.select(pl.col(n).cast(kind) for n, kind in _LISTED.items())

    def note(self, key: str, quotes: pl.DataFrame) -> None:
        """Take quotes (symbol, COUNTED, quoted_at), which are newer than those taken before."""
        if not quotes.height:
            return
        told = quotes.lazy().select("symbol", *COUNTED, told_at="quoted_at")
        known = self._told.get(key, _NOTHING_TOLD).lazy()
        nothing = pl.col("open_interest").is_null()  # asked for, and KIS did not tell
        both = pl.concat([told.filter(~nothing), known, told.filter(nothing)])
        self._told[key] = collect_few(both.unique("symbol", keep="first"))

    def recall(self, key: str, stored: pl.DataFrame) -> None:
        """Take what a stored snapshot (OPTION_CHAIN) of the day has and is not known yet."""
        when = pl.coalesce("quoted_at", "timestamp").alias("told_at")
        told = stored.select("symbol", *COUNTED, when).drop_nulls("open_interest")
        known = self._told.get(key, _NOTHING_TOLD)
        self._told[key] = pl.concat([known, told]).unique("symbol", keep="first")

    def forget_volumes(self, key: str) -> None:
        """Forget volume and turnover: they are those of the session before."""
        if (told := self._told.get(key)) is not None:
            nothing = (pl.lit(None, told.schema[n]).alias(n) for n in ("volume", "turnover"))
            self._told[key] = told.with_columns(nothing)

    def counted(self, key: str, session: date, quoted: pl.DataFrame) -> pl.DataFrame:
        """Return symbol, strike and COUNTED of listed options that are not `quoted`.

        Without those that were not asked for in this session, and those without open interest.
        """
        listed, told = self._listed.get(key), self._told.get(key)
        if listed is None or told is None:
            return quoted.clear()
        told_in = session_of(pl.lit(key), pl.col("told_at"))
        self._told[key] = told = collect_few(told.lazy().filter(told_in == session))
        others = listed.filter(~listed["symbol"].is_in(quoted["symbol"].implode()))
        counts = told.lazy().filter(pl.col("open_interest") > 0).drop("told_at")
        return collect_few(others[["symbol", "strike"]].lazy().join(counts, on="symbol"))

    def to_ask(self, key: str, again: int) -> list[str]:
        """Return the symbols to ask for: those not asked for yet, the nearest to ATM first.

        If there are none, the `again` of which KIS told longest ago.
        """
        listed = self._listed.get(key, _NOTHING_LISTED)
        told = self._told.get(key, _NOTHING_TOLD)[["symbol", "told_at"]]
        asked = listed.lazy().join(told.lazy(), on="symbol", how="left")
        first = pl.when(pl.col("told_at").is_null()).then("distance")
        in_order = collect_few(asked.sort("told_at", first, "symbol", nulls_last=False))
        new = in_order["told_at"].null_count()
        return in_order["symbol"][: new or again].to_list()
