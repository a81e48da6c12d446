"""The page: what it says of a day, of components, of a database that is away."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, datetime
from html import unescape
from itertools import pairwise

import polars as pl
import pytest

from engine.history.scan import query
from pipelines.read_only import reader_url
from pipelines.reports.dashboard import chain_table, content
from pipelines.reports.dashboard.choice import PageChoice
from pipelines.reports.dashboard.content import Viewer
from pipelines.texts import LANGUAGES, Texts
from tests.databases import command, fresh_database
from tests.pipelines.reports.noon import EN, KO, NOON, Noon, cells, words

QUOTED = ("bid", "ask")
CHAINS = ["202612_KOSPI200", "202701_KOSPI200"]


@pytest.fixture(scope="module")
def viewer(filled: str) -> Viewer:
    return Viewer(reader_url(filled), simulated=False, clock=Noon(), fresh=3600.0)


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


def test_nothing_of_the_future_is_on_the_page(viewer: Viewer) -> None:
    """A day that was played again showed 15:45's signal at 10:11."""
    board = viewer.read().board
    assert board is not None
    frames = [board.chart.bars, board.chart.signals, board.day.turns, board.day.flows]
    assert all(frame["timestamp"].max() <= NOON for frame in frames)
    today = board.chart.signals.filter(pl.col("timestamp").dt.date() == NOON.date())
    assert today.height == 193
    assert board.day.symbols["timestamp"].max() == NOON


def test_only_bars_collected_live_have_a_delay(viewer: Viewer) -> None:
    """Bars that a backfill brought showed 97,200 s as the usual delay."""
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


def test_the_next_events_are_counted_down_to(viewer: Viewer) -> None:
    html = viewer.read().parts(EN)["events"]
    assert re.findall(r'data-until="([^"]*)"', html) == [
        "2026-11-16T15:20:00",  # closing auction of stocks
        "2026-11-16T15:35:00",  # of derivatives
        "2026-12-10T15:20:00",  # the last trade of the options
    ]
    assert "stock market: closing auction begins 15:20" in words(html)


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
