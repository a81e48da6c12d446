"""The page: what it says of a day, of components, of a database that is away."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta
from html import unescape
from itertools import pairwise

import polars as pl
import pytest

from engine.clock import VirtualClock, WallClock
from engine.history.scan import query
from engine.market.sessions import Market
from engine.store import Store
from engine.store.metadata import record_heartbeat
from pipelines.read_only import reader_url
from pipelines.reports.dashboard import board, chain_table, content, head
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.content import Viewer
from pipelines.reports.dashboard.health import HeartbeatWatch
from pipelines.texts import LANGUAGES, Texts
from tests.databases import command, fresh_database

NOON = datetime(2026, 11, 16, 12, 0)
KO, EN = Texts("ko"), Texts("en")
QUOTED = ("bid", "ask")
CHAINS = ["202612_KOSPI200", "202701_KOSPI200"]


class Noon(WallClock):
    """Noon of the day that is stored."""

    def now(self) -> datetime:
        return NOON


@pytest.fixture(scope="module")
def viewer(filled: str) -> Viewer:
    return Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=3600.0)


def cells(html: str, symbol: str, name: str) -> str:
    """The text of the cell with a name of a symbol."""
    found = re.search(rf'data-krt="{name}" data-symbol="{symbol}">([^<]*)<', html)
    assert found, (symbol, name)
    return found[1]


def words(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html)))


def test_the_first_thing_is_the_price_with_its_change_against_the_close_before(
    viewer: Viewer, filled: str
) -> None:
    look = viewer.read()
    assert look.board is not None
    last, before = query(
        filled,
        "SELECT (SELECT close FROM futures_1m WHERE symbol = 'A01612' AND timestamp = '2026-11-16"
        " 12:00') AS last, (SELECT close FROM futures_1m WHERE symbol = 'A01612' AND timestamp ="
        " '2026-11-13 15:45') AS before",
    ).row(0)
    html = look.parts(KO)["price"]
    assert cells(html, "A01612", "price") == f"{last:,.2f}"
    shape = "▲" if last > before else "▼"
    assert f"{shape} {abs(last - before):,.2f} ({last / before - 1:+.2%})" in html
    assert ('class="up"' in html) == (last > before)
    assert "코스피200 선물 2026-12 A01612" in html
    assert f"전일 종가 {before:,.2f}" in html
    prices = query(
        filled,
        "SELECT max(high) AS high, min(low) AS low, sum(volume)::bigint AS volume FROM futures_1m"
        " WHERE symbol = 'A01612' AND timestamp BETWEEN '2026-11-16' AND '2026-11-16 12:00'",
    ).row(0, named=True)
    said = words(html)
    assert f"고가 {prices['high']:,.2f} · 저가 {prices['low']:,.2f}" in said
    assert f"거래량 {prices['volume']:,}" in said


def test_an_earlier_price_is_no_close(viewer: Viewer) -> None:
    """Of the stock nothing is stored before today: no change is made up."""
    look = viewer.read(PageChoice(symbol="005930"))
    html = look.parts(KO)["price"]
    assert "전일 종가가 저장되어 있지 않음" in html
    assert 'data-krt="change">–<' in html


def test_the_page_shows_the_last_price_and_what_is_missing(viewer: Viewer) -> None:
    look = viewer.read()
    assert look.board is not None
    html = look.html()
    closes = dict(look.board.day.symbols.select("symbol", "close").iter_rows())
    assert cells(html, "A01612", "last") == f"{closes['A01612']:,.2f}"
    assert cells(html, "005930", "last") == f"{closes['005930']:,.0f}"
    assert (cells(html, "A01612", "lacks"), cells(html, "005930", "lacks")) == ("2", "0")
    assert "193 / 195" in look.parts(KO)["instruments"]
    shown = dict(re.findall(r'data-krt="(\w+)"><b>[^<]*</b><span class="[^"]*">([^<]*)<', html))
    assert shown["clock"] == "12:00:00"
    assert shown["session"] == "정규장"
    # two bars, and of each of two chains the 195 minutes until 11:59 without the twelve snapshots
    assert shown["missing"] == f"{2 + 2 * (194 - 12):,}"
    assert 'data-krt="banner"' not in html


def test_bars_expected_by_now_are_counted(viewer: Viewer) -> None:
    board = viewer.read().board
    assert board is not None
    expected = dict(board.day.symbols.select("symbol", "expected").iter_rows())
    chains = dict.fromkeys(CHAINS, 194)
    assert expected == {"005930": 180, "A01612": 195, **chains}  # 12:00 is stored, so it counts
    missing = dict(board.day.symbols.select("symbol", "missing").iter_rows())
    assert missing == {"005930": 0, "A01612": 2, **dict.fromkeys(chains, 182)}
    assert board.chart.symbol == "A01612"


def test_t11_nothing_of_the_future_is_on_the_page(viewer: Viewer) -> None:
    """T11. A day that was played again showed 15:45's signal at 10:11."""
    board = viewer.read().board
    assert board is not None
    frames = [board.chart.bars, board.chart.signals, board.day.turns, board.day.flows]
    assert all(frame["timestamp"].max() <= NOON for frame in frames)
    today = board.chart.signals.filter(pl.col("timestamp").dt.date() == NOON.date())
    assert today.height == 193
    assert board.day.symbols["timestamp"].max() == NOON


