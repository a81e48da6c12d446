"""The option chain of one maturity as a snapshot: the board, and what the board leaves out.

KIS's board shows the 100 highest strikes of each side. A monthly has over 300, so the strikes
around the market are often not on it: those are quoted one by one, as many a minute as the budget
allows, the nearest to the market most often. Each row says when it was quoted.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

import polars as pl
import pyarrow as pa

from engine.clock import today
from engine.errors import KisError
from engine.expiries import last_day, maturities
from engine.fetchers.base import PriceFetcher
from engine.instruments import contract_code, option_series
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import KisClient, Priority
from engine.kis.endpoints import BoardTop, DerivativeQuote, OptionBoard
from engine.kis.master import options_like, parse_master
from engine.schemas import LEVELS, OPTION_CHAIN

log = logging.getLogger(__name__)

BOARD_ROWS = 100  # a side; a board with as many is cut
_MARGIN = 3  # strikes quoted beyond the levels, since the market moves
_TOO_OLD = timedelta(hours=1)  # a quote older than this says nothing
_LONG_AGO = datetime(1970, 1, 1)
_MASTER_AGAIN = timedelta(minutes=5)  # after a failed try to get it

_PATTERNS = {
    "symbol": r"^\s*([23BC][0-9A-Z]{8})\s*$",
    "atm_class": r"^\s*(ATM|ITM|OTM)\s*$",
}
_TEXT = {"symbol": "optn_shrn_iscd", "atm_class": "atm_cls_name"}
_WHOLE = {"volume": "acml_vol", "open_interest": "hts_otst_stpl_qty"}
_NUMBERS = {
    "iv": "hts_ints_vltl", "historical_volatility": "hist_vltl", "delta": "delta_val",
    "gamma": "gama", "vega": "vega", "theta": "theta", "rho": "rho",
    "theoretical_price": "hts_thpr",
}  # fmt: skip
_BOARD = {"strike": "acpr", "price": "optn_prpr", "bid": "optn_bidp", "ask": "optn_askp"}
_QUOTE = {"price": "futs_prpr"}


@dataclass(frozen=True)
class ChainRequest:
    """One maturity's chain at a minute. `series` is KOSPI200 …, `maturity` 202612 or YYMMWW."""

    series: str
    maturity: str
    minute: datetime
    deadline: datetime | None = None
    priority: Priority = Priority.LIVE

    @property
    def underlying_symbol(self) -> str:
        """Return the key of its matrices: 202612_KOSPI200."""
        return option_series(self.series).underlying_symbol(self.maturity)


@dataclass(frozen=True)
class Underlying:
    """What the options are on: the price, and whose it is (future:CODE, index)."""

    price: float | None
    source: str | None


