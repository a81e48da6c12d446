"""Minute bars over HTTP: rows, order, limits, labels, the running minute.

The facts are those of docs/kis.md#futures-minute-bars and #stock-minute-bars.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.market.sessions import Market, session
from engine.market.symbols import parse
from engine.simulator import RecordedMarket, SyntheticMarket
from engine.simulator.session_rows import write_session_rows
from tests.engine.simulator.recorded_answers import AnsweringExchange, RecordedAnswers
from tests.served import served_bars

MARKET = SyntheticMarket(7)
PRICES = {"open": "futs_oprc", "high": "futs_hgpr", "low": "futs_lwpr", "close": "futs_prpr"}
STOCK_PRICES = {"open": "stck_oprc", "high": "stck_hgpr", "low": "stck_lwpr", "close": "stck_prpr"}


def labels(rows: list[dict[str, str]]) -> list[str]:
    return [row["stck_bsop_date"] + row["stck_cntg_hour"] for row in rows]


def as_bars(rows: list[dict[str, str]], names: dict[str, str] = PRICES) -> pl.DataFrame:
    text = pl.DataFrame(rows).reverse()
    label = pl.concat_str("stck_bsop_date", "stck_cntg_hour").str.to_datetime("%Y%m%d%H%M%S")
    return text.select(
        label=label.cast(pl.Datetime("us")),
        **{name: pl.col(field).cast(pl.Float64) for name, field in names.items()},
        volume=pl.col("cntg_vol").cast(pl.Int64),
    )


async def whole_day(caller: Any, symbol: str, day: date, **options: Any) -> list[dict[str, str]]:
    """Page down a session: the next page starts a minute before the oldest row."""
    rows: list[dict[str, str]] = []
    hour = "235900"
    while True:
        page = await caller.futures(symbol, f"{day:%Y%m%d}", hour, **options)
        rows += (of_day := [row for row in page if row["stck_bsop_date"] == f"{day:%Y%m%d}"])
        if len(of_day) < len(page) or len(page) < 102:
            return rows
        oldest = datetime.strptime(rows[-1]["stck_cntg_hour"], "%H%M%S")
        hour = f"{oldest - timedelta(minutes=1):%H%M%S}"


@pytest.mark.parametrize(
    ("tr_id", "query"),
    [
        (
            "FHKIF03020200",
            {"FID_INPUT_ISCD": "A01612", "FID_COND_MRKT_DIV_CODE": "F", "FID_HOUR_CLS_CODE": "60"},
        ),
        (
            "FHKST03010200",
            {"FID_INPUT_ISCD": "000660", "FID_COND_MRKT_DIV_CODE": "J", "FID_ETC_CLS_CODE": ""},
        ),
        ("FHKST03010230", {"FID_INPUT_ISCD": "005930", "FID_COND_MRKT_DIV_CODE": "J"}),
    ],
)
async def test_bars_have_the_fields_of_the_official_samples(
    calling: Any, samples: Any, tr_id: str, query: dict[str, str]
) -> None:
    sample = orjson.loads((samples / f"{tr_id}.json").read_bytes())
    common = {
        "FID_INPUT_DATE_1": "",
        "FID_INPUT_HOUR_1": "",
        "FID_PW_DATA_INCU_YN": "Y",
        "FID_FAKE_TICK_INCU_YN": "N",
    }
    async with calling(datetime(2026, 11, 18, 12, 0, 30)) as caller:
        answer = await caller.json(tr_id, **common, **query)
    assert answer.keys() == sample.keys()
    newer = {name for name in answer["output1"] if name.startswith("kospi200_prdy_")}
    assert answer["output1"].keys() - newer == sample["output1"].keys()
    assert (
        not newer or tr_id == "FHKIF03020200"
    )  # the portal has them since, the sample of 2024 not
    assert {*map(frozenset, answer["output2"])} == {frozenset(sample["output2"][0])}
    values = [*answer["output1"].values(), *(v for row in answer["output2"] for v in row.values())]
    assert all(isinstance(value, str) and value for value in values)


async def test_a_page_is_102_rows_newest_first_from_the_asked_minute_on(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 16, 0)) as caller:
        rows = await caller.futures("A01612", "20261118", "120000")
        assert len(rows) == 102
        assert labels(rows)[0] == "20261118120000"
        assert labels(rows) == sorted(labels(rows), reverse=True)
        assert len(await caller.stock_past("005930", "20261118", "153000")) == 120
        assert len(await caller.stock_today("005930", "153000")) == 30


@pytest.mark.parametrize(
    ("symbol", "day", "bars", "first", "last"),
    [
        ("A01612", date(2026, 11, 18), 411, "084500", "154500"),
        ("A01612", date(2026, 11, 19), 411, "094500", "164500"),  # CSAT: one hour later
        ("A01609", date(2026, 9, 10), 395, "084500", "151900"),  # expiry: no auction
        ("A01603", date(2026, 1, 2), 351, "094500", "154500"),  # first day of the year
    ],
)
async def test_pages_cover_a_session_without_overlap_or_gap(
    calling: Any, symbol: str, day: date, bars: int, first: str, last: str
) -> None:
    async with calling(datetime.combine(day, time(17)), MARKET) as caller:
        rows = await whole_day(caller, symbol, day)
        served = served_bars(caller.simulator.exchange, symbol, day)
    hours = [row["stck_cntg_hour"] for row in rows]
    assert (len(rows), len({*hours}), hours[-1], hours[0]) == (bars, bars, first, last)
    assert as_bars(rows).equals(served)
    assert served.equals(MARKET.bars(symbol, parse(symbol).session(day)))


async def test_recorded_bars_come_back_bit_for_bit(calling: Any, futures_file: Any) -> None:
    market = RecordedMarket(futures_file)
    file = pl.read_parquet(futures_file).rename({"timestamp": "label"}).drop("symbol")
    days = [date(2025, 9, d) for d in (1, 10, 11, 12, 15)]
    async with calling(datetime(2025, 10, 1, 17, 0), market) as caller:
        for day in days:
            rows = await whole_day(caller, "101W09" if day <= date(2025, 9, 11) else "101W12", day)
            assert as_bars(rows).equals(file.filter(pl.col("label").dt.date() == day))


async def test_both_sides_of_a_roll_are_served_from_the_front_month_series(
    calling: Any, futures_file: Any
) -> None:
    async with calling(datetime(2025, 9, 16, 17, 0), RecordedMarket(futures_file)) as caller:
        before = await caller.futures("101W09", "20250910", "120000")
        after = await caller.futures("101W12", "20250910", "120000")
        turnover = "acml_tr_pbmn"  # each contract has trades of its own
        assert [row | {turnover: ""} for row in after] == [row | {turnover: ""} for row in before]
        after = await caller.futures("101W09", "20250915", "235900")
        assert labels(after)[0] == "20250911151900"  # another date's rows: it has expired


async def test_recorded_stocks_are_served_unchanged_and_only_expected_bars_count(
    calling: Any, stocks_file: Any
) -> None:
    market = RecordedMarket(stocks_file)
    file = pl.read_parquet(stocks_file).filter(pl.col("timestamp").dt.hour() == 15)
    odd = file.filter(pl.col("timestamp").dt.minute().is_between(20, 29)).sort("timestamp")
    symbol, day = odd["symbol"][0], odd["timestamp"][0].date()
    async with calling(datetime(2025, 10, 25, 17, 0), market) as caller:
        rows = await caller.stock_past(symbol, f"{day:%Y%m%d}", "235900")
        assert f"{day:%Y%m%d}152500" in labels(rows)
        every = served_bars(caller.simulator.exchange, symbol, day, expected_only=False)
        expected = served_bars(caller.simulator.exchange, symbol, day)
        assert every.height - expected.height == 10
        newest = as_bars(rows, STOCK_PRICES).filter(pl.col("label").dt.date() == day)
        assert newest.equals(every.tail(newest.height))


async def test_nothing_after_now_is_served(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 10, 0, 30)) as caller:
        assert labels(await caller.futures("A01612", "20261118", "235900"))[0] <= "20261118100000"
        assert labels(await caller.futures("A01612", "20261125", "235900"))[0] <= "20261118100000"
        assert not await caller.futures("A01612", "20251117", "235900")  # past one year


@pytest.mark.parametrize(
    ("symbol", "market", "past"),
    [
        ("A01612", "O", "Y"),  # wrong market code
        ("101W12", "F", "Y"),  # dead: old-style code after 2025
        ("A01603", "F", "Y"),  # expired eight months ago
        ("A01612", "F", "N"),  # N serves only today, another day was asked
        ("'; --", "F", "Y"),
    ],
)
async def test_a_question_that_kis_cannot_serve_has_no_rows_and_rt_cd_0(
    calling: Any, symbol: str, market: str, past: str
) -> None:
    async with calling(datetime(2026, 11, 18, 16, 0)) as caller:
        assert not await caller.futures(symbol, "20261117", "120000", market=market, past=past)


async def test_an_expired_contract_stays_for_some_months(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 16, 0)) as caller:
        assert labels(await caller.futures("A01609", "20260910", "120000"))[0] == "20260910120000"


async def test_night_rows_carry_the_first_date_and_hours_up_to_30(calling: Any) -> None:
    async with calling(datetime(2026, 11, 19, 7, 0), MARKET) as caller:
        rows = await caller.futures("A01612", "20261118", "300000", market="CM")
        hours = [row["stck_cntg_hour"] for row in rows]
        assert {row["stck_bsop_date"] for row in rows} == {"20261118"}
        assert hours == sorted(hours, reverse=True)
        assert hours[0] > "294900"
        page = await caller.futures("A01612", "20261118", "241500", market="CM")
        assert page[0]["stck_cntg_hour"] == "241500"
        night = served_bars(caller.simulator.exchange, "A01612", date(2026, 11, 18), night=True)
        assert night["label"][-1].date() == date(2026, 11, 19)


async def test_running_minute_grows_into_the_finished_bar(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 10, 0, 20)) as caller:
        seen = []
        for _ in range(4):
            seen.append((await caller.futures("A01612", "20261118", "100000", past="N"))[0])
            await caller.clock.sleep(12)
        await caller.clock.sleep(2)
        finished = (await caller.futures("A01612", "20261118", "100000"))[0]
    assert {row["stck_cntg_hour"] for row in seen} == {"100000"}
    volumes = [int(row["cntg_vol"]) for row in seen]
    assert volumes == sorted(volumes)
    assert volumes[-1] < int(finished["cntg_vol"])
    assert all(row["futs_oprc"] == finished["futs_oprc"] for row in seen)


async def test_stock_row_0_shows_the_minute_before_until_its_first_trade(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 9, 0), MARKET) as caller:
        thin = served_bars(caller.simulator.exchange, "900110", date(2026, 11, 18))
        opens = thin["label"][5]
        await caller.clock.sleep_until(opens)
        first, second = (await caller.stock_today("900110", f"{opens:%H%M%S}"))[:2]
    assert first["stck_cntg_hour"] == f"{opens:%H%M%S}"
    assert first["cntg_vol"] == second["cntg_vol"]
    assert first["stck_prpr"] == first["stck_oprc"] == second["stck_prpr"]


async def test_stock_row_0_is_there_even_if_the_minute_will_have_no_trade(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 9, 0), MARKET) as caller:
        thin = served_bars(caller.simulator.exchange, "900110", date(2026, 11, 18))
        idle = next(
            label + timedelta(minutes=1)
            for label in thin["label"]
            if label + timedelta(minutes=1) not in thin["label"]
        )
        await caller.clock.sleep_until(idle + timedelta(seconds=59))
        running, last = (await caller.stock_today("900110", f"{idle:%H%M%S}"))[:2]
        assert running["stck_cntg_hour"] == f"{idle:%H%M%S}"
        assert running["cntg_vol"] == last["cntg_vol"]
        await caller.clock.sleep(1)
        assert (await caller.stock_today("900110", f"{idle:%H%M%S}"))[0] == last


async def test_stock_hour_to_come_is_filled_with_the_last_price(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 10, 0, 30)) as caller:
        rows = await caller.stock_today("005930", "101000")
    assert [row["stck_cntg_hour"] for row in rows[:11]] == [
        "101000",
        "100900",
        "100800",
        "100700",
        "100600",
        "100500",
        "100400",
        "100300",
        "100200",
        "100100",
        "100000",
    ]
    assert len(rows) == 30
    assert {row["stck_oprc"] for row in rows[:10]} == {rows[10]["stck_prpr"]}


async def test_near_the_open_the_day_before_is_mixed_in(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 9, 5, 30)) as caller:
        rows = await caller.stock_past("005930", "20261118", "090500")
        assert {row["stck_bsop_date"] for row in rows} == {"20261118", "20261117"}
        assert {row["stck_bsop_date"] for row in await caller.stock_today("005930", "090500")} == {
            "20261118"
        }
        only = await caller.stock_past("005930", "20261118", "090500", past="N")
        assert {row["stck_bsop_date"] for row in only} == {"20261118"}


async def test_fake_ticks_fill_minutes_without_a_trade(calling: Any) -> None:
    async with calling(datetime(2026, 11, 18, 16, 0)) as caller:
        real = await caller.stock_past("900110", "20261118", "153000")
        assert "0" not in {row["cntg_vol"] for row in real}
        filled = await caller.stock_past("900110", "20261118", "151900", fake="Y")
        hours = [row["stck_cntg_hour"] for row in filled]
        assert hours[:3] == ["151900", "151800", "151700"]
        assert "0" in {row["cntg_vol"] for row in filled}


@given(index=st.integers(0, 410), seconds=st.lists(st.floats(0, 59.99), min_size=2, max_size=6))
def test_partial_bars_stay_inside_the_finished_one(index: int, seconds: list[float]) -> None:
    hours = session(Market.DERIVATIVES, date(2026, 11, 18))
    assert hours is not None
    written = write_session_rows("A01612", hours, MARKET.bars("A01612", hours))
    label, opened, high, low, _, volume = written.bars.row(index)
    before = 0
    for second in sorted(seconds):
        rows = written.visible(label, label + timedelta(seconds=second), 1)
        row = orjson.loads(rows[0]) if rows else {}
        if row.get("stck_cntg_hour") != f"{label:%H%M%S}":
            continue  # before the first trade
        assert low <= float(row["futs_lwpr"]) <= float(row["futs_prpr"]) <= float(row["futs_hgpr"])
        assert float(row["futs_hgpr"]) <= high
        assert float(row["futs_oprc"]) == opened
        assert before <= int(row["cntg_vol"]) <= volume
        before = int(row["cntg_vol"])


async def test_a_file_of_answers_is_served_as_it_was_saved(calling: Any, answers_file: Any) -> None:
    file = pl.read_parquet(answers_file)
    both = file.filter(symbol="340930", asked_date="20251111")
    later = datetime(2026, 1, 10, 12, 0)
    market = RecordedAnswers(answers_file, later_from=later)
    async with calling(datetime(2026, 1, 10, 9, 0), market) as caller:
        caller.simulator.exchange = AnsweringExchange(market)
        wrong = await caller.stock_past("226950", "20250906", "153000")
        assert {row["stck_bsop_date"] for row in wrong} == {"20250905"}
        assert labels(await caller.stock_past("226950", "20250906", "100000"))[0][8:] == "100000"
        first = await caller.stock_past("340930", "20251111", "153000")
        await caller.clock.sleep_until(later)
        second = await caller.stock_past("340930", "20251111", "153000")
    assert first != second
    for rows, collector in ((first, "cache"), (second, "memdump")):
        saved = both.filter(collector=collector).rename({"timestamp": "label"})
        assert as_bars(rows, STOCK_PRICES).equals(
            saved.select("label", *STOCK_PRICES, "volume").tail(120)
        )