def test_t11_only_bars_collected_live_have_a_delay(viewer: Viewer) -> None:
    """T11. Bars that a backfill brought showed 97,200 s as the usual delay."""
    look = viewer.read()
    assert look.board is not None
    delays = look.board.day.symbols.select("symbol", "delay", "usual_delay").drop_nulls()
    # committed by the wall clock, days later: the delay itself is real, of bars fetched in time
    assert set(delays["symbol"]) == {"005930", "A01612"}


def test_the_chart_has_every_bar_line_and_turn_and_no_repeated_signal(
    viewer: Viewer, filled: str
) -> None:
    look = viewer.read()
    stored = query(
        filled,
        "SELECT extract(epoch FROM timestamp)::bigint, open, high, low, close, volume FROM"
        " futures_1m WHERE symbol = 'A01612' AND timestamp BETWEEN '2026-11-12' AND"
        " '2026-11-16 12:00' ORDER BY timestamp",
    )
    assert look.chart["bars"] == [list(row) for row in stored.iter_rows()]
    bands = query(
        filled,
        "SELECT ub FROM dolpha1_signal WHERE ub IS NOT NULL AND timestamp <= '2026-11-16 12:00'"
        " ORDER BY timestamp",
    )
    assert [value for _, value in look.chart["ub"]] == bands["ub"].to_list()
    assert {"vwap", "lb"} <= set(look.chart)
    sides = [side for _, side, _ in look.chart["turns"]]
    assert sides
    assert all(a != b for a, b in pairwise(sides))
    other = viewer.read(PageChoice(strategy="opening_range"))
    assert other.board is not None
    assert other.board.chart.strategy == "opening_range"
    assert other.chart["turns"] != look.chart["turns"]


def test_the_chart_shows_where_the_position_was_entered(viewer: Viewer) -> None:
    look = viewer.read()
    assert look.board is not None
    (row,) = look.board.day.positions["dolpha1"].to_dicts()
    said = look.chart_words(KO)
    assert row["position"] != 0
    assert (said["entry"], said["entry_side"]) == (row["entry"], row["position"])
    past = viewer.read(PageChoice(day=date(2026, 11, 13))).chart_words(KO)
    assert past.get("entry") is None


def test_the_signal_that_stands_is_the_last_turn(viewer: Viewer) -> None:
    look = viewer.read()
    assert look.board is not None
    html = look.parts(EN)["signals"]
    for name in ("dolpha1", "opening_range"):
        turn = look.board.day.turns.filter(pl.col("strategy") == name).row(0, named=True)
        word = "▲ long" if turn["trade_signal"] > 0 else "▼ short"
        said = words(html[html.index(f'data-strategy="{name}"') :])
        assert word in said[:60]
        assert f"since {turn['timestamp']:%H:%M} · {turn['close']:,.2f}" in said


def test_after_the_close_no_signal_stands(viewer: Viewer) -> None:
    assert "Standing signals" in viewer.read().parts(EN)["signals"]
    past = viewer.read(PageChoice(day=date(2026, 11, 13))).parts(EN)["signals"]
    assert "Last signals of the day" in past


