"""All sources of data: a new source is a class and a line here."""

from __future__ import annotations

from engine.fetchers.base import PriceFetcher
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.fetchers.option_chain import OptionChainFetcher
from engine.fetchers.stock import StockBarFetcher

FETCHERS: dict[str, type[PriceFetcher]] = {
    "stock": StockBarFetcher,
    "deriv": DerivativeBarFetcher,
    "option_chain": OptionChainFetcher,
}
