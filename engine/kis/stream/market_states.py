"""Frames of H0STMKO0: when trading of a stock, or of the whole market, stops and goes on.

A record is about the stock that is registered; what stops the market is told with each of its
stocks. It has no time of the exchange: an event's times are those of receipt, by KIS's clock as far
as answers tell it (docs/kis.md#halts). An event settles no minute (`engine.history.halts`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa

from engine.kis.stream.frames import Frame
from engine.kis.stream.plain_records import is_frame_of, plain_records, rejected_record
from engine.kis.stream.registrations import NOT_REGISTERED, StreamRegistration
from engine.schemas import MARKET_EVENTS, REJECTED_ROWS

MARKET_STATES = "H0STMKO0"
FIELDS = (
    "MKSC_SHRN_ISCD",
    "TRHT_YN",
    "TR_SUSP_REAS_CNTT",
    "MKOP_CLS_CODE",
    "ANTC_MKOP_CLS_CODE",
    "MRKT_TRTM_CLS_CODE",
    "DIVI_APP_CLS_CODE",
    "ISCD_STAT_CLS_CODE",
    "VI_CLS_CODE",
    "OVTM_VI_CLS_CODE",
    "EXCH_CLS_CODE",
)
BREAKER, HALT, VI, SIDECAR = "circuit_breaker", "halt", "vi", "sidecar"
# 164: the market is stopped. 182 and 185 end the auction with which trading goes on after 174, 175.
_BEGINS = {"164": BREAKER, "174": BREAKER, "184": BREAKER, "387": SIDECAR, "397": SIDECAR}
_ENDS = {"175": BREAKER, "182": BREAKER, "185": BREAKER, "388": SIDECAR, "398": SIDECAR}
OF_ALL = frozenset({BREAKER, SIDECAR})  # what concerns a stock's whole market
_AUCTION = timedelta(minutes=15)  # after a breaker's end; a record in that time still belongs to it


def is_state_frame(text: str) -> bool:
    """Say whether a frame is of H0STMKO0."""
    return is_frame_of(text, MARKET_STATES)


@dataclass
class _Event:
    started_at: datetime
    ended_at: datetime | None
    code: str


class MarketStates:
    """The events of a day so far. `witnesses`: code of a stock → a market that stops with it."""

    def __init__(self, witnesses: dict[str, str]) -> None:
        self._witnesses = witnesses
        self._newest: dict[tuple[str, str], _Event] = {}

    def read(
        self,
        frames: Sequence[Frame],
        registered: Collection[StreamRegistration],
        ahead: timedelta,
    ) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """Return MARKET_EVENTS that frames begin, continue or end, and REJECTED_ROWS.

        Rejected are frames that cannot be divided into records, and records of a stock that is not
        registered. `ahead` is how far our clock is ahead of KIS's. Never raises.
        """
        changed: dict[tuple[str, str, datetime], dict[str, object]] = {}
        rejected = []
        for received_at, text in frames:
            records = plain_records(text, FIELDS)
            if records is None:
                rejected.append(rejected_record(received_at, MARKET_STATES, "", "torn", text))
            for record in records or ():
                symbol = record["MKSC_SHRN_ISCD"]
                if StreamRegistration(MARKET_STATES, symbol) not in registered:
                    rejected.append(
                        rejected_record(received_at, MARKET_STATES, symbol, NOT_REGISTERED, text)
                    )
                    continue
                for name, kind, event in self._note(record, received_at - ahead):
                    changed[name, kind, event.started_at] = {
                        "symbol": name,
                        "kind": kind,
                        "started_at": event.started_at,
                        "ended_at": event.ended_at,
                        "source": MARKET_STATES,
                        "code": event.code or None,
                        "fetched_at": received_at,
                    }
        return (
            pa.RecordBatch.from_pylist(list(changed.values()), MARKET_EVENTS),
            pa.RecordBatch.from_pylist(rejected, REJECTED_ROWS),
        )

    def is_stopped(self, names: Collection[str], moment: datetime) -> bool:
        """Say whether a symbol or its market (`names`) is stopped at a moment, auction included."""
        return any(
            event.ended_at is None or moment < event.ended_at + _AUCTION
            for (name, kind), event in self._newest.items()
            if name in names and kind != SIDECAR
        )

    def _note(self, record: dict[str, str], moment: datetime) -> Iterator[tuple[str, str, _Event]]:
        """Yield name, kind and event of each event that a record begins, continues or ends."""
        symbol, code = record["MKSC_SHRN_ISCD"], record["MKOP_CLS_CODE"]
        told = [(HALT, _flag(record["TRHT_YN"])), (VI, _flag(record["VI_CLS_CODE"]))]
        told += [(_BEGINS[code], True)] if code in _BEGINS else []
        told += [(_ENDS[code], False)] if code in _ENDS else []
        for kind, is_on in told:
            if is_on is None:
                continue
            market = self._witnesses.get(symbol) if kind in OF_ALL else None
            for name in (symbol, *([market] if market else [])):
                known = self._newest.get((name, kind))
                found = _after(known, code if kind in OF_ALL else "", moment, kind, is_on=is_on)
                if found is not None and found != known:
                    self._newest[name, kind] = found
                    yield name, kind, found


def _after(
    known: _Event | None, code: str, moment: datetime, kind: str, *, is_on: bool
) -> _Event | None:
    """Return an event as it is after a record: begun, continued or ended; None without one."""
    in_auction = (
        kind == BREAKER
        and known is not None
        and known.ended_at is not None
        and moment - known.ended_at <= _AUCTION
    )
    if known is not None and (known.ended_at is None or in_auction):
        return _Event(known.started_at, None if is_on else moment, known.code)
    return _Event(moment, None, code) if is_on else known


def _flag(text: str) -> bool | None:
    """Read a flag: KIS writes Y or N, of a VI perhaps its kind, 1 to 3; None if it says nothing."""
    written = text.strip().upper()
    return True if written in {"Y", "1", "2", "3"} else False if written in {"N", "0"} else None
