"""All sources of data: a new source is a class and a line here."""

from __future__ import annotations

from engine.fetchers.auctions import AuctionFetcher
from engine.fetchers.base import PriceFetcher
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.night_chain import NightChainFetcher
from engine.fetchers.option_chain import OptionChainFetcher
from engine.fetchers.stock import StockBarFetcher, VenueBarFetcher
from engine.fetchers.told_once import FlowsFetcher, IndexFetcher, ProgrammeFetcher, StreamFetcher

FETCHERS: dict[str, type[PriceFetcher]] = {
    "stock": StockBarFetcher,
    "venue": VenueBarFetcher,
    "deriv": DerivativeBarFetcher,
    "option_chain": OptionChainFetcher,
    "night_chain": NightChainFetcher,
}
# What is told once, by the name of its stream; the state of futures comes with their bars.
STREAM_FETCHERS: dict[str, type[StreamFetcher]] = {
    "flows": FlowsFetcher,
    "programme": ProgrammeFetcher,
    "index": IndexFetcher,
    "auctions": AuctionFetcher,
}
