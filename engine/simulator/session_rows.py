"""A symbol's session written out once as the rows that KIS sends, to be cut for each call.

A simulated day makes tens of thousands of calls, so nothing is formatted twice: a finished bar is
bytes from the start, and a call joins a slice of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import polars as pl

from engine.market import instruments
from engine.market.sessions import Session
from engine.simulator.kis_format import clock_label, exact, json_rows, midnight
from engine.simulator.market.data import minute_starts
from engine.simulator.partial_bar import FinishedBar, idle_bar, running_bar

FUTURES_ROW = {"close": "futs_prpr", "open": "futs_oprc", "high": "futs_hgpr", "low": "futs_lwpr"}
STOCK_ROW = {"close": "stck_prpr", "open": "stck_oprc", "high": "stck_hgpr", "low": "stck_lwpr"}


@dataclass(frozen=True)
class Late:
    """What a scenario does to one bar: it is seen only from `shown_from` on (None: never), and
    until `wrong_until` with the values of `wrong`.
    """

    shown_from: datetime | None = None
    wrong: bytes | None = None
    wrong_until: datetime | None = None


@dataclass(frozen=True)
class Sheet:
    """One session of one symbol. Lists are parallel, oldest bar first."""

    symbol: str
    session: Session
    bars: pl.DataFrame  # market.BARS
    labels: list[datetime]
    ends: list[datetime]  # from when on a bar is finished
    rows: list[bytes]
    turnover: list[int]  # so far: KRW of stocks, thousand KRW of derivatives, as KIS counts
    so_far: pl.DataFrame  # the day's open, high, low, close, volume, turnover by then
    late: dict[int, Late] = field(default_factory=dict)
    asked_late: timedelta = timedelta()  # how far the date under which it is served is off

    def visible(self, until: datetime, now: datetime, limit: int) -> list[bytes]:
        """Return at most `limit` rows labelled `until` or earlier, newest first, as seen at `now`.

        The newest may be the minute still running.
        """
        top = bisect_right(self.labels, min(until - self.asked_late, now))
        rows: list[bytes] = []
        for place in range(top - 1, -1, -1):
            row = self._row(place, now)
            if row is not None:
                rows.append(row)
                if len(rows) == limit:
                    break
        return rows

    def _row(self, place: int, now: datetime) -> bytes | None:
        late = self.late.get(place)
        if late and (late.shown_from is None or now < late.shown_from):
            return None
        if now < self.ends[place]:
            return running_bar(self.finished(place), now)
        if late and late.wrong and late.wrong_until and now < late.wrong_until:
            return late.wrong
        return self.rows[place]

    def idle_minute(self, until: datetime, now: datetime) -> bytes | None:
        """Return a stock's row of the minute running if that will see no trade; None if it will.

        KIS has it all the same, with the price and the volume of the last bar.
        """
        label, last = now.replace(second=0, microsecond=0), self.last(now)
        inside = self.session.opens <= label < self.session.continuous_end and label <= until
        if not inside or last < 0 or (last + 1 < len(self.labels) and self.labels[last + 1] <= now):
            return None
        bar = self.finished(last)._replace(turnover_before=self.turnover[last])
        return idle_bar(bar, label)

    def finished(self, place: int) -> FinishedBar:
        """Return a bar with what a row of it needs to know."""
        values = self.bars.row(place)
        before = self.bars.row(place - 1) if place else None
        so_far = self.turnover[place - 1] if place else 0
        return FinishedBar(self.symbol, self.session.date, values, before, so_far)

    @property
    def asked(self) -> date:
        """Return the date under which KIS serves the session."""
        return self.session.date + self.asked_late

    def last(self, now: datetime) -> int:
        """Return the place of the session's last finished bar, -1 before there is one."""
        return bisect_right(self.ends, min(now, self.session.last_stamp)) - 1


def write_sheet(symbol: str, session: Session, bars: pl.DataFrame) -> Sheet:
    """Write out a session's bars in KIS's rows."""
    bars = bars.filter(pl.col("label").is_not_null())
    frame = row_frame(symbol, session.date, bars)
    label = pl.col("label")
    # Recorded rows outside the session have no stamp; the auction's trade is there at its label.
    end = pl.coalesce(session.stamp_of_label(label), label.dt.offset_by("1m"))
    ends = bars.select(end).to_series().to_list()
    turnover = frame["acml_tr_pbmn"].cast(pl.Int64)
    so_far = bars.select(
        pl.col("open").first(),
        pl.col("high").cum_max(),
        pl.col("low").cum_min(),
        pl.col("close"),
        pl.col("volume").cum_sum(),
        turnover=turnover,
    )
    return Sheet(
        symbol,
        session,
        bars,
        bars["label"].to_list(),
        ends,
        json_rows(frame),
        turnover.to_list(),
        so_far,
    )


def row_frame(symbol: str, day: date, bars: pl.DataFrame) -> pl.DataFrame:
    """Return KIS's columns of text for bars in the order of the official samples."""
    stock = instruments.is_stock(symbol)
    names, decimals = (STOCK_ROW, 0) if stock else (FUTURES_ROW, 2)
    start = midnight(datetime(day.year, day.month, day.day))
    turnover = (pl.col("volume") * pl.col("close") * turnover_unit(symbol)).cum_sum()
    columns = {
        "stck_bsop_date": pl.lit(f"{day:%Y%m%d}"),
        "stck_cntg_hour": clock_label(pl.col("label"), start),
        **{name: exact(pl.col(column), decimals) for column, name in names.items()},
        "cntg_vol": pl.col("volume").cast(pl.String),
        "acml_tr_pbmn": turnover.round().cast(pl.Int64).cast(pl.String),
    }
    return bars.select(**columns)


def turnover_unit(symbol: str) -> float:
    """Return what one contract or share at price 1 adds to KIS's turnover."""
    return 1.0 if instruments.is_stock(symbol) else instruments.product(symbol).multiplier / 1_000


def with_fake_ticks(bars: pl.DataFrame, session: Session) -> pl.DataFrame:
    """Fill minutes without a trade with volume-0 repeats, as FID_FAKE_TICK_INCU_YN=Y asks for."""
    if bars.is_empty():
        return bars
    labels = pl.concat([minute_starts(session), bars["label"]]).unique().sort()
    filled = pl.DataFrame({"label": labels}).join(bars, on="label", how="left").sort("label")
    return (
        filled.with_columns(pl.col("close").forward_fill(), pl.col("volume").fill_null(0))
        .with_columns(pl.col("open", "high", "low").fill_null(pl.col("close")))
        .filter(pl.col("close").is_not_null())
    )


Disturb = Callable[[Sheet], Sheet]
