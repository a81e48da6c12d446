"""One series over corporate actions: factors, what they change, and what they must not."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl
import pytest

from engine.features.adjustment import ACTIONS, adjusted, explain, steps

SPLIT, CAPITAL = date(2025, 9, 22), date(2025, 11, 10)
DAYS = [date(2025, 9, 1) + timedelta(days=n) for n in range(100)]


def closes(*actions: tuple[date, float]) -> pl.DataFrame:
    rows = []
    for n, day in enumerate(DAYS):
        original = 33250.0 + 10 * (n % 7)
        factor = 1.0
        for effective, by in actions:
            factor *= by if day < effective else 1.0
        rows.append((day, original, round(original * factor)))
    return pl.DataFrame(rows, ["session", "original", "adjusted"], orient="row")


def test_steps_are_found_where_adjusted_closes_leave_the_original_ones() -> None:
    found = steps(closes((SPLIT, 0.25), (CAPITAL, 0.9)))
    assert found["effective"].to_list() == [SPLIT, CAPITAL]
    assert found["factor"].to_list() == pytest.approx([0.25, 0.9], rel=2e-5)
    assert steps(closes()).is_empty()


def test_cheap_stocks_whose_prices_are_rounded_have_no_steps_of_their_own() -> None:
    cheap = closes((SPLIT, 0.01)).with_columns(original=pl.col("original") / 100)
    cheap = cheap.with_columns(adjusted=(pl.col("original") * 0.1).round())
    assert steps(cheap).is_empty()


def test_a_factor_is_explained_by_the_actions_between_both_answers_and_by_nothing_else() -> None:
    known = steps(closes((SPLIT, 0.25), (CAPITAL, 0.9)))
    later = date(2025, 12, 1)
    assert explain(0.25, 8313, known, DAYS[0], SPLIT)["effective"].to_list() == [SPLIT]
    both = explain(0.22502, 7481, known, DAYS[0], later)
    assert both["effective"].to_list() == [SPLIT, CAPITAL]
    assert explain(0.25, 8313, known, DAYS[0], later).is_empty()
    assert explain(0.5, 8313, known, DAYS[0], SPLIT).is_empty()
    assert explain(0.25, 8313, known, SPLIT, later).is_empty()


def bars(*rows: tuple[str, datetime, datetime, float, str]) -> pl.DataFrame:
    names = ["symbol", "timestamp", "fetched_at", "close", "source"]
    frame = pl.DataFrame(rows, names, orient="row").with_columns(volume=pl.lit(100))
    return frame.with_columns(open="close", high="close", low="close")


def actions(*rows: tuple[str, date, float, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, ACTIONS, orient="row")


def test_bars_of_before_and_after_an_action_are_one_series_whenever_they_were_fetched() -> None:
    old, new = datetime(2025, 9, 4, 10), datetime(2025, 11, 20, 10)
    frame = bars(
        ("476060", old, old, 33250.0, "rest"),
        ("476060", old + timedelta(minutes=1), datetime(2025, 10, 1), 8313.0, "rest"),
        ("476060", old + timedelta(minutes=2), datetime(2025, 12, 1), 7482.0, "rest"),
        ("476060", datetime(2025, 10, 1, 10), datetime(2025, 10, 1, 15), 8000.0, "feed"),
        ("476060", new, new, 7000.0, "rest"),
        ("005930", old, old, 70000.0, "rest"),
    )
    known = actions(
        ("476060", SPLIT, 0.25, "confirmed"),
        ("476060", CAPITAL, 0.9, "confirmed"),
        ("005930", CAPITAL, 0.5, "doubted"),
    )
    found = adjusted(frame.lazy(), known).collect()
    assert found["close"].to_list() == pytest.approx(
        [33250 * 0.225, 8313 * 0.9, 7482, 8000 * 0.9, 7000, 70000]
    )
    assert found["volume"].to_list() == pytest.approx(
        [100 / 0.225, 100 / 0.9, 100, 100 / 0.9, 100, 100]
    )
    assert found["adjustment"].to_list() == pytest.approx([0.225, 0.9, 1, 0.9, 1, 1])
    assert found["adjustment_doubted"].to_list() == [False] * 5 + [True]
    assert found.columns == [*frame.columns, "adjustment", "adjustment_doubted"]


def test_a_doubt_is_flagged_and_never_applied() -> None:
    at = datetime(2025, 9, 4, 10)
    frame = bars(("005930", at, at, 70000.0, "rest"))
    for state in ("found", "doubted"):
        found = adjusted(frame.lazy(), actions(("005930", SPLIT, 0.25, state))).collect()
        assert found.select("close", "adjustment", "adjustment_doubted").row(0) == (70000, 1, True)


def test_of_a_bar_of_a_file_before_an_action_no_price_is_told() -> None:
    before, after = datetime(2025, 9, 4, 10), datetime(2025, 10, 4, 10)
    imported = datetime(2025, 12, 1)
    frame = bars(
        ("476060", before, imported, 33250.0, "file"), ("476060", after, imported, 8.0, "file")
    )
    found = adjusted(frame.lazy(), actions(("476060", SPLIT, 0.25, "confirmed"))).collect()
    assert found["close"].to_list() == [None, 8.0]
    assert found["adjustment"].to_list() == [None, 1.0]


def test_without_actions_bars_stay_as_they_are_and_filters_reach_them() -> None:
    at = datetime(2025, 9, 4, 10)
    frame = bars(("005930", at, at, 70000.0, "rest"), ("000660", at, at, 1.0, "rest"))
    found = adjusted(frame.lazy(), actions()).filter(pl.col("symbol") == "005930").collect()
    assert found["close"].to_list() == [70000.0]
    assert found["adjustment"].to_list() == [1.0]
