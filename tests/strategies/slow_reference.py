"""dolpha1 once more, a row at a time in plain Python, written from its definition alone."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

Row = dict[str, Any]


def dolpha1(  # noqa: C901
    bars: list[Row],
    first_stamp: dict[Any, datetime],
    *,
    atr_period: int = 10,
    rolling_move: int = 5,
    band_multiplier: float = 1.0,
    use_vwap: bool = True,
    observe_interval_minutes: int = 5,
) -> list[Row]:
    """Rows of one symbol whose bars are given in order of time."""
    out: list[Row] = []
    sessions: list[Any] = []
    moves: dict[int, list[float]] = {}  # minute → moves of earlier sessions, oldest first
    moves_today: dict[int, float] = {}
    ranges: list[float] = []
    previous_close = session_open = last_close = sigma = None
    volume = value = 0.0
    for number, bar in enumerate(bars, start=1):
        day = bar["timestamp"].date()
        if not sessions or day != sessions[-1]:
            for minute, move in moves_today.items():
                moves.setdefault(minute, []).append(move)
            moves_today, sigma, volume, value = {}, None, 0.0, 0.0
            previous_close, session_open = last_close, bar["open"]
            sessions.append(day)
        minute = (bar["timestamp"] - first_stamp[day]) // timedelta(minutes=1)
        move = abs(bar["close"] / session_open - 1)
        moves_today[minute] = move

        earlier = moves.get(minute, [])[-rolling_move:]
        if len(earlier) >= max(rolling_move // 2, 3):
            sigma = math.fsum(earlier) / len(earlier)

        upper = lower = None
        if sigma is not None and previous_close is not None:
            upper = max(session_open, previous_close) * (1 + band_multiplier * sigma)
            lower = min(session_open, previous_close) * (1 - band_multiplier * sigma)

        value += (bar["high"] + bar["low"] + bar["close"]) / 3 * bar["volume"]
        volume += bar["volume"]
        vwap = value / volume if volume > 0 else None

        spans = [bar["high"] - bar["low"]]
        if last_close is not None:
            spans += [abs(bar["high"] - last_close), abs(bar["low"] - last_close)]
        ranges.append(max(spans))
        atr = math.fsum(ranges[-atr_period:]) / atr_period if number >= atr_period else None

        close = bar["close"]
        if number < 100:
            signal, reason = 0, "insufficient_data"
        elif upper is None:
            signal, reason = 0, f"insufficient_data_days_{len(sessions)}"
        elif close > upper and (not use_vwap or (vwap is not None and close > vwap)):
            signal, reason = 1, "band_cross_up"
        elif close < lower and (not use_vwap or (vwap is not None and close < vwap)):
            signal, reason = -1, "band_cross_down"
        else:
            signal, reason = 0, "none"
        observed = bar["timestamp"].minute % observe_interval_minutes == 0
        out.append(
            {
                "timestamp": bar["timestamp"],
                "symbol": bar["symbol"],
                "close": close,
                "monitor_signal": signal,
                "trade_signal": signal if observed else 0,
                "reason": reason,
                "ub": upper,
                "lb": lower,
                "atr": atr,
                "move_open": move,
                "sigma_open": sigma,
                "vwap": vwap,
                "min_from_open": minute,
            }
        )
        last_close = close
    return out
