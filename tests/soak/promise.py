"""The promise, checked after a session: what KIS serves is stored, the rest is explained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path

import polars as pl

from engine.history.queries import between_dates
from engine.market.nights import session_sql
from engine.market.sessions import Market, Session, previous_sessions
from engine.market.sessions import session as market_session
from engine.market.symbols import parse
from engine.schemas import FEED, OPTION_CHAIN, OPTION_MATRIX, OPTION_SUMMARY, OPTION_SURFACE
from engine.simulator.exchange import SimulatedExchange
from engine.store.connection import Connection
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_with_greeks,
)
from pipelines.day_plan import StreamPlan
from strategies.comparison import differences
from strategies.registry import STRATEGIES, warm_up_sessions
from tests.served import served_bars
from tests.soak import whole_market
from tests.soak.orders import KEY, SECRET
from tests.soak.plan import Season, SessionPlan

BARS = ["timestamp", "open", "high", "low", "close", "volume"]
TOKEN = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzUxMiJ9"  # how every token of the simulator begins
NAMES = {
    "futures_1m": "symbol",
    "stocks_1m": "symbol",
    "option_chain_raw": "underlying_symbol",
    "option_matrices": "underlying_symbol",
}
TEXTS = ("system_status", "rejected_rows", "gaps", "signal_corrections", "removed_bars")


@dataclass
class Found:
    """The result of a check: what is broken, what has to be looked at again, and counts."""

    broken: list[str] = field(default_factory=list)  # no later morning can mend it
    unfinished: list[str] = field(default_factory=list)  # to be mended on the next morning …
    waiting: list[str] = field(default_factory=list)  # … and this even if the day came to its end
    counts: Counter[str] = field(default_factory=Counter)
    gaps: Counter[tuple[str, str]] = field(default_factory=Counter)  # stamps by state and reason

    @property
    def all(self) -> list[str]:
        """Everything that is wrong when no later morning will mend it."""
        return [*self.broken, *self.unfinished, *self.waiting]


class Promise:
    """Checks sessions of a season against what its KIS serves."""

    _database: Connection  # open while a check is under way

    def __init__(self, season: Season, url: str) -> None:
        self._season = season
        self._url = url
        self._exchange = SimulatedExchange(season.market(), season.add_faults)

    def check(self, session: SessionPlan, after: SessionPlan | None = None) -> Found:
        """Look at all that was to be collected on the session's day.

        With `after`: the collector had died, and was started again for that later session. It
        cannot know of a symbol that the later settings do not name, if it died before it stored
        anything of it; nor were signals given if it died before the first.
        """
        found = Found()
        with closing(Connection(self._url, "soak")) as self._database:
            names = self._kept(session)
            if after:
                collected = {symbol for _, symbol in self._collected_symbols(session.day)}
                names &= collected | self._kept(after)
            for symbol, held in sessions_with_bars(session, self._compared(session)):
                if symbol in names:
                    self._bars(symbol, held, found)
            if session.sweeps_the_market:
                self._market(session, found)
            for stream in (one for one in session.plan.streams if one.code in names):
                self._stream(stream, found)
            for chain in (one for one in session.plan.chains if one.underlying_symbol in names):
                self._chain(chain.underlying_symbol, chain.session, found)
            self._check_nothing_else(session, found)
            for symbol in sorted(names & set(session.plan.futures)):
                self._signals(symbol, session.day, found, may_be_none=after is not None)
            self._check_no_secret(session.day, found)
        return found

    def _swept(self, session: SessionPlan) -> tuple[str, ...]:
        """Return the stocks whose bars a sweep of the day brings in."""
        if not session.sweeps_the_market:
            return session.plan.sweep
        return whole_market.codes_of_market(self._exchange.market, session.day)

    def _compared(self, session: SessionPlan) -> tuple[str, ...]:
        """Return the swept stocks whose bars are compared one by one."""
        swept = self._swept(session)
        if not session.sweeps_the_market:
            return swept
        return tuple(whole_market.sample(swept, self._season.seed, session.number))

    def _kept(self, session: SessionPlan) -> set[str]:
        """Return the names of all of which each minute of the session is counted."""
        with_bars = sessions_with_bars(session, self._swept(session))
        return {*session.plan.kept, *(symbol for symbol, _ in with_bars)}

    def _market(self, session: SessionPlan, found: Found) -> None:
        """Every minute of every stock is stored or explained."""
        held = market_session(Market.STOCKS, session.day)
        assert held is not None
        codes = self._swept(session)
        absent = whole_market.minutes_without_bar(self._ask, codes, held)
        found.unfinished += whole_market.what_is_broken(absent)
        found.counts["swept stocks"] += len(codes)
        found.counts["bars of swept stocks"] += len(codes) * held.stamps().len() - absent.height
        explained = absent.group_by("state", "reason").len().drop_nulls()
        for state, reason, minutes in explained.iter_rows():
            found.gaps[state, reason] += minutes

    def _bars(self, symbol: str, session: Session, found: Found) -> None:
        truth, stored = self.truth(symbol, session), self._stored_bars(symbol, session.date)
        found.counts["bars"] += stored.height
        if not stored["timestamp"].is_in(session.stamps().implode()).all():
            found.broken.append(f"{symbol}: bars are stored that the session does not expect")
        # The feed may have a bar whose row KIS serves as one that cannot be a bar, or not at all.
        possible = self.truth(symbol, session, impossible=True)
        traded = self.truth(symbol, session, traded=True)
        by_feed = pl.col("source") == FEED
        wrong = pl.concat(
            [
                stored.filter(~by_feed).join(possible, on=BARS, how="anti"),
                stored.filter(by_feed).join(traded, on=BARS, how="anti"),
            ]
        )
        if wrong.height:
            found.unfinished.append(f"{symbol}: {wrong.height} bars are not as KIS serves them")
        absent = (
            session.stamps()
            .to_frame("stamp")
            .join(stored, left_on="stamp", right_on="timestamp", how="anti")
        )
        self._check_absent(symbol, session.date, absent, truth["timestamp"], found)
        impossible = possible.join(truth, on="timestamp", how="anti")
        refused = absent.join(impossible, left_on="stamp", right_on="timestamp", how="semi")
        marks = self._marks(symbol, session.date, refused)
        silent = marks.filter(~pl.col("state").is_in(["refused", "open"]))
        if silent.height:
            found.broken.append(f"{symbol}: {silent.height} impossible rows are called no trade")

    def _check_absent(
        self, symbol: str, day: date, absent: pl.DataFrame, served: pl.Series, found: Found
    ) -> None:
        """Every stamp without a bar is in the ledger, and none of them could be had."""
        marks = self._marks(symbol, day, absent)
        silent = marks.filter(pl.col("state").is_null() | (pl.col("state") == "filled"))
        if silent.height:
            found.unfinished.append(f"{symbol}: {silent.height} stamps are missing in silence")
        if marks.filter(pl.col("reason").is_null(), pl.col("state").is_not_null()).height:
            found.broken.append(f"{symbol}: a gap has no reason")
        could_be_had = marks.filter(pl.col("stamp").is_in(served.implode()))
        given_up = could_be_had.filter(pl.col("state").is_in(["no_trade", "unavailable"]))
        if given_up.height:
            found.broken.append(
                f"{symbol}: {given_up.height} bars are given up that KIS serves:"
                f" {given_up['stamp'][0]}, {given_up['reason'][0]}"
            )
        waiting = could_be_had.filter(pl.col("state") == "open")
        if waiting.height:
            found.waiting.append(
                f"{symbol}: {waiting.height} bars are open: {waiting['reason'][0]}"
            )
        found.gaps.update(marks.select(pl.col("state", "reason").fill_null("")).iter_rows())

    def _marks(self, symbol: str, day: date, absent: pl.DataFrame) -> pl.DataFrame:
        """Return stamp, state, reason of stamps without a bar; nulls where the ledger is silent."""
        rows = self._ask(
            "SELECT first_stamp, last_stamp, state, reason, updated_at FROM gaps"
            f" WHERE symbol = '{symbol}' AND session = '{day}'"
        )
        covering = (
            absent.join_where(
                rows,
                pl.col("stamp") >= pl.col("first_stamp"),
                pl.col("stamp") <= pl.col("last_stamp"),
            )
            .sort("updated_at")
            .unique("stamp", keep="last")
        )
        return absent.join(covering.select("stamp", "state", "reason"), on="stamp", how="left")

    def _stream(self, stream: StreamPlan, found: Found) -> None:
        """Every minute of what KIS tells only once is stored or explained."""
        day, told = stream.session.date, stream.symbol
        stored = self._ask(
            f"SELECT DISTINCT timestamp AS stamp FROM {told.stream.table}"
            f" WHERE symbol = '{told.subject}' AND {between_dates(day, day)}"
        )
        found.counts["minutes told once"] += stored.height
        expected = told.expected_stamps(day).alias("stamp")
        if (
            told.stream.minutes != "auctions"
            and not stored["stamp"].is_in(expected.implode()).all()
        ):
            found.broken.append(f"{stream.code}: rows are stored that the session does not expect")
        absent = expected.to_frame().join(stored, on="stamp", how="anti")
        nothing = pl.Series([], dtype=pl.Datetime("us"))
        self._check_absent(stream.code, day, absent, nothing, found)

    def _chain(self, symbol: str, session: Session, found: Found) -> None:
        """Every snapshot is stored or explained; matrix and summary follow from it."""
        columns = ", ".join(OPTION_CHAIN.names)
        chain = self._ask(
            f"SELECT {columns} FROM option_chain_raw WHERE {_chain_of_day(symbol, session.date)}"
        )
        stamps = chain.select("timestamp").unique()
        found.counts["snapshots"] += stamps.height
        absent = (
            session.minute_grid()
            .to_frame("stamp")
            .join(stamps, left_on="stamp", right_on="timestamp", how="anti")
        )
        self._check_absent(
            symbol, session.date, absent, pl.Series([], dtype=pl.Datetime("us")), found
        )
        if chain.is_empty():
            return
        with_greeks = chain_with_greeks(chain)
        surfaces = self._ask(
            f"SELECT {', '.join(OPTION_SURFACE.names)} FROM option_surface"
            f" WHERE {_chain_of_day(symbol, session.date)}"
        )
        for table, schema, computed in (
            ("option_matrices", OPTION_MATRIX, chain_matrix(with_greeks)),
            ("option_summary", OPTION_SUMMARY, chain_summary(chain_figures(with_greeks), surfaces)),
        ):
            names = ", ".join(schema.names)
            stored = self._ask(
                f"SELECT {names} FROM {table} WHERE {_chain_of_day(symbol, session.date)}"
            )
            key = [n for n in ("timestamp", "underlying_symbol", "metric_type") if n in stored]
            same = computed.select(stored.columns).cast(dict(stored.schema))
            if not same.sort(key).equals(stored.sort(key)):
                found.unfinished.append(f"{symbol}: {table} does not follow from the chain")

    def _check_nothing_else(self, session: SessionPlan, found: Found) -> None:
        """No symbol has rows of the day but those that were to be collected, then or later."""
        later = range(
            session.number, min(session.number + warm_up_sessions() + 1, self._season.last) + 1
        )
        asked_for = {name for number in later for name in self._kept(self._season[number])}
        # A night brings in what is left of its day's sweep.
        asked_for |= {*self._kept(session), *self._swept(session)}
        for table, symbol in self._collected_symbols(session.day):
            if symbol not in asked_for:
                found.broken.append(f"{table} has rows of {symbol}, which was not asked for")

    def _collected_symbols(self, day: date) -> list[tuple[str, str]]:
        """Return table and symbol of all that has rows of the day."""
        return [
            (table, symbol)
            for table, name in NAMES.items()
            for symbol in self._ask(
                f"SELECT DISTINCT {name} AS name FROM {table} WHERE {between_dates(day, day)}"
            )["name"]
        ]

    def _signals(self, symbol: str, day: date, found: Found, *, may_be_none: bool = False) -> None:
        """The signals of the day are those that the strategies give for the stored bars."""
        earlier = previous_sessions(Market.DERIVATIVES, day, warm_up_sessions())
        bars = self._ask(
            f"SELECT symbol, {', '.join(BARS)} FROM futures_1m"
            f" WHERE symbol = '{symbol}' AND {between_dates(earlier[0], day)}"
        )
        midnight = datetime.combine(day, time())
        for strategy in STRATEGIES.values():
            rows = strategy.evaluate(bars.lazy(), strategy.params()).collect()
            computed = rows.filter(pl.col("timestamp") >= midnight)
            stored = (
                self._ask(
                    f"SELECT {', '.join(computed.columns)} FROM {strategy.table}"
                    f" WHERE symbol = '{symbol}' AND {between_dates(day, day)}"
                )
                if self._is_there(strategy.table)
                else computed.clear()
            )
            found.counts["signals"] += stored.height
            if may_be_none and stored.is_empty():
                continue
            if (differing := differences(computed, stored)).height:
                states = dict(differing["state"].value_counts().iter_rows())
                found.unfinished.append(f"{symbol}: signals of {strategy.name}: {states}")

    def _check_no_secret(self, day: date, found: Found) -> None:
        for table in TEXTS:
            alike = " OR ".join(f"t::text LIKE '%{word}%'" for word in (KEY, SECRET, TOKEN))
            of_day = f"session = '{day}' AND " if table == "gaps" else ""
            if self._ask(f"SELECT count(*) AS n FROM {table} t WHERE {of_day}({alike})").item():
                found.broken.append(f"a secret stands in {table}")

    def truth(
        self, symbol: str, session: Session, *, impossible: bool = False, traded: bool = False
    ) -> pl.DataFrame:
        """Return the bars of a session as its KIS serves them in the end, stamped.

        With `impossible` also those of the market whose row at KIS cannot be a bar; with `traded`
        all of the market.
        """
        bars = served_bars(
            self._exchange,
            symbol,
            session.date,
            night=session.market is Market.NIGHT,
            impossible=impossible,
            traded=traded,
        )
        stamped = bars.with_columns(timestamp=session.stamp_of_label(pl.col("label")))
        return stamped.select(BARS).sort("timestamp")

    def _stored_bars(self, symbol: str, day: date) -> pl.DataFrame:
        return self._ask(
            f"SELECT {', '.join(BARS)}, source FROM {parse(symbol).table}"
            f" WHERE symbol = '{symbol}' AND {session_sql(parse(symbol).table)} = '{day}'"
            " ORDER BY timestamp"
        )

    def _is_there(self, table: str) -> bool:
        return self._ask(f"SELECT to_regclass('{table}')::text AS name")["name"][0] is not None

    def _ask(self, sql: str) -> pl.DataFrame:
        return pl.DataFrame(self._database.query(sql))


def sessions_with_bars(session: SessionPlan, swept: Sequence[str]) -> list[tuple[str, Session]]:
    """Return what bars are stored of, with its session: by day the swept stocks, too."""
    swept = () if session.night else swept
    held = [(code, parse(code).session(session.day)) for code in swept]
    return [
        *((bars.symbol, bars.session) for bars in session.plan.bars),
        *((code, found) for code, found in held if found),
    ]


def _chain_of_day(symbol: str, day: date) -> str:
    return f"underlying_symbol = '{symbol}' AND {between_dates(day, day)}"


def left_behind(folder: Path, logs: list[Path]) -> Iterator[str]:
    """Yield what is wrong with the files of a collector that has come to a session's end."""
    spool = folder / "live" / "spool"
    for why in ("refused", "damaged"):
        for path in (spool / why).glob("*"):
            yield f"{path.name} is {why}"
    words = [word.encode() for word in (KEY, SECRET, TOKEN)]
    tokens = folder / "live" / "kis"  # whose tokens are meant to be there, for the owner alone
    files = [*folder.rglob("*"), *logs]
    for path in files:
        if path.is_file() and tokens not in path.parents:
            content = path.read_bytes()
            if any(word in content for word in words):
                yield f"a secret stands in {path.name}"
            if path.suffix in (".log", ".err") and b"Traceback" in content:
                yield f"a traceback stands in {path.name}"


def is_spooled(folder: Path) -> bool:
    """Say whether batches wait for the database."""
    return any((folder / "live" / "spool").glob("*.arrow"))
