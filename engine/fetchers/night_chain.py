"""The option chain of one maturity at night, when KIS refuses boards: a call for every option.

ATM and 20 strikes on each side are 82 options, so 82 calls and one for the future. At 5 calls a
second two chains take 34 seconds of each minute. If the pace does not suffice, options near the
market and those with old quotes are asked for first, and the others keep the quotes they have.
"""

from __future__ import annotations

import logging
from typing import ClassVar

import polars as pl

from engine.errors import KisError
from engine.fetchers.option_chain import ChainRequest, OptionChainFetcher, Underlying, has_price
from engine.fetchers.strikes import hedging_future
from engine.kis import codec
from engine.kis.client import KisClient
from engine.kis.endpoints.options import DerivativeQuote
from engine.kis.master import options_of
from engine.market.products import option_series

log = logging.getLogger(__name__)

REACH = 20  # strikes on each side of the money
QUOTES_A_MINUTE = 2 * (2 * REACH + 1)
CALLS_A_MINUTE = QUOTES_A_MINUTE + 1  # of a chain at most: with the price of the future


class NightChainFetcher(OptionChainFetcher):
    """Snapshots of a night in OPTION_CHAIN, by single quotes (FHMIF10000000: EU, the future CM).

    They have no bid and ask: KIS shows none at night.
    """

    quote_market: ClassVar[str] = "EU"
    reach: ClassVar[int] = REACH

    def __init__(self, client: KisClient) -> None:
        super().__init__(client, quotes_a_minute=QUOTES_A_MINUTE)

    async def _fetch_board(self, request: ChainRequest) -> None:
        """Ask for no board: every option is quoted by a call of its own."""

    async def _fetch_underlying(self, request: ChainRequest) -> Underlying:
        """Return the price of the night's future that hedges the chain."""
        code, expiry = hedging_future(request.series, request.maturity)
        try:
            quote = await self._ask(DerivativeQuote(code, "CM"), request, has_price)
        except KisError as error:
            log.warning("⚠️ no price of the night's future: %s", error)
            return Underlying(None, None)
        price = codec.value(quote.record("output1"), "futs_prpr")
        if price is None or price <= 0:
            log.warning("⚠️ KIS has no price of %s at night", code)
            return Underlying(None, None)
        self._note_forward(request, price, expiry)
        return Underlying(price, f"future:{code}", answer=quote)

    def _listed(
        self,
        request: ChainRequest,
        board: pl.DataFrame,  # noqa: ARG002 - nights have no board
        master: pl.DataFrame,
    ) -> pl.DataFrame:
        return options_of(master, option_series(request.series), request.maturity)
