"""Before the open: what will be collected today, whether a collector is there, what is amiss.

The rest of the page then shows the last session.
"""

from __future__ import annotations

from datetime import timedelta
from html import escape

from engine.market.symbols import parse
from pipelines.reports.dashboard.board import Board, DayBoard
from pipelines.reports.dashboard.health import State
from pipelines.texts import Texts

NAMES_SHOWN = 3  # of a stream; of more the number is told
BEGINS = timedelta(minutes=8)  # a collector shows itself ten minutes before the open
_LOST = ("open", "unavailable", "refused")


def before_open(t: Texts, board: Board, collector: State | None) -> str:
    """Return the section of the morning; nothing once a session is on, and of an earlier day."""
    present, opens = board.present, board.present.standing.opens
    if present.is_past or opens is None or present.now >= opens:
        return ""
    title = t("morning_section", day=f"{present.now:%Y-%m-%d}")
    lines = [
        *_due(t, present),
        _collector(t, present, collector, begun=present.now >= opens - BEGINS),
        *([_missing(t, board.day)] if board.day.is_past else []),
    ]
    return f"<section><h2>{escape(title)}</h2><ul>{''.join(lines)}</ul></section>"


def _line(title: str, text: str, tone: str = "") -> str:
    return (
        f'<li class="morning"><span>{escape(title)}</span>'
        f' <b class="{tone}">{escape(text)}</b></li>'
    )


def _due(t: Texts, present: DayBoard) -> list[str]:
    """Return a line for each kind of data, with names where they are few."""
    kinds: dict[str, list[str]] = {}
    for symbol in present.standing.due:
        kinds.setdefault(parse(symbol).ledger_market, []).append(t.name_of(symbol))
    return [
        _line(
            t.or_else(f"stream_{kind}", kind),
            ", ".join(names) if len(names) <= NAMES_SHOWN else f"{len(names):,}",
        )
        for kind, names in kinds.items()
    ]


def _collector(t: Texts, present: DayBoard, state: State | None, *, begun: bool) -> str:
    """Return whether a collector is there; before it can have shown itself, when it last did."""
    if state == "running":
        return _line(t("component_collector"), t("morning_waits"), "good")
    if begun:
        return _line(t("component_collector"), f"{t('no_collector')} · {t('run_live')}", "bad")
    beat = present.standing.heartbeat
    last = t("last_heartbeat", at=f"{beat.at:%m-%d %H:%M}") if beat else t("no_heartbeat")
    return _line(t("component_collector"), f"{last} · {t('morning_soon')}")


def _missing(t: Texts, last: DayBoard) -> str:
    """Return what the last session lacks, by whether it can still be had."""
    today = last.standing.today
    counts = {state: int(today[state].sum()) for state in _LOST}
    said = [t(f"missing_{state}", count=f"{count:,}") for state, count in counts.items() if count]
    title = t("morning_missing", day=f"{last.now:%m-%d}")
    return _line(title, " · ".join(said) or t("sum_none"), "bad" if said else "good")
