"""What KIS tells only once: collected beside bars, equal to what the simulated market holds."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl

from engine.history import completeness
from engine.history.queries import read_spans
from engine.market.sessions import Market
from engine.market.symbols import parse
from engine.simulator.exchange import SimulatedExchange
from engine.simulator.quotations.auctions import expected_price, expected_prices
from engine.simulator.quotations.flows import flow_minutes
from engine.simulator.quotations.index_frames import index_day
from engine.simulator.quotations.programmes import programme_minutes
from engine.simulator.summaries import future_summary
from engine.store import ledger
from pipelines.feed import Feed
from pipelines.history.validate import validate
from tests.pipelines.day.playing import DAY, FUTURE, STOCK, at_time, play, scenario
from tests.pipelines.simulated import Desk, desk

MINUTE = timedelta(minutes=1)
EVERYTHING = ("state", "flows", "programme", "index")
FEED = Feed((STOCK,), (FUTURE,), streams=EVERYTHING)
FLOWS = {"KOSPI": "0001", "KOSPI200_FUTURES": "F001", "KOSPI200_WEEKLY_MON_PUTS": "OP05"}


async def test_each_stream_of_a_morning_is_what_the_market_holds(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, at_time("08:58")) as at:
        played = await play(at, database_url, tmp_path, feed=FEED, until=at_time("09:06:30"))
        assert played.error is None
        exchange = at.simulator.exchange
        await assert_flows(at, exchange)
        await assert_programmes(at, exchange)
        await assert_indices(at, exchange)
        await assert_states(at, exchange)
        await assert_afternoon_before(at)
        differences = await at.frame(
            "SELECT sum(bought_volume)::bigint AS v, min(seconds) AS s FROM investor_flows_1m"
            " WHERE symbol = 'KOSPI' AND investor = 'foreign'"
        )
        sums = await flows_of(at, "KOSPI")
        foreign = sums.filter(pl.col("investor") == "foreign").sort("timestamp")["bought_volume"]
        assert differences.row(0) == (foreign[-1] - foreign[0], 60)
    counted = completeness.figures(played.stats.minutes_until(at_time("09:06:30")))
    by_code = {row["symbol"]: row for row in counted.iter_rows(named=True)}
    for code in ("PROGRAMME_KOSDAQ", "INDEX_KOSPI200", "FLOWS_KOSPI"):
        assert (by_code[code]["stored"], by_code[code]["missing"]) == (6, 0), code
    # The first minutes of the future were over when the collector began.
    for code in (f"STATE_{FUTURE}", "FLOWS_KOSPI200_FUTURES"):
        assert by_code[code]["missing"] == by_code[code]["unavailable"] > 0
        assert by_code[code]["stored"] == 9


async def flows_of(at: Desk, market: str) -> pl.DataFrame:
    return await at.frame(f"SELECT * FROM investor_flows WHERE symbol = '{market}'")


async def assert_flows(at: Desk, exchange: SimulatedExchange, day: date = DAY) -> None:
    for market, code in FLOWS.items():
        stored = await flows_of(at, market)
        assert stored["investor"].n_unique() == 12
        held = flow_minutes(exchange, code, day)
        for row in stored.iter_rows(named=True):
            kind = {"foreign": "frgn", "individual": "prsn", "institution": "orgn"}.get(
                row["investor"]
            )
            if kind is None:
                continue
            by_then = held.filter(pl.col("label") + MINUTE <= row["fetched_at"]).tail(1)
            for side in ("sold", "bought"):
                for unit in ("volume", "amount"):
                    assert row[f"{side}_{unit}"] == by_then[f"{kind}_{side}_{unit}"].item()
        for unit in ("volume", "amount"):
            net = pl.col(f"bought_{unit}") - pl.col(f"sold_{unit}")
            assert stored.filter(net != pl.col(f"net_{unit}")).is_empty()
            all_of = stored.filter(~pl.col("investor").is_in(PARTS)).group_by("timestamp")
            assert set(all_of.agg(pl.col(f"net_{unit}").sum())[f"net_{unit}"]) == {0}


PARTS = [
    "securities",
    "investment_trust",
    "private_fund",
    "bank",
    "insurance",
    "merchant_bank",
    "pension",
]


async def assert_programmes(at: Desk, exchange: SimulatedExchange, day: date = DAY) -> None:
    stored = await at.frame(
        "SELECT * FROM programme_trades WHERE symbol = 'KOSDAQ' ORDER BY timestamp"
    )
    held = of_minutes(stored, programme_minutes(exchange, "1001", day))
    for kind, ours in (("arbt", "arbitrage"), ("nabt", "other")):
        for side in ("sold", "bought"):
            assert stored[f"{ours}_{side}"].to_list() == held[f"{kind}_{side}_amount"].to_list()
    assert (stored["net"] == stored["arbitrage_net"] + stored["other_net"]).all()


async def assert_indices(at: Desk, exchange: SimulatedExchange, day: date = DAY) -> None:
    stored = await at.frame(
        "SELECT * FROM index_1m"
        f" WHERE symbol = 'KOSPI200' AND timestamp::date = '{day}' ORDER BY timestamp"
    )
    volume = pl.col("volume").diff().fill_null(pl.col("volume")).cast(pl.Int64)
    session = parse("INDEX_KOSPI200").session(day)
    assert session is not None
    rows = index_day(exchange, "2001", day).with_columns(volume)
    stamps = rows.select(session.stamp_of_label(pl.col("label"))).to_series()
    held = of_minutes(stored, rows.with_columns(timestamp=stamps))
    for name in ("open", "high", "low", "close", "volume"):
        assert stored[name].to_list() == held[name].to_list()


def of_minutes(stored: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Return the market's rows of the minutes that are stored, all of which it must have."""
    rows = held if "timestamp" in held else held.with_columns(timestamp=pl.col("label") + MINUTE)
    found = rows.filter(pl.col("timestamp").is_in(stored["timestamp"].implode()))
    assert found["timestamp"].to_list() == stored["timestamp"].to_list()
    assert stored.height > 0
    return found


