"""What charts, notebook and page ask the database."""

from __future__ import annotations

from datetime import date, datetime, time
from functools import partial
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from engine.errors import InputError
from engine.history.completeness import FIGURES, figures
from engine.history.scan import query
from engine.market.symbols import parse
from engine.store import Store
from pipelines.evaluation.standing import strategies_with_signals
from pipelines.history.backfill import backfill
from pipelines.history.validate import validate
from pipelines.reports import queries
from pipelines.reports.charts.coverage import ROWS_SHOWN, coverage_chart
from pipelines.reports.sql_text import sql_text
from pipelines.texts import Texts
from strategies.registry import STRATEGIES
from tests.engine.store.data import stock_bars
from tests.pipelines.random_bars import random_bars
from tests.pipelines.reports.plain_figures import read_minutes
from tests.pipelines.simulated import Thin, desk

DAY = date(2026, 11, 16)


def test_coverage_counts_exactly_what_is_expected(filled: str) -> None:
    counted = queries.coverage(filled, date(2026, 11, 9), DAY)
    of_day = counted.filter(session=DAY).select("symbol", "expected", "stored", "missing").rows()
    assert of_day == [
        ("005930", 381, 381, 0),
        ("202612_KOSPI200", 420, 12, 408),
        ("202701_KOSPI200", 420, 12, 408),
        ("A01612", 411, 409, 2),
    ]
    assert counted.filter(symbol="A01612").height == 6


