"""What is collected: the subscriptions of a day, as a user names them.

`DataFeedBuilder`, the settings and the command line all end in a `Feed`; `plan` turns it into the
contracts and sessions of a date. `pipelines.day.live.run` collects it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from engine.clock import Clock, today
from engine.errors import InputError
from engine.market import expiries, instruments, sessions
from engine.settings import Settings


@dataclass(frozen=True)
class ChainChoice:
    """An option chain: a series and a maturity (YYYYMM, YYMMWW for a weekly, or `front`)."""

    series: str = "KOSPI200"
    maturity: str = "front"

    @classmethod
    def parse(cls, text: str) -> ChainChoice:
        """Read `front`, `202612`, `KOSPI200`, or `KOSPI200:202612`. Raises InputError."""
        series, _, maturity = text.rpartition(":")
        if not series and not (maturity == "front" or maturity.isdigit()):
            series, maturity = maturity, "front"
        known = instruments.option_series(series or "KOSPI200")  # refused now, not at 08:45
        if maturity != "front":
            expiries.nominal_expiry(known.name, maturity)
        return cls(known.name, maturity)


@dataclass(frozen=True)
class Feed:
    """Stocks by code, futures by code or product (its front month is meant), option chains."""

    stocks: tuple[str, ...] = ()
    futures: tuple[str, ...] = ()
    option_chains: tuple[ChainChoice, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.stocks or self.futures or self.option_chains)


class DataFeedBuilder:
    """Says in Python what is collected: `DataFeedBuilder().add_deriv("A01").build()`."""

    def __init__(self) -> None:
        self._feed = Feed()

    def add_stock(self, symbol: str) -> DataFeedBuilder:
        """Collect the minute bars of a stock, e.g. `005930`. Raises InputError."""
        code = instruments.validate_symbol(symbol)
        if not instruments.is_stock(code):
            raise InputError(f"{symbol} is not a stock code; those have six characters: 005930")
        self._feed = replace(self._feed, stocks=(*self._feed.stocks, code))
        return self

    def add_deriv(self, symbol: str) -> DataFeedBuilder:
        """Collect the minute bars of a futures code (`A01612`) or a product's front month (`A01`).

        Raises InputError.
        """
        if instruments.product(symbol).kind != "future":
            raise InputError(f"{symbol} is not a futures code or product; try A01 or A01612")
        self._feed = replace(self._feed, futures=(*self._feed.futures, symbol))
        return self

    def add_option_chain(
        self, maturity: str = "front", series: str = "KOSPI200"
    ) -> DataFeedBuilder:
        """Collect the option chain of a series and maturity each minute. Raises InputError."""
        choice = ChainChoice.parse(f"{series}:{maturity}")
        self._feed = replace(self._feed, option_chains=(*self._feed.option_chains, choice))
        return self

    def build(self) -> Feed:
        """Return what was asked for. Raises InputError if that is nothing."""
        if not self._feed:
            raise InputError("nothing to collect: add a stock, a future or an option chain")
        return self._feed


@dataclass(frozen=True)
class BarPlan:
    """One symbol whose bars are collected on a date."""

    symbol: str
    session: sessions.Session

    @property
    def source(self) -> str:
        """The fetcher that brings its bars."""
        return "stock" if instruments.is_stock(self.symbol) else "deriv"

    @property
    def table(self) -> str:
        """The table that its bars belong to."""
        return "stocks_1m" if self.source == "stock" else "futures_1m"


@dataclass(frozen=True)
class ChainPlan:
    """One option chain that is collected on a date."""

    series: str
    maturity: str
    session: sessions.Session

    @property
    def underlying_symbol(self) -> str:
        """The name of the chain in every table, e.g. `202612_KOSPI200`."""
        return f"{self.maturity}_{self.series}"


@dataclass(frozen=True)
class DayPlan:
    """Everything that is collected on a date, with the contracts of that date."""

    day: date
    bars: tuple[BarPlan, ...] = ()
    chains: tuple[ChainPlan, ...] = ()
    skipped: tuple[str, ...] = field(default=())  # what has no session on that date

    @property
    def sessions(self) -> list[sessions.Session]:
        """The sessions of all subscriptions."""
        return [*(bars.session for bars in self.bars), *(chain.session for chain in self.chains)]

    @property
    def names(self) -> list[str]:
        """What is collected, by name."""
        symbols = [subscription.symbol for subscription in self.bars]
        return [*symbols, *(chain.underlying_symbol for chain in self.chains)]

    @property
    def futures(self) -> list[str]:
        """The futures contracts collected, the strategy's symbols among them."""
        return [bar.symbol for bar in self.bars if bar.table == "futures_1m"]


def _contract(symbol: str, day: date) -> str:
    is_product = len(symbol) == len("A01")
    return instruments.front_month(symbol, day) if is_product else symbol


def plan(feed: Feed, day: date) -> DayPlan:
    """Resolve front months and sessions for a date. Raises CalendarRangeError, InputError."""
    symbols = dict.fromkeys([*(_contract(code, day) for code in feed.futures), *feed.stocks])
    dated = {symbol: sessions.session_of(symbol, day) for symbol in symbols}
    chains = dict.fromkeys(_chain(choice, day) for choice in feed.option_chains)
    return DayPlan(
        day,
        tuple(BarPlan(symbol, session) for symbol, session in dated.items() if session),
        tuple(chain for chain in chains if isinstance(chain, ChainPlan)),
        tuple(
            [symbol for symbol, session in dated.items() if not session]
            + [chain for chain in chains if isinstance(chain, str)]
        ),
    )


def _chain(choice: ChainChoice, day: date) -> ChainPlan | str:
    maturity = choice.maturity
    if maturity == "front":
        maturity = instruments.front_maturity(choice.series, day)
    last = expiries.last_day(choice.series, maturity)
    session = sessions.session(sessions.Market.DERIVATIVES, day, expiring=day == last)
    if session is None or day > last:
        return f"{maturity}_{choice.series}"
    return ChainPlan(choice.series, maturity, session)


def configured_feed(settings: Settings) -> Feed:
    """Return what the settings say is collected. Raises InputError."""
    chains = tuple(ChainChoice.parse(text) for text in settings.option_chains)
    return Feed(settings.stocks, settings.futures, chains)


def next_plan(feed: Feed, clock: Clock) -> DayPlan:
    """Return the plan of the session that is on or comes next. Raises CalendarRangeError."""
    day = today(clock)
    while True:
        found = plan(feed, day)
        if any(session.sealed_at > clock.now() for session in found.sessions):
            return found
        day += timedelta(days=1)
