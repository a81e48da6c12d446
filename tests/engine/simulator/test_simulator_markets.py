"""The markets behind the simulator: made up from a seed, or recorded."""

from __future__ import annotations

from datetime import date, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InputError
from engine.market.sessions import Market, session, session_dates
from engine.market.symbols import FrontMonth, parse
from engine.simulator import RecordedMarket, SyntheticMarket
from engine.simulator.market.data import BARS

DAYS = session_dates(Market.STOCKS, date(2025, 1, 2), date(2027, 6, 30))
COLUMNS = list(BARS)


@given(
    seed=st.integers(0, 3),
    day=st.sampled_from(DAYS),
    code=st.sampled_from(["005930", "900110", "123450", "A01", "A05", "A06"]),
)
def test_every_session_has_possible_bars(seed: int, day: date, code: str) -> None:
    found = parse(code)
    symbol = found.on(day) if isinstance(found, FrontMonth) else found
    hours = symbol.session(day)
    assert hours is not None
    bars = SyntheticMarket(seed).bars(symbol.code, hours)
    assert bars.schema == BARS
    assert bars["label"].is_sorted()
    assert bars["label"].is_unique().all()
    high, low = pl.max_horizontal("open", "close"), pl.min_horizontal("open", "close")
    assert bars.filter((pl.col("high") < high) | (pl.col("low") > low)).is_empty()
    assert (bars["volume"] > 0).all()
    expected = bars.filter(hours.is_label(pl.col("label")))
    # Of a stock that trades once in half an hour hypothesis finds days with a handful of bars.
    assert expected.height > (2 if code == "900110" else 0.9 * hours.labels().len())
    for name in ("open", "high", "low", "close"):
        ticks = [symbol.tick_size(price) for price in bars[name]]
        off = (bars[name] / pl.Series(ticks) + 1e-6) % 1
        assert (off < 1e-4).all()


def test_the_same_seed_is_the_same_market_in_any_order_of_questions() -> None:
    hours = session(Market.DERIVATIVES, date(2026, 11, 18))
    assert hours is not None
    one, two, other = SyntheticMarket(1), SyntheticMarket(1), SyntheticMarket(2)
    for day in DAYS[100:110]:
        two.bars("005930", session(Market.STOCKS, day))  # type: ignore[arg-type]
    assert one.bars("A01612", hours).equals(two.bars("A01612", hours))
    assert not one.bars("A01612", hours).equals(other.bars("A01612", hours))


@pytest.mark.parametrize("seed", range(5))
def test_the_index_is_near_1100_points_in_autumn_2026(seed: int) -> None:
    market = SyntheticMarket(seed)
    days = session_dates(Market.DERIVATIVES, date(2026, 11, 2), date(2026, 11, 30))
    closes = [market.index("KOSPI200", session(Market.DERIVATIVES, d))["close"][-1] for d in days]  # type: ignore[arg-type]
    assert 1000 < min(closes) < max(closes) < 1200
    assert len({*closes}) == len(closes)


def test_a_day_opens_near_the_close_before_but_not_at_it() -> None:
    market = SyntheticMarket(1)
    gaps = []
    days = DAYS[200:230]
    for before, day in pairwise(days):
        close = market.index("KOSPI200", session(Market.DERIVATIVES, before))["close"][-1]  # type: ignore[arg-type]
        opened = market.index("KOSPI200", session(Market.DERIVATIVES, day))["open"][0]  # type: ignore[arg-type]
        gaps.append(opened / close - 1)
    assert max(map(abs, gaps)) < 0.04
    assert min(map(abs, gaps)) > 0


def test_a_future_costs_more_the_later_it_expires() -> None:
    hours = session(Market.DERIVATIVES, date(2026, 11, 18))
    assert hours is not None
    market = SyntheticMarket(1)
    near, far = (market.bars(code, hours) for code in ("A01612", "A01703"))
    assert far["close"][-1] > near["close"][-1]
    assert far["volume"].sum() < near["volume"].sum() / 20
    assert far.height < near.height  # a thin contract has minutes without a trade


