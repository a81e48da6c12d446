"""The whole market on the page: breadth and leaders of the last round of the snapshot."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from html import unescape

import polars as pl

from engine import schemas
from engine.clock import WallClock
from engine.store import Store
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.market_card import LEADERS, market_card
from pipelines.texts import Texts

NOON = datetime(2026, 11, 16, 12, 0)
STOCKS = 24


class Noon(WallClock):
    """Noon of the day that is stored."""

    def now(self) -> datetime:
        return NOON


def round_at(minute: datetime, moved: list[int]) -> pl.DataFrame:
    """A round over stocks of 10,000 won that have moved so far; each turned over one more billion.

    The limits are those of 30 %.
    """
    known = pl.DataFrame({"change": moved}).with_columns(
        session=pl.lit(minute.date()),
        timestamp=pl.lit(minute),
        symbol=pl.format("{}", pl.int_range(100_000, 100_000 + len(moved))),
        price=10_000.0 + pl.col("change"),
        base_price=10_000.0,
        volume=pl.int_range(pl.len()) * 1000,
        turnover=pl.int_range(pl.len()) * 1e9,
        upper_limit=13_000.0,
        lower_limit=7_000.0,
        fetched_at=pl.lit(minute + timedelta(seconds=20)),
    )
    others = [name for name in schemas.MARKET_SNAPSHOT.names if name not in known.columns]
    return known.with_columns(pl.lit(None).alias(name) for name in others)


def words(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html))).strip()


async def test_breadth_and_leaders_of_the_last_round_until_now(
    store: Store, database_url: str
) -> None:
    moved = [3_000, -3_000, *[100] * 12, *[-50] * 7, *[0] * 3]
    for minute, moves in ((9, [0] * STOCKS), (12, moved), (13, [1] * STOCKS)):
        rows = round_at(NOON.replace(hour=minute), moves)
        await store.merge("market_snapshot", schemas.conform(rows, schemas.MARKET_SNAPSHOT))
    viewer = Viewer(database_url, simulated=False, clock=Noon())
    html = viewer.read().parts(Texts("en"))["market"]
    said = words(html)
    assert said.startswith("The market · 12:00 · 24 stocks")
    assert "up ▲ 13 at the upper limit 1" in said
    assert "unchanged ― 3 not traded 1" in said
    assert "down ▼ 8 at the lower limit 1" in said
    assert html.count("<tr>") == 1 + LEADERS
    last, total = STOCKS - 1, sum(range(STOCKS))
    first = f"stock {100_000 + last} 10,000 ― 0 (+0.00%) {last:.1f} {last / total:.1%}"
    assert first.replace("%)", "%)") in said.replace(" %", "%")
    assert f"{total:.1f} bn KRW of all together" in said
    korean = words(viewer.read().parts(Texts("ko"))["market"])
    assert "시장 전체 · 12:00 · 24종목" in korean
    assert "하락 ▼ 8 하한가 1" in korean
    assert f"합계 {total * 10:,}억 원" in korean
    before = viewer.read(PageChoice(day=date(2026, 11, 13)))
    assert before.parts(Texts("ko"))["market"] == ""


def test_without_a_snapshot_there_is_no_card() -> None:
    rows = round_at(NOON, [])
    assert market_card(Texts("ko"), rows) == ""