def test_coverage_is_counted_in_parts_as_all_at_once(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, until = date(2026, 11, 9), datetime.combine(DAY, time.max)
    whole = figures(read_minutes(partial(query, filled), first, DAY, until))
    monkeypatch.setattr("pipelines.reports.figures.AT_ONCE", 1)
    assert_frame_equal(queries.coverage(filled, first, DAY), whole)


async def test_coverage_of_validated_sessions_is_kept_until_a_bar_goes(
    database_url: str, tmp_path: Path
) -> None:
    """It counts the minutes of all others, so it says what `read_minutes` says."""
    first, last = date(2025, 9, 1), date(2025, 9, 3)
    until = datetime.combine(last, time.max)

    def counted() -> pl.DataFrame:
        return figures(read_minutes(partial(query, database_url), first, last, until))

    async with desk(database_url, tmp_path, datetime(2025, 9, 3, 18), Thin(3)) as at:
        symbols = ["000020", "005930"]
        await backfill(at.context, symbols, first, last)
        await backfill(await at.next_run(), symbols, first, last)
        await validate(at.store, at.clock, symbols, first, last)
        dates = {"first": f"'{first}'::date", "last": f"'{last}'::date"}
        kept = query(database_url, sql_text("standing", "settled_sessions.sql", **dates))
        assert kept.height == 2 * 3
        assert_frame_equal(queries.coverage(database_url, first, last), counted())
        await at.store.execute("DELETE FROM stocks_1m WHERE timestamp = '2025-09-02 11:00'")
        found = queries.coverage(database_url, first, last)
        assert found.filter(session=date(2025, 9, 2))["missing"].sum() == 2
        assert_frame_equal(found, counted())


async def test_a_table_of_months_is_counted_once(store: Store, database_url: str) -> None:
    """ANALYZE notes the rows of the months with the table that they are parts of, too."""
    await store.merge("stocks_1m", stock_bars([1.0, 2.0, 3.0]))
    await store.execute("ANALYZE stocks_1m")
    sizes = query(database_url, sql_text("status", "8_sizes.sql").replace("> 10000000", "> 0"))
    assert sizes.filter(table_name="stocks_1m")["rows"].to_list() == [3]


def test_the_newest_day_and_the_last_bars(filled: str) -> None:
    assert queries.newest_day(filled) == DAY
    last = queries.last_bars(filled).select("symbol", "timestamp").sort("symbol").rows()
    assert last == [
        ("005930", datetime(2026, 11, 16, 15, 30)),
        ("A01612", datetime(2026, 11, 16, 15, 45)),
    ]


async def test_an_empty_database_says_what_to_do(database_url: str) -> None:
    with pytest.raises(InputError, match="just live"):
        queries.newest_day(database_url)


def test_signals_not_given_are_computed(filled: str) -> None:
    """A day that was only backfilled has no signals; what they would have been is shown."""
    future = parse("A01612")
    for strategy, without_bands in (("dolpha1", 0), ("opening_range", 30)):
        given = queries.signals_of_day(filled, future, DAY, strategy)
        earlier = queries.signals_of_day(filled, future, date(2026, 11, 13), strategy)
        assert (given.height, earlier.height) == (409, 411)
        assert earlier["ub"].null_count() == without_bands
        assert given.select("committed_at").to_series().null_count() == 0


async def test_a_strategy_that_has_stored_nothing_has_no_table(
    store: Store, database_url: str
) -> None:
    """What its signals would have been is shown all the same."""
    assert strategies_with_signals(partial(query, database_url)) == [STRATEGIES["dolpha1"]]
    bars = random_bars("A01612", DAY, DAY, minutes=60).with_columns(
        fetched_at=datetime(2026, 12, 1), source=pl.lit(schemas.REST)
    )
    await store.merge("futures_1m", schemas.conform(bars, schemas.FUTURES_BARS))
    signals = queries.signals_of_day(database_url, parse("A01612"), DAY, "opening_range")
    assert set(signals["reason"]) >= {"range_forming"}
    with pytest.raises(InputError, match="there is no strategy 'momentum'"):
        queries.signals_of_day(database_url, parse("A01612"), DAY, "momentum")


def test_a_product_means_its_front_month() -> None:
    assert queries.symbol_on(DAY, None) == parse("A01612")
    assert queries.symbol_on(DAY, "A05") == parse("A05612")
    assert queries.symbol_on(date(2025, 9, 1), "A01_FRONT") == parse("101W09")
    with pytest.raises(InputError, match="it has no bars"):
        queries.symbol_on(DAY, "202612_KOSPI200")


def test_maturities_come_nearest_first(filled: str) -> None:
    near = ["202612_KOSPI200", "202701_KOSPI200"]
    assert queries.maturities(filled, DAY, "KOSPI200") == near
    with pytest.raises(InputError, match="MINI_KOSPI200"):
        queries.maturities(filled, DAY, "MINI_KOSPI200")


def test_a_minute_means_the_last_snapshot_until_then(filled: str) -> None:
    chain = queries.chain_at(filled, ["202612_KOSPI200"], DAY, time(9, 34))
    assert chain["timestamp"].unique().to_list() == [datetime(2026, 11, 16, 9, 30)]
    assert chain.height == 62


def test_the_matrix_of_a_day_is_that_of_the_chain(filled: str) -> None:
    cells = queries.matrix_of_day(filled, "202612_KOSPI200", "iv", DAY)
    chain = queries.chain_at(filled, ["202612_KOSPI200"], DAY, time(9, 0))
    at_the_money = chain.filter(strike=1050.0, option_type="C")["iv"]
    atm = cells.filter(
        pl.col("timestamp") == datetime(2026, 11, 16, 9, 0), step=0, option_type="C"
    )["value"]
    assert_frame_equal(atm.to_frame("iv"), at_the_money.to_frame("iv"))


async def test_the_books_name_what_validation_left(database_url: str) -> None:
    assert queries.findings(database_url).columns == ["symbol", "session", "what", "detail"]


def test_of_a_market_the_coverage_map_shows_what_lacks_most() -> None:
    """Thousands of rows are more than a picture can be drawn of."""
    symbols = pl.DataFrame({"symbol": [f"{n:05}0" for n in range(500)]})
    rows = symbols.join(pl.DataFrame({"session": [DAY]}), how="cross").with_columns(
        expected=381, stored=381, missing=pl.int_range(pl.len()) % 250, no_trade=0
    )
    given = rows.with_columns(open="missing", unavailable=0, refused=0)
    counts = given.select(pl.col(name).cast(kind) for name, kind in FIGURES.items())
    drawn = coverage_chart(counts, Texts("en")).to_dict()
    (shown,) = drawn["datasets"].values()
    assert len(shown) == ROWS_SHOWN
    assert min(row["missing"] for row in shown) == 250 - ROWS_SHOWN // 2
    assert drawn["encoding"]["y"]["title"] == "instruments that lack most (400 more)"
    few = coverage_chart(counts.head(3), Texts("en")).to_dict()
    assert few["encoding"]["y"]["title"] == "instrument"