def test_thin_stocks_have_minutes_without_a_trade_and_after_market_trades() -> None:
    hours = session(Market.STOCKS, date(2026, 11, 18))
    assert hours is not None
    bars = SyntheticMarket(1).bars("900110", hours)
    inside = bars.filter(pl.col("label") <= hours.last_stamp)
    assert 10 < inside.height < 250
    assert bars["label"][-1] > datetime(2026, 11, 18, 16)


def test_expired_and_unknown_contracts_have_no_bars() -> None:
    hours = session(Market.DERIVATIVES, date(2026, 11, 18))
    assert hours is not None
    assert SyntheticMarket(1).bars("A01609", hours).is_empty()


def write_recorded_market(path: Path, **changed: Any) -> RecordedMarket:
    rows = {
        "symbol": ["A01_FRONT"] * 2,
        "timestamp": [datetime(2026, 11, 18, 8, 45 + n) for n in (0, 1)],
        "open": [1100.05, 1100.1],
        "high": [1100.2, 1100.3],
        "low": [1100.0, 1100.05],
        "close": [1100.15, 1100.123456789],
        "volume": [10, 20],
    }
    pl.DataFrame(rows | changed).write_parquet(path)
    return RecordedMarket(path)


def test_the_front_month_of_a_file_is_served_under_the_code_of_the_date(tmp_path: Path) -> None:
    market = write_recorded_market(tmp_path / "bars.parquet")
    hours = session(Market.DERIVATIVES, date(2026, 11, 18))
    later = session(Market.DERIVATIVES, date(2026, 11, 20))
    assert hours is not None
    assert later is not None
    assert market.bars("A01612", hours)["volume"].to_list() == [10, 20]
    assert market.bars("A01703", hours).equals(market.bars("A01612", hours))
    assert 1105 < market.bars("A01706", hours)["close"][-1] < 1120  # around the recorded price
    assert abs(market.bars("A05612", hours)["close"][0] / 1100 - 1) < 0.01
    assert market.bars("A01612", later).is_empty()  # the file knows the symbol, not the day
    assert market.dates("A01_FRONT") == [hours.date]
    assert market.symbols == ["A01_FRONT"]


def test_a_file_of_ends_is_served_with_kis_labels(tmp_path: Path) -> None:
    noon = [datetime(2026, 11, 18, 12, 1), datetime(2026, 11, 18, 12, 2)]
    rows = write_recorded_market(tmp_path / "starts.parquet").path
    pl.read_parquet(rows).with_columns(timestamp=pl.Series(noon)).write_csv(tmp_path / "ends.csv")
    market = RecordedMarket(tmp_path / "ends.csv", "end")
    hours = session(Market.DERIVATIVES, date(2026, 11, 18))
    assert hours is not None
    assert market.bars("A01612", hours)["label"].to_list() == [
        datetime(2026, 11, 18, 12, 0),
        datetime(2026, 11, 18, 12, 1),
    ]


async def test_prices_with_many_digits_are_served_with_all_of_them(
    calling: Any, tmp_path: Path
) -> None:
    market = write_recorded_market(tmp_path / "bars.parquet")
    async with calling(datetime(2026, 11, 18, 9, 0), market) as caller:
        rows = await caller.futures("A01612", "20261118", "090000")
    assert [float(row["futs_prpr"]) for row in rows[:2]] == [1100.123456789, 1100.15]
    assert rows[1]["futs_oprc"] == "1100.05"


def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    pl.DataFrame({"symbol": ["x"], "open": [1.0]}).write_parquet(tmp_path / "short.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    for name, problem in (
        ("short.parquet", "lacks timestamp, high, low, close, volume; it needs symbol"),
        ("text.parquet", "cannot be read as Parquet"),
        ("absent.parquet", "there is no file"),
    ):
        with pytest.raises(InputError, match=problem) as caught:
            RecordedMarket(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no bars of 2026-11-20; it reaches from 2026-11-18"):
        write_recorded_market(tmp_path / "bars.parquet").require(date(2026, 11, 20))