class OptionChainFetcher(PriceFetcher):
    """Snapshots in OPTION_CHAIN: board (FHPIF05030100), board-top, single quotes (FHMIF10000000).

    `quotes_a_minute` bounds the calls for strikes that the board lacks, per snapshot; `levels` is
    how many strikes on each side of the market are wanted.
    """

    schema: ClassVar[pa.Schema] = OPTION_CHAIN

    def __init__(
        self, client: KisClient, *, levels: int = LEVELS, quotes_a_minute: int = 60
    ) -> None:
        super().__init__(client)
        self._reach, self._quotes_a_minute = levels + _MARGIN, quotes_a_minute
        self._quotes: dict[str, pl.DataFrame] = {}
        self._master: pl.DataFrame | None = None
        self._master_after = _LONG_AGO

    async def fetch(self, request: ChainRequest) -> pa.RecordBatch:
        """Return the snapshot; a listed strike near the market without a quote has null values.

        Raises KisError if there is no board. Without the underlying's price, or a single quote,
        the rest is returned.
        """
        board, underlying = await asyncio.gather(self._board(request), self._underlying(request))
        rest = await self._beyond_the_board(request, board, underlying.price)
        chain = pl.concat([board, rest], how="diagonal").with_columns(
            pl.lit(request.minute, pl.Datetime("us")).alias("timestamp"),
            pl.lit(request.underlying_symbol).alias("underlying_symbol"),
            _side(),
            pl.lit(underlying.price, pl.Float64).alias("underlying_price"),
            pl.lit(underlying.source, pl.String).alias("underlying_source"),
            pl.lit(self.client.clock.now(), pl.Datetime("us")).alias("fetched_at"),
        )
        return codec.to_batch(chain.sort("strike", "option_type"), self.schema)

    async def _board(self, request: ChainRequest) -> pl.DataFrame:
        question = OptionBoard(request.maturity, option_series(request.series).market_class)
        answer = await self.client.call(
            question, priority=request.priority, deadline=request.deadline, minute=request.minute
        )
        sides = [self._board_side(answer, name) for name in ("output1", "output2")]
        return pl.concat(sides).unique("symbol", keep="first", maintain_order=True)

    def _board_side(self, answer: Answer, name: str) -> pl.DataFrame:
        rows = answer.rows(name)
        marked = _numbers(rows, {**_BOARD, **_NUMBERS}, _TEXT, answer.received_at).with_columns(
            codec.first_reason(
                (pl.col("symbol").is_null(), "code cannot be read"),
                (pl.col("strike").is_null() | (pl.col("strike") <= 0), "strike cannot be read"),
            )
        )
        source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
        self._reject(codec.rejected(marked, rows, source))
        good = marked.filter(pl.col(codec.REASON).is_null())
        self.counts.update(rows=len(rows), options=len(good))
        return good.drop(codec.ROW, codec.REASON)

    async def _underlying(self, request: ChainRequest) -> Underlying:
        code = hedging_future(request.series, request.maturity)
        try:
            top = await self.client.call(
                BoardTop(code),
                priority=request.priority,
                deadline=request.deadline,
                minute=request.minute,
            )
        except KisError as error:
            log.warning("⚠️ no price of the underlying: %s", error)
            return Underlying(None, None)
        return _nearest_price(top, code)

    async def _beyond_the_board(
        self, request: ChainRequest, board: pl.DataFrame, price: float | None
    ) -> pl.DataFrame:
        """Return the listed options near the market that the board lacks, quoted where possible."""
        cut = board.group_by(pl.col("symbol").str.slice(0, 1)).len()["len"].max()
        if price is None or not isinstance(cut, int) or cut < BOARD_ROWS:
            return board.clear()
        master = await self._listed()
        if master is None:
            return board.clear()
        listed = options_like(master, board["symbol"])
        wanted = near_market(listed, price, self._reach).join(board, on="symbol", how="anti")
        known = await self._quoted(request, wanted)
        return wanted.select("symbol", "strike").join(known, on="symbol", how="left")

    async def _quoted(self, request: ChainRequest, wanted: pl.DataFrame) -> pl.DataFrame:
        """Return the last quotes of the options wanted, after asking for those most in need."""
        now, key = self.client.clock.now(), request.underlying_symbol
        known = self._quotes.get(key, _no_quotes()).filter(pl.col("quoted_at") > now - _TOO_OLD)
        symbols = most_in_need(wanted, known, now, self._quotes_a_minute)
        answers = await asyncio.gather(*(self._quote(request, symbol) for symbol in symbols))
        fresh = [_quote_row(answer) for answer in answers if answer is not None]
        quotes = pl.concat([*fresh, known]).unique("symbol", keep="first")
        self._quotes[key] = quotes
        return quotes

    async def _quote(self, request: ChainRequest, symbol: str) -> Answer | None:
        try:
            return await self.client.call(
                DerivativeQuote(symbol),
                priority=request.priority,
                deadline=request.deadline,
                minute=request.minute,
            )
        except KisError as error:
            self.counts["quotes failed"] += 1
            log.debug("no quote: %s", error)
            return None

    async def _listed(self) -> pl.DataFrame | None:
        """Return the master file, fetched once a day; None if KIS does not give it."""
        clock = self.client.clock
        if clock.now() >= self._master_after:
            try:
                self._master = parse_master(await self.client.download(self.client.master_url))
                tomorrow = today(clock) + timedelta(days=1)
                self._master_after = datetime.combine(tomorrow, datetime.min.time())
            except KisError as error:
                log.warning("⚠️ the list of strikes is missing, only the board is there: %s", error)
                self._master_after = clock.now() + _MASTER_AGAIN
        return self._master