async def assert_afternoon_before(at: Desk) -> None:
    """It came with the first answers, and nothing is missing of a day that nobody collected."""
    before = await at.frame(
        "SELECT min(timestamp)::time::text AS first, max(timestamp)::time::text AS last"
        f" FROM index_1m WHERE timestamp::date = '{DAY - timedelta(days=1)}'"
    )
    assert before.row(0) == ("14:06:00", "15:30:00")
    spans = (await read_spans(at.store)).filter(pl.col("symbol").str.starts_with("INDEX_"))
    assert set(spans["first"]) == {DAY}


async def assert_states(at: Desk, exchange: SimulatedExchange, future: str = FUTURE) -> None:
    """Those of an answer are the market's at its receipt, those of the feed its last trade's."""
    stored = await at.frame("SELECT * FROM futures_state ORDER BY timestamp")
    assert set(stored["symbol"]) == {future}
    for row in stored.filter(source="FHKIF03020200").iter_rows(named=True):
        told = future_summary(exchange, future, parse(future).market, row["fetched_at"])
        assert row["open_interest"] == int(told["hts_otst_stpl_qty"])
        assert row["day_volume"] == int(told["acml_vol"])
        assert row["index_price"] == float(told["kospi200_nmix"])
    assert stored.filter((pl.col("basis") - market_basis()).abs() > 0.011).is_empty()
    change = stored["open_interest"].diff().drop_nulls().abs()
    assert (change <= stored["day_volume"].diff().drop_nulls()).all()


def market_basis() -> pl.Expr:
    return pl.col("price") - pl.col("index_price")


async def test_the_state_of_a_future_is_kept_as_it_comes_without_being_asked_for(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, at_time("09:20:30")) as at:
        played = await play(
            at, database_url, tmp_path, feed=Feed((), (FUTURE,)), until=at_time("09:23:30")
        )
        kept = await at.frame("SELECT timestamp::time::text AS at FROM futures_state ORDER BY 1")
        collected = await at.frame("SELECT symbol FROM collected_symbols")
    assert kept["at"].to_list() == ["09:20:00", "09:21:00", "09:22:00", "09:23:00"]
    assert collected["symbol"].to_list() == [FUTURE]  # nothing else can be missing
    assert set(played.stats.final_minutes["symbol"]) == {FUTURE}


async def test_the_expectations_of_both_auctions_are_what_the_market_holds(
    database_url: str, tmp_path: Path
) -> None:
    """The opening of the future and of the stock, from before their first minute on."""
    feed = Feed((STOCK,), (FUTURE,), streams=("auctions",))
    async with desk(database_url, tmp_path, at_time("08:15")) as at:
        played = await play(at, database_url, tmp_path, feed=feed, until=at_time("09:02:30"))
        assert played.error is None
        exchange = at.simulator.exchange
        stored = await at.frame("SELECT * FROM expected_prices ORDER BY timestamp, said_at")
        future, stock = (stored.filter(symbol=code) for code in (FUTURE, STOCK))
        told = expected_prices(exchange, FUTURE, Market.DERIVATIVES, at_time("08:46"))[::-1]
        assert future["said_at"].dt.strftime("%H%M%S").to_list() == told["hour"].to_list()
        assert future["price"].to_list() == told["price"].to_list()
        assert set(future["size"]) == {None}
        for row in stock.iter_rows(named=True):
            held = expected_price(exchange, STOCK, Market.STOCKS, row["said_at"])
            assert (row["price"], row["size"]) == held
    counted = completeness.figures(played.stats.minutes_until(at_time("09:02:30")))
    by_code = {row["symbol"]: row for row in counted.iter_rows(named=True)}
    for code, minutes in ((f"AUCTIONS_{FUTURE}", 15), (f"AUCTIONS_{STOCK}", 30)):
        assert (by_code[code]["stored"], by_code[code]["missing"]) == (minutes, 0), code