def test_the_chain_is_shown_by_strike_as_it_is_stored(viewer: Viewer, filled: str) -> None:
    html = viewer.read(PageChoice(all_strikes=True)).parts(KO)["chain"]
    rows = query(
        filled,
        "SELECT strike, option_type, price, bid, ask, open_interest FROM option_chain_raw"
        " WHERE underlying_symbol = '202612_KOSPI200' AND timestamp = '2026-11-16 09:55'",
    )
    assert html.count("data-strike=") == rows["strike"].n_unique()
    for strike in (1012.5, 1050.0, 1087.5):
        row = html[html.index(f'data-strike="{strike:g}"') :]
        texts = re.findall(r"<t[dh][^>]*>([^<]*)", row[: row.index("</tr>")])
        for side, places in (("C", (0, 5, 6, 7)), ("P", (15, 12, 9, 10))):
            (found,) = rows.filter(
                pl.col("strike") == strike, pl.col("option_type") == side
            ).to_dicts()
            shown = [f"{found['open_interest']:,}"]
            shown += [f"{found[name]:,.2f}" for name in ("price", "bid", "ask")]
            assert [texts[place] for place in places] == shown, (strike, side)
        # open interest grew by a contract a minute since the first snapshot at nine
        assert texts[1] == "▲ 55"
    assert html.count('class="atm"') == 1
    near = viewer.read().parts(KO)["chain"]
    assert near.count("data-strike=") == 25
    assert "모든 행사가 (31)" in near


def test_open_interest_is_compared_with_the_session_before(filled_template: str) -> None:
    """Where its last snapshot is stored; what is not listed there has no change."""
    of_nine = "timestamp = '2026-11-16 09:00' AND underlying_symbol = '202612_KOSPI200'"
    with fresh_database(filled_template) as url:
        for table in ("option_chain_raw", "option_summary"):
            moved = f"UPDATE {table} SET timestamp = '2026-11-13 15:45' WHERE {of_nine}"
            command(url, moved)
        command(
            url, "DELETE FROM option_chain_raw WHERE timestamp < '2026-11-14' AND strike = 1050"
        )
        look = Viewer(reader_url(url), simulated=False, clock=Noon()).read()
    html = look.parts(EN)["chain"]
    assert "since the snapshot of 11-13 15:45" in html
    for strike, change in ((1052.5, "▲ 55"), (1050.0, "–")):
        row = html[html.index(f'data-strike="{strike:g}"') :]
        assert re.findall(r"<t[dh][^>]*>([^<]*)", row[: row.index("</tr>")])[1] == change


def test_strikes_without_bid_and_ask_are_explained(viewer: Viewer) -> None:
    look = viewer.read()
    assert look.board is not None
    options = look.board.options
    assert options is not None
    assert "by the feed alone" not in look.parts(EN)["chain"]
    none = [pl.lit(None, pl.Float64).alias(f"{side}_{name}") for side in "cp" for name in QUOTED]
    bare = replace(options, strikes=options.strikes.with_columns(none))
    assert "by the feed alone" in chain_table.chain_table(EN, bare, all_strikes=False)
    assert chain_table.chain_table(EN, bare, all_strikes=False).count(">–<") >= 4 * 25


def test_cards_of_options_say_what_is_stored(viewer: Viewer, filled: str) -> None:
    look = viewer.read()
    html = look.parts(EN)["options"]
    whole = query(
        filled,
        "SELECT * FROM option_surface WHERE underlying_symbol = 'all_KOSPI200'"
        " AND timestamp = '2026-11-16 09:55'",
    ).row(0, named=True)
    said = words(html)
    assert f"{whole['gamma_exposure'] / 1e9:+,.1f} bn KRW per 1 %" in said
    korean = words(look.parts(Texts("ko"))["options"])
    assert f"{whole['gamma_exposure'] / 1e8:+,.0f} 억 원/1%" in korean
    for name, text in (("call_wall", "call wall"), ("put_wall", "put wall")):
        assert f"{text} {whole[name]:,.1f}" in said
    if whole["vkospi"] is not None:
        assert f"{whole['vkospi']:.2f}" in said
    summary = query(
        filled,
        "SELECT * FROM option_summary WHERE underlying_symbol = '202612_KOSPI200'"
        " AND timestamp = '2026-11-16 09:55'",
    ).row(0, named=True)
    assert f"{summary['atm_volatility']:,.2f} %" in said
    assert f"{summary['forward']:,.2f}" in said
    assert html.count("<polyline") >= 8  # two smiles, the terms, an index, interest, three groups
    assert "by strike, since the snapshot of 09:00 (contracts)" in said


def test_flows_are_the_last_sums_of_the_day(viewer: Viewer, filled: str) -> None:
    said = words(viewer.read().parts(EN)["options"])
    for who, name in (("foreign", "foreign"), ("institution", "institutions")):
        value = query(
            filled,
            f"SELECT net_volume FROM investor_flows WHERE investor = '{who}'"
            " AND timestamp = '2026-11-16 12:00'",
        ).item()
        assert f"{name} {value:+,}" in said


