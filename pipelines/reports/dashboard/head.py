"""What a trader looks at first: the price, the signals that stand, what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from html import escape
from typing import Any

import polars as pl

from engine.errors import CalendarRangeError
from engine.market.sessions import Market, session
from engine.market.symbols import OptionChain, parse
from engine.market.trading_days import next_trading_day_from
from pipelines.reports.dashboard import cards
from pipelines.reports.dashboard.board import Board, DayBoard, session_date
from pipelines.reports.dashboard.health import State
from pipelines.texts import Texts

_MARKETS = (Market.DERIVATIVES, Market.STOCKS)
_DAY = timedelta(days=1)


def banner(t: Texts, day: DayBoard, collector: State | None) -> str:
    """Return the line above everything that says that nobody collects; empty if all is well.

    `collector` is the state of the collector's heartbeat, which in a simulation only the page's own
    clock can judge.
    """
    standing = day.standing
    if day.is_past:
        return ""
    if standing.lacks_collector or (standing.session_is_on and collector == "stopped"):
        title = t("no_collector")
    elif standing.nobody_collected:
        title = t("nobody_collected")
    else:
        return ""
    beat, since = standing.heartbeat, standing.missing_since
    last = t("last_heartbeat", at=f"{beat.at:%Y-%m-%d %H:%M}") if beat else t("no_heartbeat")
    missing = (
        t("missing_since", since=f"{since:%H:%M}", minutes=f"{standing.missing_today:,}")
        if since
        else t("missing_none_yet")
    )
    return (
        f'<div class="banner" data-krt="banner"><b>{escape(title)}</b>'
        f"<span>{escape(' · '.join((missing, last, t('run_live'))))}</span></div>"
    )


def price_head(t: Texts, board: Board) -> str:
    """Return the last price of the instrument with its change, and the session's prices."""
    symbol = board.chart.symbol
    if symbol is None:
        return f'<section class="price">{escape(t("nothing_yet"))}</section>'
    (row,) = board.day.symbols.filter(pl.col("symbol") == symbol).to_dicts()
    changed, tone = cards.change(symbol, row["close"], row["previous"])
    name = escape(t.name(parse(symbol)))
    last = cards.price(symbol, row["close"])
    at = f"{row['timestamp']:%H:%M}" if row["timestamp"] else cards.NONE
    return (
        f'<section class="price"><h1>{name}</h1>'
        f'<p class="{tone}"><span data-krt="price" data-symbol="{escape(symbol)}">{last}</span>'
        f' <span data-krt="change">{escape(changed)}</span></p>'
        f"<small>{escape(_session_prices(t, board, symbol, row))} ·"
        f" {escape(t('last_bar', at=at))}</small></section>"
    )


def _session_prices(t: Texts, board: Board, symbol: str, row: dict[str, Any]) -> str:
    """Return previous close, open, high, low and volume of the session in a line."""
    before = t("day_close" if parse(symbol).market is Market.NIGHT else "previous_close")
    parts = [
        f"{before} {cards.price(symbol, row['previous'])}"
        if row["previous"] is not None
        else t("previous_unknown")
    ]
    today = parse(symbol).session(row["session"])
    bars = board.chart.bars
    if today:
        bars = bars.filter(pl.col("timestamp") > today.opens)
    if bars.height:
        found = bars.select(
            open=pl.col("open").first(), high=pl.col("high").max(), low=pl.col("low").min()
        ).row(0, named=True)
        parts += [f"{t(name)} {cards.price(symbol, value)}" for name, value in found.items()]
        parts.append(f"{t('volume')} {bars['volume'].sum():,}")
    return " · ".join(parts)


def standing_signals(t: Texts, day: DayBoard, symbol: str | None) -> str:
    """Return the signal of each strategy that stands for the instrument, and since when."""
    rows = [_signal(t, name, _last_turn(day, name, symbol)) for name in day.tables]
    body = "".join(rows) or f"<small>{escape(t('signal_none'))}</small>"
    title = t("signal_last_title" if _is_over(day, symbol) else "signal_title")
    return f"<section><h2>{escape(title)}</h2>{body}</section>"


