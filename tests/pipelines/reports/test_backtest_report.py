"""The report of a backtest: a page of one file, a picture, tables, with the same numbers."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from engine.errors import InputError
from pipelines.evaluation.backtest import parse_params
from pipelines.evaluation.sweep import Luck
from pipelines.reports.backtest.curves import (
    MOST_BARS,
    curves,
    distribution,
    markers,
    months,
    with_drawdown,
)
from pipelines.reports.backtest.page import page
from pipelines.reports.backtest.subject import Subject
from pipelines.reports.backtest.write import write_report
from pipelines.reports.evaluation_tables import figure_text
from pipelines.texts import Language, Texts
from strategies.backtesting.benchmark import buy_and_hold
from strategies.backtesting.rules import BacktestRules
from strategies.backtesting.run import backtest
from strategies.registry import strategy_named
from tests.pipelines.random_bars import random_bars
from tests.pipelines.reports.browser import opened_browser, prefer, resize

FIRST, LAST = date(2025, 9, 1), date(2025, 10, 2)  # the front month rolls on the 12th
FUTURE, STOCK = "A01_FRONT", "005930"


@pytest.fixture(scope="module")
def subject() -> Subject:
    bars = pl.concat(
        [
            random_bars(FUTURE, FIRST, LAST, minutes=60),
            random_bars(STOCK, FIRST, LAST, minutes=60, seed=3),
        ]
    )
    strategy, rules = strategy_named("dolpha1"), BacktestRules()
    params = parse_params(strategy.params, ("rolling_move=3", "band_multiplier=0.3"))
    found = backtest(bars.lazy(), strategy, params, rules)
    return Subject(found, bars, "dolpha1", params, rules, Path("somewhere/bars.parquet"))


def data_of(html: str) -> dict[str, Any]:
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', html)
    assert found
    return cast("dict[str, Any]", json.loads(found[1]))


@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_page_is_whole_and_says_the_figures(subject: Subject, language: Language) -> None:
    html = page(Texts(language), subject)
    assert re.findall(r'(?:src|href)="(?!data:)([^"]*)"', html) == []
    assert html.count("<script") == html.count("</script>") == 3
    assert f"<title>dolpha1 · {Texts(language).name(_parsed(STOCK))}" in html
    for row in subject.figures.values():
        for name in ("total_return", "sharpe", "max_drawdown", "hit_rate", "net", "profit_factor"):
            assert f">{figure_text(name, row[name])}</" in html, name
    assert "<td>0.3</td>" in html.replace(' class="money"', "")  # a parameter
    assert not re.search(r">-?[0-9.,]*\.[0-9]{5,}", re.sub(r"<svg.*?</svg>", "", html))
    assert "bars.parquet" in html
    assert "somewhere" not in html
    visible = re.sub(r"<(style|script).*?</\1>", "", html, flags=re.DOTALL)
    assert bool(re.search("[가-힣]", visible)) == (language == "ko")


def _parsed(symbol: str) -> Any:
    from engine.market.symbols import parse

    return parse(symbol)


def test_what_is_drawn_ends_where_the_figures_do(subject: Subject) -> None:
    drawn = data_of(page(Texts("en"), subject))
    for symbol, row in subject.figures.items():
        bars = drawn[symbol]["bars"]
        assert bars[-1][5] == pytest.approx(100 * row["total_return"], abs=1e-3)
        depths = [bar[7] for bar in bars if bar[7] is not None]
        assert len(depths) == row["sessions"]
        assert min(depths) == pytest.approx(100 * row["max_drawdown"], abs=1e-3)
        entries = [one for one in drawn[symbol]["markers"] if one[2]]
        assert len(entries) == row["trades"]
        assert {one[0] for one in drawn[symbol]["markers"]} <= {bar[0] for bar in bars}


def test_few_bars_are_drawn_of_many_and_nothing_of_a_price_is_lost(subject: Subject) -> None:
    every = curves(subject)
    few = curves(subject, 300)
    for symbol in (FUTURE, STOCK):
        whole, part = every.filter(symbol=symbol), few.filter(symbol=symbol)
        assert part.height <= 300 < whole.height <= MOST_BARS
        ends = [(f["high"].max(), f["low"].min(), f["growth"][-1]) for f in (whole, part)]
        assert ends[0] == ends[1]
        assert markers(subject.result.trades.filter(symbol=symbol), part).height > 0


@pytest.mark.parametrize("second", [12, 15])
def test_who_holds_gets_what_the_price_moved_but_nothing_for_a_roll(second: int) -> None:
    """The last day of 101W09 was the 11th; of the next one's first day there may be no bars."""
    days = (date(2025, 9, 11), date(2025, 9, second))
    stamps = [datetime(2025, 9, day.day, hour) for day in days for hour in (9, 10)]
    prices = {"open": [400.0, 401.0, 500.0, 503.0], "close": [401.0, 402.0, 503.0, 499.0]}
    for symbol, moved in ((FUTURE, [1, 2, 5, 1]), ("101W09", [1, 2, 103, 99])):
        bars = pl.DataFrame({"timestamp": stamps, "symbol": [symbol] * 4, **prices})
        daily = pl.DataFrame({"symbol": [symbol] * 2, "session": days, "capital": [1e9] * 2})
        held = buy_and_hold(bars, daily, BacktestRules(contracts=2))
        assert (held["hold"] - 1e9).to_list() == [2 * 250_000.0 * points for points in moved]