@pytest.mark.parametrize("name", ["price", "positions", "chain", "options", "instruments"])
def test_both_languages_have_the_same_numbers(viewer: Viewer, name: str) -> None:
    look = viewer.read()
    texts = [words(look.parts(Texts(language))[name]) for language in LANGUAGES]
    # Koreans count won by the hundred million, others by the billion.
    texts = [re.sub(r"[-+][\d,.]+ (bn KRW|억 원)", "", text) for text in texts]
    numbers = [re.findall(r"[-+]?\d[\d,]*\.\d+", text) for text in texts]
    assert numbers[0] == numbers[1] != []


def test_a_past_day_is_opened_in_the_same_way(viewer: Viewer, filled: str) -> None:
    look = viewer.read(PageChoice(day=date(2026, 11, 13)))
    assert look.board is not None
    assert not look.runs
    close = query(
        filled,
        "SELECT close FROM futures_1m WHERE symbol = 'A01612' AND timestamp = '2026-11-13 15:45'",
    ).item()
    assert cells(look.parts(KO)["price"], "A01612", "price") == f"{close:,.2f}"
    assert look.board.chart.bars["timestamp"].max() == datetime(2026, 11, 13, 15, 45)
    assert "지난 날: 2026-11-13" in look.parts(KO)["kind"]
    assert look.parts(KO)["events"] == ""
    assert "옵션 스냅샷이 없습니다" in look.parts(KO)["chain"]
    future = viewer.read(PageChoice(day=date(2027, 1, 4)))
    assert future.now == NOON  # what is to come is not shown


@pytest.mark.parametrize("at", ["2026-11-17 08:10", "2026-11-21 14:00"])
def test_between_sessions_the_last_one_is_shown_beside_what_comes(filled: str, at: str) -> None:
    now = datetime.fromisoformat(at)
    look = Viewer(filled, simulated=False, clock=VirtualClock(now)).read()
    assert look.board is not None
    parts = look.parts(EN)
    assert "last session: 2026-11-16" in parts["kind"]
    assert look.board.chart.bars["timestamp"].max() == datetime(2026, 11, 16, 15, 45)
    assert cells(parts["price"], "A01612", "price") != ""
    assert "data-until" in parts["morning"] + parts["events"]
    assert f"{now:%H:%M:%S}" in parts["health"]
    assert look.now == now


def test_the_next_events_are_counted_down_to(viewer: Viewer) -> None:
    html = viewer.read().parts(EN)["events"]
    assert re.findall(r'data-until="([^"]*)"', html) == [
        "2026-11-16T15:20:00",  # closing auction of stocks
        "2026-11-16T15:35:00",  # of derivatives
        "2026-12-10T15:20:00",  # the last trade of the options
    ]
    assert "stock market: closing auction begins 15:20" in words(html)


@pytest.mark.parametrize(
    ("at", "first"),
    [
        ("2026-11-16 08:00", "2026-11-16T08:45:00"),
        ("2026-11-16 15:25", "2026-11-16T15:30:00"),
        ("2026-11-16 16:00", "2026-11-17T08:45:00"),
        ("2026-11-20 20:00", "2026-11-23T08:45:00"),  # a Friday
        ("2026-11-19 06:30", "2026-11-19T09:45:00"),  # CSAT
    ],
)
def test_what_comes_next_is_known_around_the_clock(at: str, first: str, filled: str) -> None:
    now = datetime.fromisoformat(at)
    look = Viewer(filled, simulated=False, clock=VirtualClock(now)).read()
    parts = look.parts(EN)
    coming = parts["morning"] + parts["events"]  # before the open they stand first
    assert re.findall(r'data-until="([^"]*)"', coming)[0] == first


def test_a_database_that_is_away_is_shown_and_comes_back(filled: str) -> None:
    viewer = Viewer(f"{filled}&port=1", simulated=True)
    look = viewer.read()
    assert look.board is None
    assert 'data-krt="trouble"' in look.html()
    assert (look.chart, look.now) == ({"bars": []}, None)
    back = Viewer(filled, simulated=True)
    assert back.read().board is not None


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_empty_database_is_a_page_too(language: str, database_url: str) -> None:
    look = Viewer(database_url, simulated=True).read()
    t = Texts(language)  # type: ignore[arg-type]
    parts = look.parts(t)
    assert t("nothing_yet") in parts["price"]
    assert t("chain_none") in parts["chain"]
    assert t("signal_none") in parts["signals"]
    assert t("flows_none") in unescape(parts["options"])
    assert look.chart["bars"] == []


