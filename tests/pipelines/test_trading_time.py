"""Minutes of day sessions until the close and until options end, by the calendar."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from engine.market.symbols import OptionChain, parse
from pipelines.trading_time import with_trading_time

DAY = 7 * 60  # 08:45 to 15:45
LAST = 6 * 60 + 35  # 08:45 to 15:20


def left(moment: datetime, symbol: str = "202612_KOSPI200") -> tuple[float | None, float | None]:
    """Return trading_to_close and trading_to_expiry at a moment."""
    chain = parse(symbol)
    assert isinstance(chain, OptionChain)
    rows = pl.DataFrame({"timestamp": [moment], "underlying_symbol": [symbol]})
    found = with_trading_time(rows, {symbol: chain}).collect()
    assert found.columns == [*rows.columns, "trading_to_close", "trading_to_expiry"]
    (row,) = found.drop(rows.columns).rows()
    return row  # type: ignore[return-value]


def test_on_the_last_day_the_close_is_the_expiry() -> None:
    assert left(datetime(2026, 12, 10, 14, 50)) == (30, 30)
    assert left(datetime(2026, 12, 10, 8, 45)) == (LAST, LAST)
    assert left(datetime(2026, 12, 10, 15, 40)) == (None, 0)
    assert left(datetime(2026, 12, 11, 10, 0)) == (None, 0)


def test_nights_and_weekends_are_no_time() -> None:
    """From Friday over the weekend to Thursday, the last day."""
    assert left(datetime(2026, 12, 4, 15, 0)) == (45, 45 + 3 * DAY + LAST)
    assert left(datetime(2026, 12, 4, 19, 0)) == (None, 3 * DAY + LAST)
    assert left(datetime(2026, 12, 6, 12, 0)) == (None, 3 * DAY + LAST)
    assert left(datetime(2026, 12, 7, 8, 0)) == (None, 3 * DAY + LAST)


def test_a_holiday_is_no_time() -> None:
    """Christmas is a Friday; the weekly of the Monday after ends on it."""
    before = left(datetime(2026, 12, 24, 15, 45), "261204_KOSPI200_WEEKLY_MON")
    assert before == (0, LAST)


def test_beyond_the_calendar_there_is_none() -> None:
    assert left(datetime(2026, 12, 4, 15, 0), "203012_KOSPI200") == (None, None)


@pytest.mark.parametrize("count", [1, 3])
def test_each_row_has_its_own_minutes(count: int) -> None:
    chain = parse("202612_KOSPI200")
    assert isinstance(chain, OptionChain)
    moments = [datetime(2026, 12, 10, 14, 50 + n) for n in range(count)]
    rows = pl.DataFrame({"timestamp": moments, "underlying_symbol": "202612_KOSPI200"})
    found = with_trading_time(rows, {"202612_KOSPI200": chain}).collect()
    assert found["trading_to_close"].to_list() == [30 - n for n in range(count)]
    assert with_trading_time(rows.clear(), {}).collect().is_empty()
