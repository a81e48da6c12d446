"""Minute bars of futures and options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import ClassVar

import pyarrow as pa

from engine.fetchers.bar_rules import Fields
from engine.fetchers.bars import BarFetcher
from engine.fetchers.base import BarRequest
from engine.fetchers.futures_state import read_state
from engine.fetchers.price_limits import ShownLimits, read_limits
from engine.kis.answer import Answer
from engine.kis.client import KisClient
from engine.kis.endpoints.bars import DerivativeMinutes
from engine.kis.skew import wrong_clock
from engine.market.symbols import Contract, Night, Option, parse
from engine.schemas import FUTURES_BARS

WRONG_CLOCK = "no state of a minute's end: this machine's clock is wrong"
MARKET_CODES: dict[type, str] = {Contract: "F", Option: "O", Night: "CM"}  # FID_COND_MRKT_DIV_CODE


class DerivativeBarFetcher(BarFetcher):
    """Bars of a futures or option code in FUTURES_BARS, 102 a call (FHKIF03020200)."""

    schema: ClassVar[pa.Schema] = FUTURES_BARS
    fields: ClassVar[Fields] = Fields("futs_oprc", "futs_hgpr", "futs_lwpr", "futs_prpr")
    # KRX lets an index future trade within about 1 % of its last price (the real-time price limit),
    # so a bar that stands 5 % away from those around it has to be given twice. An option may double
    # within a minute.
    max_price_ratio: ClassVar[Mapping[type, float]] = {Contract: 1.05, Night: 1.05}

    def __init__(self, client: KisClient) -> None:
        super().__init__(client)
        self._states: dict[str, pa.RecordBatch] = {}
        self._last_states: dict[str, datetime] = {}
        self._limits: dict[str, ShownLimits] = {}

    def _keep_state(self, answer: Answer, stamp: datetime) -> None:
        """Keep a contract's state at a minute's end: what the first answer after it says.

        It has no time of its own. While our clock is off by minutes we cannot ask right after a
        minute of KIS's has ended, so the state says nothing about its end and is kept as rejected.
        """
        symbol = answer.symbol
        if self._last_states.get(symbol) == stamp or not isinstance(parse(symbol), Contract):
            return
        if limits := read_limits(answer, symbol):
            # as_of is the earlier of both clocks
            told_at = limits.told_at - min(self.client.ahead, timedelta())
            self._limits[symbol] = replace(limits, told_at=told_at)
        state = read_state(answer, stamp)
        if not state.num_rows:
            return
        self._last_states[symbol] = stamp
        if wrong_clock(self.client.ahead):
            self._keep_undated(symbol, answer, answer.record("output1"), WRONG_CLOCK)
            return
        self._states[symbol] = state

    def take_state(self, symbol: str) -> pa.RecordBatch | None:
        """Return a contract's state (FUTURES_STATE) that has come since the last call, if any."""
        return self._states.pop(symbol, None)

    def take_limits(self, symbol: str) -> ShownLimits | None:
        """Return the price limits of a contract that have come since the last call, if any."""
        return self._limits.pop(symbol, None)

    def _question(self, request: BarRequest, newest: datetime, today: date) -> DerivativeMinutes:
        session = request.session
        found = parse(request.symbol)
        return DerivativeMinutes(
            symbol=request.symbol,
            day=session.date,
            label=hour_of(newest, session.date),
            market=MARKET_CODES[type(found)],
            past=session.date != today,
            code=found.contract.code if isinstance(found, Night) else "",
        )


def hour_of(label: datetime, day: date) -> str:
    """Write a label as KIS's hour, which goes on past 24 for a session that began on `day`."""
    since_midnight = label - datetime.combine(day, datetime.min.time())
    minutes = since_midnight // timedelta(minutes=1)
    return f"{minutes // 60:02d}{minutes % 60:02d}00"