def hedging_future(series: str, maturity: str) -> str:
    """Return the future nearest to an option's maturity: the first to expire with or after it."""
    of = option_series(series)
    last = last_day(of.name, maturity)
    months = maturities(of.future.months, beyond=True)
    month = next((m for ends, m in months if ends >= last), months[-1][1])
    return contract_code(of.future.prefix, month)


def near_market(listed: pl.DataFrame, price: float, reach: int) -> pl.DataFrame:
    """Return symbol, strike and distance (in strikes) of the options up to `reach` away."""
    grid = (
        listed.select(pl.col("strike").unique().sort())
        .with_row_index("place")
        .with_columns(pl.col("place").cast(pl.Int64))
    )
    atm = (pl.col("strike") - price).abs().arg_min().cast(pl.Int64)
    near = grid.with_columns((pl.col("place") - atm).abs().alias("distance"))
    return listed.join(near.filter(pl.col("distance") <= reach), on="strike").drop("place")


def most_in_need(wanted: pl.DataFrame, known: pl.DataFrame, now: datetime, count: int) -> list[str]:
    """Return the symbols to quote now: old quotes first, and those near the market."""
    age = (pl.lit(now) - pl.col("quoted_at")).dt.total_seconds().fill_null(10**9)
    return (
        wanted.join(known.select("symbol", "quoted_at"), on="symbol", how="left")
        .sort(age / (1 + pl.col("distance")), "symbol", descending=[True, False])
        .head(count)["symbol"]
        .to_list()
    )


def _nearest_price(top: Answer, code: str) -> Underlying:
    record = top.record("output1")
    future, index = codec.value(record, "futs_prpr"), codec.value(record, "unas_prpr")
    if future and future > 0:
        return Underlying(future, f"future:{code}")
    if index and index > 0:
        return Underlying(index, "index")
    log.warning("⚠️ KIS's board-top has no price of %s nor of its index", code)
    return Underlying(None, None)


def _numbers(
    rows: list[object], numbers: dict[str, str], text: dict[str, str], quoted_at: datetime
) -> pl.DataFrame:
    names = [*numbers.values(), *_WHOLE.values(), *text.values()]
    return codec.columns(rows, names).select(
        codec.ROW,
        *(pl.col(field).str.extract(_PATTERNS[name]).alias(name) for name, field in text.items()),
        *(codec.number(field).alias(name) for name, field in numbers.items()),
        *(codec.whole(field).alias(name) for name, field in _WHOLE.items()),
        pl.lit(quoted_at, pl.Datetime("us")).alias("quoted_at"),
    )


def _quote_row(answer: Answer) -> pl.DataFrame:
    numbers = _numbers([answer.record("output1")], {**_QUOTE, **_NUMBERS}, {}, answer.received_at)
    return numbers.with_columns(pl.lit(answer.symbol).alias("symbol")).drop(codec.ROW)


def _no_quotes() -> pl.DataFrame:
    return _quote_row(Answer("", "", {}, _LONG_AGO, _LONG_AGO)).clear()


def _side() -> pl.Expr:
    """Tell call from put by the code, whichever side of the board it stood on."""
    call = pl.col("symbol").str.contains("^[2B]")
    return pl.when(call).then(pl.lit("C")).otherwise(pl.lit("P")).alias("option_type")
