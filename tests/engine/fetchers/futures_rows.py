"""Rows of futures bars as KIS answers them, and what the rules of bars make of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from engine.fetchers.bar_rules import Rules, SplitRows, split_rows
from engine.fetchers.derivatives import DerivativeBarFetcher
from engine.kis import codec
from engine.market import sessions
from engine.market.sessions import Market, Session

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 10, 5, 2)
FIELDS = DerivativeBarFetcher.fields


def session(market: Market = Market.DERIVATIVES, day: date = DAY) -> Session:
    found = sessions.session(market, day)
    assert found is not None
    return found


def row(label: str, price: float = 350.0, **changed: Any) -> dict[str, Any]:
    text = f"{price:.2f}"
    usual = {
        "stck_bsop_date": "20261120",
        "stck_cntg_hour": label.replace(":", "") + "00",
        "futs_oprc": text,
        "futs_hgpr": text,
        "futs_lwpr": text,
        "futs_prpr": text,
        "cntg_vol": "5",
    }
    return {**usual, **changed}


def rows(count: int = 20, first: str = "10:04", price: float = 350.0) -> list[dict[str, Any]]:
    """Return rows of consecutive minutes, newest first."""
    newest = datetime.strptime(first, "%H:%M")
    return [row(f"{newest - timedelta(minutes=n):%H:%M}", price) for n in range(count)]


def split(answer: list[Any], **rules: Any) -> SplitRows:
    texts = codec.columns(answer, FIELDS.names())
    return split_rows(texts, FIELDS, Rules(**({"session": session(), "as_of": NOW} | rules)))


def reasons(answer: list[Any], **rules: Any) -> dict[int, str]:
    """Return the number of each rejected row with its reason."""
    rejected = split(answer, **rules).rejected
    return dict(rejected.select(codec.ROW, codec.REASON).iter_rows()) if len(rejected) else {}


def labels(answer: list[Any], **rules: Any) -> list[str]:
    return [f"{label:%H:%M}" for label in split(answer, **rules).bars["label"]]


FAR = 1.05  # how many times the price around it a bar may be