async def test_a_missed_minute_is_in_the_ledger_with_its_reason(
    database_url: str, tmp_path: Path
) -> None:
    """From 15:20 to the close; KIS refuses flows for three minutes and programmes for one."""
    rules = [
        {"what": "refuse", "endpoint": "FHPTJ04030000", "from": "15:27:00", "to": "15:30:00"},
        {"what": "refuse", "endpoint": "FHPPG04600101", "from": "15:24:00", "to": "15:25:00"},
    ]
    feed = Feed((STOCK,), streams=("flows:KOSPI", "programme:KOSPI", "index:KOSPI"))
    async with desk(database_url, tmp_path, at_time("15:20:30"), faults=scenario(*rules)) as at:
        played = await play(at, database_url, tmp_path, feed=feed)
        assert played.error is None
        gaps = await at.frame(
            "SELECT symbol, first_stamp::time::text, last_stamp::time::text, state, reason"
            " FROM gaps WHERE symbol ~ '^(FLOWS|PROGRAMME|INDEX)_' ORDER BY 1, 2"
        )
        names = ["FLOWS_KOSPI", "PROGRAMME_KOSPI"]
        checked = await validate(at.store, at.clock, names, DAY, DAY, keep=False)
    assert checked.streams.rows() == [
        (DAY, "FLOWS_KOSPI", 390, 8, 382),
        (DAY, "PROGRAMME_KOSPI", 390, 40, 350),
    ]
    assert set(checked.findings["check"]) == {"unavailable"}  # warnings: nothing can be done
    nobody = ("unavailable", ledger.TOLD_ONCE)
    refused = ("unavailable", "KIS refused: GW라우팅 중 오류가 발생했습니다. (HTTP 500)")
    assert gaps.rows() == [
        ("FLOWS_KOSPI", "09:01:00", "15:19:00", *nobody),
        ("FLOWS_KOSPI", "15:27:00", "15:29:00", *refused),
        ("INDEX_KOSPI", "09:01:00", "13:39:00", *nobody),  # an answer has 102 minutes
        ("PROGRAMME_KOSPI", "09:01:00", "14:50:00", *nobody),  # and half an hour
    ]


async def test_a_reason_is_in_the_ledger_while_the_day_goes_on(
    database_url: str, tmp_path: Path
) -> None:
    """A collector that ends at 10:07 has told of what it missed at 10:03."""
    rules = [{"what": "refuse", "endpoint": "told_once", "from": "10:03:00", "to": "10:04:00"}]
    feed = Feed((STOCK,), streams=("flows:KOSPI", "programme:KOSPI"))
    async with desk(database_url, tmp_path, at_time("10:00:30"), faults=scenario(*rules)) as at:
        await play(at, database_url, tmp_path, feed=feed, until=at_time("10:07:00"))
        gaps = await at.frame(
            "SELECT symbol, first_stamp::time::text, last_stamp::time::text, state, reason"
            " FROM gaps WHERE symbol ~ '^(FLOWS|PROGRAMME)_' AND state = 'unavailable'"
            " ORDER BY 1, 2"
        )
    refused = "KIS refused: GW라우팅 중 오류가 발생했습니다. (HTTP 500)"
    assert gaps.rows() == [
        ("FLOWS_KOSPI", "09:01:00", "09:59:00", "unavailable", ledger.TOLD_ONCE),
        ("FLOWS_KOSPI", "10:03:00", "10:03:00", "unavailable", refused),
        ("PROGRAMME_KOSPI", "09:01:00", "09:30:00", "unavailable", ledger.TOLD_ONCE),
    ]


async def test_what_a_run_knew_that_ended_early_is_the_reason_of_the_minutes_it_missed(
    database_url: str, tmp_path: Path
) -> None:
    """Ended by hand at 10:07:30: until 10:33 the next run might still get what it missed."""
    rules = [{"what": "refuse", "endpoint": "told_once", "from": "10:03:00", "to": "10:08:00"}]
    feed = Feed((STOCK,), streams=("flows:KOSPI", "programme:KOSPI"))
    rows = (
        "SELECT symbol, first_stamp::time::text, last_stamp::time::text, state, reason FROM gaps"
        " WHERE symbol ~ '^(FLOWS|PROGRAMME)_' AND first_stamp::time BETWEEN '10:02' AND '10:06'"
        " ORDER BY 1, 2"
    )
    refused = "KIS refused: GW라우팅 중 오류가 발생했습니다. (HTTP 500)"
    async with desk(database_url, tmp_path, at_time("10:01:30"), faults=scenario(*rules)) as at:
        await play(at, database_url, tmp_path, feed=feed, until=at_time("10:07:30"))
        flows, programme = (await at.frame(rows)).rows()
        assert flows == ("FLOWS_KOSPI", "10:03:00", "10:06:00", "unavailable", refused)
        assert programme == ("PROGRAMME_KOSPI", "10:03:00", "10:06:00", "open", refused)
        await at.clock.sleep_until(at_time("10:50:30"))
        await play(at, database_url, tmp_path, feed=feed, until=at_time("10:52:30"))
        assert (await at.frame(rows)).rows()[-1] == (*programme[:3], "unavailable", refused)
