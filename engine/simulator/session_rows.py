"""A symbol's session, written out once as the rows that KIS sends.

A simulated day makes tens of thousands of calls, so nothing is formatted twice: a finished bar is
bytes from the start, and an answer joins a slice of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime

import polars as pl

from engine.columns import PRICES
from engine.market.sessions import Session
from engine.market.symbols import Stock
from engine.simulator.kis_format import exact_text, hour_text, json_rows
from engine.simulator.market.data import instrument, minute_starts
from engine.simulator.market.trades import turnover_of_bars
from engine.simulator.partial_bar import FinishedBar, idle_bar, krw_in_unit, running_bar

FUTURES_ROW = {"close": "futs_prpr", "open": "futs_oprc", "high": "futs_hgpr", "low": "futs_lwpr"}
STOCK_ROW = {"close": "stck_prpr", "open": "stck_oprc", "high": "stck_hgpr", "low": "stck_lwpr"}
FOREVER = datetime(9999, 12, 31)


@dataclass(frozen=True)
class BarFault:
    """What a scenario does to one bar.

    It is served only from `shown_from` on (None: never), and until `wrong_until` as `wrong_row`
    (FOREVER: for good).
    """

    shown_from: datetime | None = None
    wrong_row: bytes | None = None
    wrong_until: datetime | None = None


@dataclass(frozen=True)
class SessionRows:
    """One session of one symbol. Lists are parallel, oldest bar first."""

    symbol: str
    session: Session
    bars: pl.DataFrame  # BARS of engine.simulator.market.data
    labels: list[datetime]
    ends: list[datetime]  # when each bar is finished
    rows: list[bytes]
    turnover: list[int]  # so far: KRW of stocks, thousand KRW of derivatives, as KIS counts
    so_far: pl.DataFrame  # by the end of each bar: open, high, low, close, volume, turnover
    faults: dict[int, BarFault] = field(default_factory=dict)  # by the index of the bar

    @property
    def served_date(self) -> date:
        """The date under which KIS serves the session."""
        return self.session.date

    def visible(self, until: datetime, now: datetime, limit: int) -> list[bytes]:
        """Return at most `limit` rows labelled `until` or earlier, newest first, as seen at `now`.

        The newest may be the minute still running.
        """
        rows: list[bytes] = []
        for index in range(bisect_right(self.labels, min(until, now)) - 1, -1, -1):
            row = self._row(index, now)
            if row is not None:
                rows.append(row)
                if len(rows) == limit:
                    break
        return rows

    def _row(self, index: int, now: datetime) -> bytes | None:
        fault = self.faults.get(index)
        if fault and (fault.shown_from is None or now < fault.shown_from):
            return None
        if now < self.ends[index]:
            return running_bar(self.finished_bar(index), now)
        if fault and fault.wrong_row and fault.wrong_until and now < fault.wrong_until:
            return fault.wrong_row
        return self.rows[index]

    def idle_minute(self, until: datetime, now: datetime) -> bytes | None:
        """Return a stock's row of the running minute if nothing will trade in it, else None.

        KIS has such a row all the same, with the price and the volume of the last bar
        (docs/kis.md#stock-minute-bars).
        """
        label = now.replace(second=0, microsecond=0)
        last = self.last_finished(now)
        inside = self.session.opens <= label < self.session.continuous_end and label <= until
        if not inside or last < 0 or (last + 1 < len(self.labels) and self.labels[last + 1] <= now):
            return None
        bar = self.finished_bar(last)._replace(turnover_before=self.turnover[last])
        return idle_bar(bar, label)

    def finished_bar(self, index: int) -> FinishedBar:
        """Return a bar with all that its rows need, partial ones too."""
        values = self.bars.row(index)
        before = self.bars.row(index - 1) if index else None
        turnover_before = self.turnover[index - 1] if index else 0
        return FinishedBar(self.symbol, self.session.date, values, before, turnover_before)

    def day_until(self, index: int) -> dict[str, float]:
        """Return open, high, low, close, volume, turnover up to a bar; empty before the first."""
        return self.so_far.row(index, named=True) if index >= 0 else {}

    def last_finished(self, now: datetime) -> int:
        """Return the index of the session's last finished bar, -1 before there is one."""
        return bisect_right(self.ends, min(now, self.session.last_stamp)) - 1


AddFaults = Callable[[SessionRows], SessionRows]


def write_session_rows(symbol: str, session: Session, bars: pl.DataFrame) -> SessionRows:
    """Write out a session's bars as KIS's rows."""
    bars = bars.filter(pl.col("label").is_not_null())
    spent = turnover_of_bars(symbol, session, bars)
    frame = row_frame(symbol, session.date, bars, spent)
    label = pl.col("label")
    # Recorded rows outside the session have no stamp. The auction's bar is finished at its label.
    end = pl.coalesce(session.stamp_of_label(label), label.dt.offset_by("1m"))
    turnover = frame["acml_tr_pbmn"].cast(pl.Int64)
    so_far = bars.select(
        pl.col("open").first(),
        pl.col("high").cum_max(),
        pl.col("low").cum_min(),
        pl.col("close"),
        pl.col("volume").cum_sum(),
        turnover=turnover,
    )
    return SessionRows(
        symbol,
        session,
        bars,
        labels=bars["label"].to_list(),
        ends=bars.select(end).to_series().to_list(),
        rows=json_rows(frame),
        turnover=turnover.to_list(),
        so_far=so_far,
    )


def row_frame(symbol: str, day: date, bars: pl.DataFrame, spent: pl.Series) -> pl.DataFrame:
    """Return KIS's columns of text for bars, in the order of the official samples.

    `spent`: the turnover of each bar, KRW.
    """
    is_stock = isinstance(instrument(symbol), Stock)
    names, decimals = (STOCK_ROW, 0) if is_stock else (FUTURES_ROW, 2)
    turnover = spent.cum_sum() // krw_in_unit(symbol)
    columns: dict[str, pl.Expr | pl.Series] = {
        "stck_bsop_date": pl.lit(f"{day:%Y%m%d}"),
        "stck_cntg_hour": hour_text(pl.col("label"), day),
        **{name: exact_text(pl.col(column), decimals) for column, name in names.items()},
        "cntg_vol": pl.col("volume").cast(pl.String),
        "acml_tr_pbmn": turnover.cast(pl.String),
    }
    return bars.select(**columns)


def with_fake_ticks(bars: pl.DataFrame, session: Session) -> pl.DataFrame:
    """Fill minutes without a trade with volume-0 repeats, as FID_FAKE_TICK_INCU_YN=Y asks for."""
    if bars.is_empty():
        return bars
    labels = pl.concat([minute_starts(session), bars["label"]]).unique().sort()
    filled = pl.DataFrame({"label": labels}).join(bars, on="label", how="left").sort("label")
    without_close = [name for name in PRICES if name != "close"]
    return (
        filled.with_columns(pl.col("close").forward_fill(), pl.col("volume").fill_null(0))
        .with_columns(pl.col(without_close).fill_null(pl.col("close")))
        .filter(pl.col("close").is_not_null())
    )
