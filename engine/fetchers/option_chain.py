"""The option chain of one maturity as a snapshot: the board, and what the board leaves out.

KIS's board shows the 100 highest strikes of each side (docs/kis.md#option-board). A monthly has
over 300, so the strikes around the market are often not on it: those are quoted one by one, as many
a minute as the budget allows, the nearest to the market most often. Options that the feed has just
quoted need no such call. `quoted_at` of a row is when it was quoted, `quote_source` by what.

All other listed options are asked for once, when there is time (`count_others`). For these a
snapshot has the sums of the day as they were then (COUNTED: volume, turnover, open interest) and no
price: if a sum over a chain had only the quoted options, it would jump each time the market comes
nearer to a strike.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import ClassVar

import polars as pl
import pyarrow as pa

from engine.clock import today
from engine.errors import KisError
from engine.features.chain import is_stale_price
from engine.fetchers import chain_rows
from engine.fetchers.base import PriceFetcher
from engine.fetchers.newest_quotes import FEED_QUOTES, fresh_symbols, with_newest
from engine.fetchers.other_options import OtherOptions
from engine.fetchers.price_age import PriceAges
from engine.fetchers.strikes import carried, hedging_future, most_in_need, with_distance
from engine.few_rows import collect_few
from engine.kis import codec
from engine.kis.answer import Answer
from engine.kis.client import KisClient, Priority
from engine.kis.endpoints.options import BoardTop, DerivativeQuote, OptionBoard
from engine.kis.endpoints.request import Request
from engine.kis.master import options_like, parse_master
from engine.market.expiries import last_day
from engine.market.nights import HALF_DAY
from engine.market.products import option_series
from engine.market.symbols import night_chain, option_chain, parse
from engine.schemas import LEVELS, OPTION_CHAIN, conform

log = logging.getLogger(__name__)

_SIDES = ("output1", "output2")  # of a board
BOARD_ROWS = 100  # a side; a board with as many is cut
_TOO_OLD = timedelta(hours=1)  # an older quote is not used
_TO_SPARE = timedelta(seconds=5)  # between the last quote and the deadline of the snapshot
_RETRIES = 2  # of a call whose answer has no content
_LONG_AGO = datetime(1970, 1, 1)
_MASTER_RETRY = timedelta(minutes=1)
_QUOTES = 60  # a minute and chain, at most
_AGAIN = 2  # other options a minute that are counted again: 400 of them take three hours
_AT_ONCE = 10  # calls for other options
CALLS_A_MINUTE = _QUOTES + 2  # of a chain at most: with the board and the price of the underlying


@dataclass(frozen=True)
class ChainRequest:
    """One maturity's chain at a minute. `series` is KOSPI200 …, `maturity` 202612 or YYMMWW.

    `feed_quotes` returns what the feed has by now (FEED_QUOTES). `night` asks for the night's.
    """

    series: str
    maturity: str
    minute: datetime
    deadline: datetime | None = None
    priority: Priority = Priority.CHAINS
    feed_quotes: Callable[[], pl.DataFrame] = field(default=FEED_QUOTES.to_frame, compare=False)
    night: bool = False

    @property
    def underlying_symbol(self) -> str:
        """Return the key of its matrices: 202612_KOSPI200, of a night 202612_KOSPI200_NIGHT."""
        chain = option_chain(option_series(self.series), self.maturity)
        return night_chain(chain).code if self.night else chain.code


@dataclass(frozen=True)
class Underlying:
    """The price of the future or the index, index points, and its source (future:CODE, index).

    `index` is the price of the index itself, where KIS tells it; `answer` is where they are from.
    """

    price: float | None
    source: str | None
    index: float | None = None
    answer: Answer | None = None


class OptionChainFetcher(PriceFetcher):
    """Snapshots in OPTION_CHAIN: board (FHPIF05030100), board-top, single quotes (FHMIF10000000).

    `quotes_a_minute` bounds the calls for strikes that the board lacks, per snapshot.
    """

    schema: ClassVar[pa.Schema] = OPTION_CHAIN
    quote_market: ClassVar[str] = "O"  # of the single quotes
    reach: ClassVar[int] = LEVELS + 3  # strikes quoted on each side: beyond the levels, as it moves

    def __init__(self, client: KisClient, *, quotes_a_minute: int = _QUOTES) -> None:
        super().__init__(client)
        self._quotes_a_minute = quotes_a_minute
        self._quotes: dict[str, pl.DataFrame] = {}
        self._others = OtherOptions()
        self._last_forward: dict[str, float] = {}
        self._ages = PriceAges()
        self._master: pl.DataFrame | None = None
        # By chain: the master, the codes of the board, and what `_listed` returns for these.
        self._known: dict[str, tuple[pl.DataFrame, pl.Series, pl.DataFrame]] = {}
        self._master_after = _LONG_AGO

    async def fetch(self, request: ChainRequest) -> pa.RecordBatch:
        """Return the snapshot; a listed strike near the market without a quote has null values.

        If the underlying's price or a single quote is missing, the rest is returned. Raises
        KisError if there is no board, or no session by KIS's clock.
        """
        board_answer, underlying = await asyncio.gather(
            self._fetch_board(request), self._fetch_underlying(request)
        )
        minute = self._minute_of(request, board_answer, underlying.answer)
        board, is_cut = self._read_board(board_answer)
        rest = await self._beyond_the_board(request, board) if is_cut else board.clear()
        quoted = with_newest(pl.concat([board, rest], how="diagonal"), request.feed_quotes())
        others = self._others.counted(request.underlying_symbol, _session_day(request), quoted)
        options = pl.concat([quoted, others], how="diagonal").lazy()
        chain = options.with_columns(
            pl.lit(minute, pl.Datetime("us")).alias("timestamp"),
            pl.lit(request.underlying_symbol).alias("underlying_symbol"),
            chain_rows.option_type(),
            pl.lit(underlying.price, pl.Float64).alias("underlying_price"),
            pl.lit(underlying.source, pl.String).alias("underlying_source"),
            pl.lit(underlying.index, pl.Float64).alias("index_price"),
            pl.lit(self.client.clock.now(), pl.Datetime("us")).alias("fetched_at"),
            is_stale_price().alias("stale_price"),
        )
        in_order = collect_few(chain.sort("strike", "option_type"))
        aged = self._ages.with_price_since(request.underlying_symbol, in_order)
        return conform(aged, self.schema)

    def recall_prices(self, underlying_symbol: str, stored: pl.DataFrame) -> None:
        """Learn the age of prices from the last snapshot that an earlier run of the day stored."""
        self._ages.recall(underlying_symbol, stored)
        self._others.recall(underlying_symbol, stored)

    async def count_others(self, request: ChainRequest) -> None:
        """Ask for the sums of the day of listed options that the snapshot does not quote.

        To be called after `fetch`. Until shortly before the deadline it asks for options not asked
        for today, those near the market first, and if there are none for a few that were asked for
        longest ago. Ends after a call that fails.
        """
        symbols = self._others.to_ask(request.underlying_symbol, _AGAIN)
        for first in range(0, len(symbols), _AT_ONCE):
            if request.deadline and self.client.clock.now() > request.deadline - 2 * _TO_SPARE:
                break
            some = symbols[first : first + _AT_ONCE]
            answers = await asyncio.gather(*(self._ask_for_counts(request, s) for s in some))
            told = chain_rows.read_quotes([answer for answer in answers if answer is not None])
            self._others.note(request.underlying_symbol, told)
            if len(told) < len(some):
                break

    async def count_before_open(self, request: ChainRequest) -> None:
        """Ask for the open interest of listed options before the first snapshot of a day.

        The first snapshot then has it already. Before the open KIS still tells the volume of the
        day before, so only open interest is kept. If there is no board or no price of the
        underlying, nothing is asked and the first snapshots have fewer options.
        """
        try:
            answer, _ = await asyncio.gather(
                self._fetch_board(request), self._fetch_underlying(request)
            )
            master = await self._fetch_master()
        except KisError as error:
            log.debug("open interest before the open: %s", error)
            return
        key = request.underlying_symbol
        forward = self._last_forward.get(key)
        board, is_cut = self._read_board(answer)
        if not is_cut or master is None or forward is None:
            return
        self._others.note_listed(key, self._not_on_board(request, board, master, forward))
        self._others.note(key, board)  # today's may show other strikes
        await self.count_others(request)
        self._others.forget_volumes(key)

    async def _ask_for_counts(self, request: ChainRequest, symbol: str) -> Answer | None:
        """Return the quote, whether or not it has a price; None if the call failed."""
        try:
            return await self.client.call(
                DerivativeQuote(symbol, self.quote_market),
                priority=Priority.OTHERS,
                deadline=request.deadline,
                minute=request.minute,
            )
        except KisError as error:
            self.counts["quotes failed"] += 1
            log.debug("no count: %s", error)
            return None

    def _minute_of(self, request: ChainRequest, *answers: Answer | None) -> datetime:
        """Return the minute of the snapshot by KIS's clock. Raises KisUnreachable."""
        symbol = request.underlying_symbol
        session = parse(symbol).session(_session_day(request))
        span = (session.opens, session.last_stamp) if session else None
        return self.minute_by_kis(request.minute, span, symbol, *filter(None, answers))

    async def _fetch_board(self, request: ChainRequest) -> Answer | None:
        """Return the answer about the board; None for a chain that has no board."""
        question = OptionBoard(request.maturity, option_series(request.series).market_class)
        return await self._ask(question, request, lambda a: all(map(a.rows, _SIDES)))

    def _read_board(self, answer: Answer | None) -> tuple[pl.DataFrame, bool]:
        """Return the options of the board, and whether strikes are missing on a side of it."""
        if answer is None:
            nothing = chain_rows.read_board([], self.client.clock.now())
            return nothing.drop(codec.ROW, codec.REASON), True
        sides = [answer.rows(side) for side in _SIDES]
        rows = [row for side in sides for row in side]
        options = chain_rows.read_board(rows, answer.received_at)
        if (rejected := len(rows) - options[codec.REASON].null_count()) > 0:
            source = codec.Source(answer.tr_id, answer.symbol, answer.received_at)
            self._reject(codec.rejected_rows(options, rows, source))
            options = options.filter(pl.col(codec.REASON).is_null())
        self.counts.update(rows=len(rows), options=len(rows) - rejected)
        known = options.drop(codec.ROW, codec.REASON)
        is_cut = max(map(len, sides)) >= BOARD_ROWS
        return known.unique("symbol", keep="first", maintain_order=True), is_cut

    async def _fetch_underlying(self, request: ChainRequest) -> Underlying:
        code, expiry = hedging_future(request.series, request.maturity)
        try:
            top = await self._ask(BoardTop(code), request, lambda a: _prices(a) != (None, None))
        except KisError as error:
            log.warning("⚠️ no price of the underlying: %s", error)
            return Underlying(None, None)
        future, index = _prices(top)
        price, source = (future, f"future:{code}") if future else (index, "index")
        if price is None:
            log.warning("⚠️ KIS has no price of %s nor of its index", code)
            return Underlying(None, None)
        self._note_forward(request, price, expiry if future else request.minute.date())
        return Underlying(price, source, index, top)

    def _note_forward(self, request: ChainRequest, price: float, delivery: date) -> None:
        """Remember where ATM is: a price for delivery on a day, carried to the options' expiry."""
        own_expiry = last_day(option_series(request.series).name, request.maturity)
        self._last_forward[request.underlying_symbol] = carried(price, delivery, own_expiry)

    async def _beyond_the_board(self, request: ChainRequest, board: pl.DataFrame) -> pl.DataFrame:
        """Return the listed options near the market that the board lacks, quoted where possible."""
        forward = self._last_forward.get(request.underlying_symbol)
        if forward is None:
            return board.clear()
        master = await self._fetch_master()
        if master is None:
            return board.clear()
        beyond = self._not_on_board(request, board, master, forward)
        is_near = beyond["distance"] <= self.reach
        wanted = beyond.filter(is_near)
        self._others.note_listed(request.underlying_symbol, beyond.filter(~is_near))
        quotes = await self._fetch_quotes(request, wanted)
        return wanted[["symbol", "strike"]].join(quotes, on="symbol", how="left")

    def _not_on_board(
        self, request: ChainRequest, board: pl.DataFrame, master: pl.DataFrame, forward: float
    ) -> pl.DataFrame:
        """Return symbol, strike and distance from ATM of listed options that the board lacks."""
        key, codes = request.underlying_symbol, board["symbol"]
        known = self._known.get(key)
        if known is None or known[0] is not master or not known[1].equals(codes):
            known = self._known[key] = master, codes, self._listed(request, board, master)
        listed = with_distance(known[2], forward)
        return listed.filter(~listed["symbol"].is_in(codes.implode()))

    def _listed(
        self,
        request: ChainRequest,  # noqa: ARG002 - of a day the board says what is listed
        board: pl.DataFrame,
        master: pl.DataFrame,
    ) -> pl.DataFrame:
        """Return symbol and strike of all listed options of the chain."""
        return options_like(master, board["symbol"])

    async def _fetch_quotes(self, request: ChainRequest, wanted: pl.DataFrame) -> pl.DataFrame:
        """Return the last quotes of the options wanted, after asking for those most in need of one.

        Options that the feed has just quoted are not asked for.
        """
        now = self.client.clock.now()
        key = request.underlying_symbol
        kept = self._quotes[key] if key in self._quotes else chain_rows.read_quotes([])
        kept = kept.filter(kept["quoted_at"] > now - _TOO_OLD)
        fed = fresh_symbols(request.feed_quotes(), now)
        asked = wanted.filter(~wanted["symbol"].is_in(fed.implode())) if len(fed) else wanted
        symbols = most_in_need(asked, kept, now, self._quotes_a_minute)
        answers = await asyncio.gather(*(self._fetch_quote(request, s) for s in symbols))
        fresh = chain_rows.read_quotes([answer for answer in answers if answer is not None])
        self._others.note(key, fresh)
        both = pl.concat([fresh.lazy(), kept.lazy()]).unique("symbol", keep="first")
        self._quotes[key] = collect_few(both)
        return self._quotes[key]

    async def _fetch_quote(self, request: ChainRequest, symbol: str) -> Answer | None:
        """Return the quote; None if KIS gives none, so that the quote before stays in use."""
        try:
            answer = await self._ask(
                DerivativeQuote(symbol, self.quote_market), request, has_price, _TO_SPARE
            )
        except KisError as error:
            self.counts["quotes failed"] += 1
            log.debug("no quote: %s", error)
            return None
        return answer if has_price(answer) else None

    async def _ask(
        self,
        question: Request,
        request: ChainRequest,
        enough: Callable[[Answer], bool],
        to_spare: timedelta = timedelta(0),
    ) -> Answer:
        """Ask; ask again if a good answer is not `enough`: KIS's are empty at times."""
        deadline = request.deadline and request.deadline - to_spare
        for _ in range(1 + _RETRIES):
            answer = await self.client.call(
                question, priority=request.priority, deadline=deadline, minute=request.minute
            )
            if enough(answer):
                break
            self.counts["empty answers"] += 1
        return answer

    async def _fetch_master(self) -> pl.DataFrame | None:
        """Return the master file, fetched once a day; None if KIS has not given it yet."""
        clock = self.client.clock
        if clock.now() >= self._master_after:
            self._master_after = clock.now() + _MASTER_RETRY
            try:
                self._master = parse_master(await self.client.download(self.client.master_url))
            except KisError as error:
                log.warning("⚠️ the list of strikes is missing, only the board is there: %s", error)
                return self._master
            tomorrow = today(clock) + timedelta(days=1)
            self._master_after = datetime.combine(tomorrow, datetime.min.time())
        return self._master


def _session_day(request: ChainRequest) -> date:
    """Return the day on which the session of the request began."""
    return (request.minute - HALF_DAY if request.night else request.minute).date()


def _prices(top: Answer) -> tuple[float | None, float | None]:
    """Return the prices of future and index in a board-top; None where it has none."""
    record = top.record("output1")
    future, index = (codec.value(record, field) for field in ("futs_prpr", "unas_prpr"))
    return future if future and future > 0 else None, index if index and index > 0 else None


def has_price(quote: Answer) -> bool:
    """Say whether a single quote has a last price."""
    return codec.value(quote.record("output1"), "futs_prpr") is not None