def _is_over(day: DayBoard, symbol: str | None) -> bool:
    """Say whether the session has ended, and with it what a signal asked for."""
    found = parse(symbol).session(session_date(day.now)) if symbol else None
    return day.is_past or found is None or found.last_stamp <= day.now


def _last_turn(day: DayBoard, strategy: str, symbol: str | None) -> dict[str, Any] | None:
    if day.turns.is_empty():
        return None
    found = day.turns.filter(pl.col("strategy") == strategy, pl.col("symbol") == symbol)
    return next(found.iter_rows(named=True), None)


def _signal(t: Texts, strategy: str, turn: dict[str, Any] | None) -> str:
    if turn is None:
        said = f"<small>{escape(t('signal_none'))}</small>"
    else:
        since = t("signal_since", at=f"{turn['timestamp']:%H:%M}")
        close = cards.price(turn["symbol"], turn["close"])
        parts = (since, close, t.reason(turn["reason"]))
        said = (
            f"<b>{cards.side(t, turn['trade_signal'])}</b>"
            f" <small>{escape(' · '.join(parts))}</small>"
        )
    name = escape(strategy)
    return (
        f'<div class="signal" data-krt="signal" data-strategy="{name}"><i>{name}</i> {said}</div>'
    )


def next_events(t: Texts, day: DayBoard, chain: str | None) -> str:
    """Return what the markets do next with the time until then; nothing of an earlier day."""
    if day.is_past:
        return ""
    rows = [
        f"<li><span>{escape(text)}</span> <small>{_moment(day.now, at)}</small>"
        f' <b data-until="{at.isoformat()}"></b></li>'
        for at, text in _next(t, day, chain)
    ]
    return f"<section><h2>{escape(t('next_event'))}</h2><ul>{''.join(rows)}</ul></section>"


def _next(t: Texts, day: DayBoard, chain: str | None) -> list[tuple[datetime, str]]:
    """Return the next event of each market, and the end of the chain, soonest first."""
    now = day.now
    nights = any(parse(name).market is Market.NIGHT for name in day.symbols["symbol"])
    markets = (*_MARKETS, Market.NIGHT) if nights else _MARKETS
    found = [min(events) for market in markets if (events := list(_events(t, market, now)))]
    parsed = parse(chain) if chain else None
    if isinstance(parsed, OptionChain):
        try:
            last = parsed.session(parsed.last_day)
        except CalendarRangeError:
            last = None
        if last and last.continuous_end > now:
            found.append((last.last_stamp, t("event_expires", name=t.name(parsed))))
    return sorted(found)


def _events(t: Texts, market: Market, now: datetime) -> Iterator[tuple[datetime, str]]:
    """Yield what comes of a market's session, or of its next one."""
    name = t(f"market_{market}")
    day = session_date(now) if market is Market.NIGHT else now.date()
    try:
        found = session(market, day)
        if found is None or found.last_stamp <= now:
            found = session(market, next_trading_day_from(day + _DAY))
    except CalendarRangeError:
        return
    if found is None:
        return
    moments = {
        "event_opens": found.opens,
        "event_auction": found.continuous_end if found.auction else None,
        "event_closes": found.last_stamp,
    }
    for key, at in moments.items():
        if at and at > now:
            yield at, t(key, market=name)


def _moment(now: datetime, at: datetime) -> str:
    """Return a time of today as HH:MM, of another day with its date."""
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%m-%d %H:%M}"


def market_state(t: Texts, market: Market, now: datetime) -> str:
    """Return the state of the market at that moment, in a word."""
    found = session(market, now.date())
    if found is None:
        return t("state_closed")
    if now < found.opens:
        return t("state_opens", at=f"{found.opens:%H:%M}")
    if now <= found.continuous_end:
        return t("state_open")
    if found.auction is not None and now <= found.auction:
        return t("state_auction")
    return t("state_over")