async def test_what_comes_from_outside_is_escaped(store: Store, database_url: str) -> None:
    await record_heartbeat(store, "<script>x</script>", "running", "<img src=x onerror=y>", 0, None)
    html = Viewer(database_url, simulated=True).read().html()
    assert "<script" not in html
    assert "<img" not in html


def test_a_component_without_new_heartbeats_is_stopped_until_one_comes() -> None:
    watch, beat = HeartbeatWatch(stale_after=10), NOON
    assert watch.state("kis", "running", beat, at=0) == "running"
    assert watch.state("kis", "running", beat, at=10) == "running"
    assert watch.state("kis", "running", beat, at=11) == "stopped"
    assert watch.state("kis", "running", beat + timedelta(minutes=1), at=12) == "running"
    assert watch.state("kis", "done", beat + timedelta(minutes=2), at=500) == "done"
    assert watch.state("kis", "failed", beat + timedelta(minutes=3), at=501) == "stopped"


def test_an_old_heartbeat_of_the_real_clock_tells_at_once() -> None:
    watch = HeartbeatWatch(stale_after=150)
    assert watch.state("kis", "running", NOON, at=0, behind=151) == "stopped"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-16 08:00", "08:45 개장"),
        ("2026-11-16 12:00", "정규장"),
        ("2026-11-16 15:40", "종가 단일가"),
        ("2026-11-16 16:00", "장 마감"),
        ("2026-11-15 12:00", "휴장"),
        ("2026-11-19 09:00", "09:45 개장"),
    ],
)
def test_the_session_is_told_in_a_word(at: str, said: str) -> None:
    assert head.market_state(KO, Market.DERIVATIVES, datetime.fromisoformat(at)) == said


def test_looking_is_cheap_for_the_database(filled: str) -> None:
    """One look is a handful of statements in one transaction on one kept connection."""
    viewer = Viewer(reader_url(filled), simulated=True)
    viewer.read()
    before = connections(filled)
    for _ in range(3):
        viewer.read()
    assert connections(filled) <= before


def connections(url: str) -> int:
    async def count() -> int:
        store = Store(url, WallClock(), component="test")
        query = (
            "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'dashboard'"
            " AND datname = current_database()"
        )
        found = pl.DataFrame(await store.query(query))["n"][0]
        await store.close()
        return int(found)

    return asyncio.run(count())


def test_s4_a_question_of_the_page_is_given_up_after_seconds(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert board.QUESTION_TIMEOUT == "10s"
    monkeypatch.setattr(board, "QUESTION_TIMEOUT", "1ms")
    slow = "SELECT current_setting('statement_timeout') AS found, pg_sleep(60)::text AS slept"
    monkeypatch.setattr(board, "sql_text", lambda *_, **__: slow)
    look = Viewer(reader_url(filled), simulated=False, clock=Noon()).read()
    assert look.board is None
    assert "statement timeout" in look.html()


def test_s2_all_who_watch_share_one_connection_and_one_reading(filled: str) -> None:
    """S2. Twenty viewers took twenty of the database's sixty connections."""

    def connections() -> set[int]:
        named = "SELECT pid FROM pg_stat_activity WHERE application_name = 'dashboard'"
        return set(query(filled, f"{named} AND datname = current_database()")["pid"])

    before = connections()
    shared = Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=3600.0)
    with ThreadPoolExecutor(20) as threads:
        seen = list(threads.map(lambda _: shared.read(), range(20)))
    assert len({id(content) for content in seen}) == 1
    other = shared.read(PageChoice(symbol="005930"))
    assert other.board is not None
    assert seen[0].board is not None
    assert other.board.day is seen[0].board.day  # the day is read once for whatever is chosen
    assert len(connections() - before) == 1
    shared.fresh = 0.0
    assert shared.read() is not seen[0]


def test_options_are_computed_when_a_snapshot_has_come_and_not_at_every_look(filled: str) -> None:
    viewer = Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=0.0)
    first, second = viewer.read().board, viewer.read().board
    assert first is not None
    assert second is not None
    assert second.day is not first.day
    assert second.options is first.options


def test_a_stock_is_shown_by_the_name_that_it_is_listed_under(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(content, "_NAMES_FOR", 0.0)
    looking = Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=0.0)
    assert "삼성전자 005930" in unescape(looking.read().html())
    assert "Samsung Electronics 005930" in unescape(looking.read().html("en"))
    rename = "UPDATE stock_listings SET name = '{}'"
    command(filled, rename.format("카카오"))
    try:
        assert "카카오 005930" in unescape(looking.read().html())
    finally:
        command(filled, rename.format("삼성전자"))