def test_months_compound_to_the_year_and_the_year_to_the_whole(subject: Subject) -> None:
    found = months(subject.result.daily)
    for symbol, row in subject.figures.items():
        mine = found.filter(symbol=symbol)
        assert mine["month"].to_list() == [0, 9, 10]
        by_month = (1 + mine.filter(pl.col("month") > 0)["return"]).product() - 1
        assert mine["return"][0] == pytest.approx(by_month)
        assert mine["return"][0] == pytest.approx(row["total_return"])
    assert with_drawdown(subject.result.daily)["drawdown"].is_between(-1, 0).all()


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [-1.0, 2.0, None, 7.5], [1e-9, 1e9]])
def test_a_distribution_has_every_value_in_a_bin_and_a_bin_that_begins_at_zero(
    values: list[float | None],
) -> None:
    bins = distribution(pl.Series(values, dtype=pl.Float64))
    assert bins["count"].sum() == sum(value is not None for value in values)
    assert bins.height <= 40
    if {-1.0, 2.0} <= set(values):
        assert 0.0 in bins["start"].to_list()


def test_the_best_of_a_sweep_says_how_much_of_it_is_luck(subject: Subject) -> None:
    lucky = replace(subject, luck=Luck(FUTURE, 240, 1.5, 2.25, 0.31))
    said = page(Texts("en"), lucky)
    assert "The best of 240 trials (KOSPI200 futures, front month)." in said
    assert "2.25" in said
    assert "31%" in said
    assert f'value="{FUTURE}" selected' in said
    assert Texts("en")("report_luck_title") not in page(Texts("en"), subject)


def test_the_files_are_written_and_named(
    subject: Subject, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = tmp_path / "new" / "report"
    files = write_report(Texts("ko"), subject, folder)
    assert {file.name for file in files} == {path.name for path in folder.iterdir()}
    assert [line for line in caplog.messages if line[0] == "✅"] == [f"✅ {file}" for file in files]
    html, png, trades, daily, equity = files
    assert html.read_text("utf-8").startswith("<!doctype html>")
    assert png.read_bytes()[1:4] == b"PNG"
    for file, frame in zip((trades, daily, equity), _tables(subject), strict=True):
        assert pl.read_csv(file, infer_schema=False).height == frame.height > 0
        assert not re.search(r"\d\.\d{11,}", file.read_text())
    taken = tmp_path / "file"
    taken.write_text("")
    with pytest.raises(InputError, match="cannot be written to"):
        write_report(Texts("ko"), subject, taken / "report")


def _tables(subject: Subject) -> tuple[pl.DataFrame, ...]:
    return subject.result.trades, subject.result.daily, subject.result.equity


def test_it_is_legible_on_a_phone_and_dark_where_the_reader_likes_it(
    subject: Subject, tmp_path: Path
) -> None:
    file = tmp_path / "report.html"
    file.write_text(page(Texts("ko"), subject), "utf-8")
    sideways = "return document.documentElement.scrollWidth"
    cut = """return [...document.querySelectorAll('h1, h2, p, .big, .card b, small, .legend')]
        .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"""
    with opened_browser(width=390, height=844) as browser:
        browser.get(file.as_uri())
        for width in (390, 1400):
            resize(browser, width, 844)
            assert browser.execute_script(sideways) <= width
            assert browser.execute_script(cut) == []
        for scheme, paper in (("light", "246, 247, 248"), ("dark", "19, 21, 25")):
            prefer(browser, scheme)
            color = "return getComputedStyle(document.body).backgroundColor"
            assert browser.execute_script(color) == f"rgb({paper})"
        assert browser.execute_script("return document.querySelectorAll('#chart canvas').length")
        shown = "return [...document.querySelectorAll('[data-symbol]')].filter(e => !e.hidden)"
        assert browser.execute_script(f"{shown}.map(e => e.dataset.symbol)") == [STOCK, STOCK]
        choose = f"const s = document.querySelector('select'); s.value = '{FUTURE}';"
        browser.execute_script(choose + "s.dispatchEvent(new Event('change'))")
        assert browser.execute_script(f"{shown}.map(e => e.dataset.symbol)") == [FUTURE, FUTURE]
        label = browser.execute_script("return document.getElementById('chart').ariaLabel")
        assert "코스피200 선물" in label
        assert [line["message"] for line in browser.get_log("browser")] == []
