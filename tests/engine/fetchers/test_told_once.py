"""What is told once, from KIS's JSON to columns and views: nothing is lost, and all adds up."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fetchers.auctions import AuctionFetcher
from engine.fetchers.futures_state import read_state
from engine.fetchers.told_once import (
    INVESTORS,
    FlowsFetcher,
    IndexFetcher,
    ProgrammeFetcher,
    StreamFetcher,
    StreamRequest,
)
from engine.kis.answer import Answer
from engine.kis.client import KisClient
from engine.market.symbols import parse
from engine.market.told_once import ToldOnce
from engine.schemas import conform
from engine.store import Store
from tests.paths import KIS_SAMPLES, needs

DAY = date(2026, 11, 18)
NINE = datetime(2026, 11, 18, 9, 0)
MINUTE = timedelta(minutes=1)
NO_CLIENT = cast("KisClient", SimpleNamespace(secrets=list))
PARTS = [k for k in INVESTORS.values() if k not in ("institution", "individual")]


def request(code: str, stamp: datetime) -> StreamRequest:
    symbol = parse(code)
    assert isinstance(symbol, ToldOnce)
    session = symbol.session(DAY)
    assert session is not None
    return StreamRequest(symbol, session, stamp)


def answer(body: dict[str, Any], at: datetime) -> Answer:
    told: dict[str, Any] = orjson.loads(orjson.dumps(body))
    return Answer("FHPTJ04030000", "KSP.0001", told, at, at)


def read(fetcher: StreamFetcher, code: str, body: dict[str, Any], stamp: datetime) -> pl.DataFrame:
    at = stamp + timedelta(seconds=2)
    return fetcher.read(answer(body, at), request(code, stamp))


def flow_fields(kind: str, sold: int, bought: int, padding: str = "") -> dict[str, str]:
    net = "vol" if kind in ("pe_fund", "etc_orgt", "etc_corp") else "qty"
    values = {"seln_vol": sold, "shnu_vol": bought, f"ntby_{net}": bought - sold}
    values |= {"seln_tr_pbmn": 3 * sold, "shnu_tr_pbmn": 3 * bought}
    values |= {"ntby_tr_pbmn": 3 * (bought - sold)}
    return {f"{kind}_{name}": f"{padding}{value}" for name, value in values.items()}


COUNT = st.integers(0, 10**12)
TRADED = st.lists(st.tuples(COUNT, COUNT), min_size=12, max_size=12)


@settings(max_examples=60, deadline=None)
@given(TRADED, st.sampled_from(["", "  "]), st.booleans(), st.sampled_from(["", "-", "nan", None]))
def test_flows_are_what_kis_wrote_and_an_unreadable_kind_alone_is_set_aside(
    traded: list[tuple[int, int]], padding: str, as_list: bool, wrong: str | None
) -> None:
    record: dict[str, Any] = {}
    for kind, (sold, bought) in zip(INVESTORS, traded, strict=True):
        record |= flow_fields(kind, sold, bought, padding)
    record["bank_shnu_vol"] = wrong
    fetcher = FlowsFetcher(NO_CLIENT)
    body = {"output": [record] if as_list else record}
    rows = read(fetcher, "FLOWS_KOSPI", body, NINE + MINUTE)
    by_kind = {row["investor"]: row for row in rows.iter_rows(named=True)}
    assert by_kind.keys() == {*INVESTORS.values()} - {"bank"}
    for (kind, name), (sold, bought) in zip(INVESTORS.items(), traded, strict=True):
        if kind == "bank":
            continue
        row = by_kind[name]
        assert (row["sold_volume"], row["bought_volume"]) == (sold, bought)
        assert row["net_volume"] == bought - sold
        assert row["net_amount"] == row["bought_amount"] - row["sold_amount"]
    rejected = fetcher.take_rejected()
    assert rejected["reason"].to_pylist() == ["unreadable value"]


async def test_minutes_of_flows_add_up_in_the_view(store: Store) -> None:
    """Whoever buys buys from somebody: from JSON to the view the nets of all add up to nothing."""
    fetcher = FlowsFetcher(NO_CLIENT)
    steps = [{kind: (7 * n + i, 5 * n + 2 * i) for i, kind in enumerate(PARTS)} for n in (1, 2, 3)]
    sums = dict.fromkeys(INVESTORS.values(), (0, 0))
    for minute, step in enumerate(steps, start=1):
        rest = sum(sold - bought for sold, bought in step.values())  # individuals take it
        whole = step | {"individual": (100, 100 + rest)}
        sums = {
            k: tuple(map(sum, zip(v, whole.get(k, (0, 0)), strict=True))) for k, v in sums.items()
        }
        record: dict[str, str] = {}
        for kis, name in INVESTORS.items():
            record |= flow_fields(kis, *sums[name])
        stamp = NINE + minute * MINUTE
        rows = read(fetcher, "FLOWS_KOSPI", {"output": record}, stamp).with_columns(
            symbol=pl.lit("KOSPI"), fetched_at=pl.lit(stamp, pl.Datetime("us"))
        )
        await store.merge("investor_flows", conform(rows, fetcher.schema))
    seen = pl.DataFrame(await store.query("SELECT * FROM investor_flows_1m ORDER BY timestamp"))
    first, *later = seen.partition_by("timestamp", maintain_order=True)
    assert first["net_volume"].null_count() == 12
    for step, rows in zip(steps[1:], later, strict=True):
        assert set(rows["seconds"]) == {60}
        bought = dict(rows.select("investor", "bought_volume").iter_rows())
        assert {kind: bought[kind] for kind in step} == {k: b for k, (_, b) in step.items()}
        assert rows["net_volume"].sum() == 0
        assert rows["net_amount"].sum() == 0


def programme_row(hour: str, sold: int = 10) -> dict[str, str]:
    row = {"bsop_hour": hour, "bstp_nmix_prpr": "2900.10", "whol_smtn_ntby_tr_pbmn": "7"}
    for kind in ("arbt", "nabt"):
        row |= {f"{kind}_smtn_seln_tr_pbmn": f"{sold}", f"{kind}_smtn_shnu_tr_pbmn": "20"}
        row[f"{kind}_smtn_ntby_tr_pbmn"] = "10"
    return row


def test_of_programme_trading_only_minutes_of_the_session_that_are_over_count() -> None:
    hours = ["153100", "153000", "093100", "0931", "090130", "090100", "085900"]
    fetcher = ProgrammeFetcher(NO_CLIENT)
    body = {"output": [programme_row(hour) for hour in hours]}
    rows = read(fetcher, "PROGRAMME_KOSPI", body, NINE + 30 * MINUTE)
    assert rows["timestamp"].to_list() == [NINE + MINUTE]
    assert rows.select("arbitrage_sold", "other_bought", "net").row(0) == (10, 20, 7)
    assert fetcher.take_rejected()["reason"].to_pylist() == ["unreadable time"]
    late = read(fetcher, "PROGRAMME_KOSPI", body, NINE + 500 * MINUTE)
    assert max(late["timestamp"]) == datetime(2026, 11, 18, 15, 30)


def index_row(day: str, hour: str, close: str = "2900.10") -> dict[str, str]:
    row = {f"bstp_nmix_{name}": "2900.00" for name in ("oprc", "hgpr", "lwpr")}
    return row | {
        "stck_bsop_date": day,
        "stck_cntg_hour": hour,
        "bstp_nmix_prpr": close,
        "cntg_vol": "12",
        "acml_tr_pbmn": "99",
    }


def test_of_an_index_only_finished_bars_of_the_session_and_that_before_it_count() -> None:
    fetcher = IndexFetcher(NO_CLIENT)
    rows = [
        index_row("20261118", "090100"),  # still running
        index_row("20261118", "090000"),
        index_row("20261117", "153000"),  # what a collector missed that ended before
        index_row("20261117", "151900"),
        index_row("20261117", "152500"),  # no minute of a session
        index_row("20261116", "151900"),
        index_row("20261118", "090000", close="-"),
    ]
    found = read(fetcher, "INDEX_KOSPI", {"output2": rows}, NINE + MINUTE).sort("timestamp")
    close = datetime(2026, 11, 17, 15, 20)
    assert found.select("timestamp", "close", "volume").rows() == [
        (close, 2900.1, 12),
        (close + 10 * MINUTE, 2900.1, 12),
        (NINE + MINUTE, 2900.1, 12),
    ]
    assert fetcher.take_rejected()["reason"].to_pylist() == ["unreadable value"]
    evening = [index_row("20261118", hour) for hour in ("153000", "152500", "151900")]
    found = read(fetcher, "INDEX_KOSPI", {"output2": evening}, NINE + 500 * MINUTE)
    assert sorted(f"{stamp:%H%M}" for stamp in found["timestamp"]) == ["1520", "1530"]


def test_of_a_future_each_change_counts_and_a_minute_without_one_has_what_stands() -> None:
    fetcher = AuctionFetcher(NO_CLIENT)
    told = [("083340", "1100.10"), ("083120", "-"), ("083110", "1100.00"), ("083010", "0.00")]
    told += [("0830", "1.00"), ("154400", "1.00"), ("090100", "1.00")]
    body = {"output2": [{"stck_cntg_hour": hour, "futs_antc_cnpr": p} for hour, p in told]}
    stamp = datetime(2026, 11, 18, 8, 35)
    rows = read(fetcher, "AUCTIONS_A01612", body, stamp).sort("timestamp")
    assert [
        (f"{row['timestamp']:%H%M}", f"{row['said_at']:%H%M%S}", row["price"])
        for row in rows.iter_rows(named=True)
    ] == [
        ("0831", "083010", None),  # no orders met
        ("0832", "083110", 1100.0),
        ("0834", "083340", 1100.1),
        ("0835", "083340", 1100.1),  # nothing changed
    ]
    assert set(fetcher.take_rejected()["reason"].to_pylist()) == {
        "unreadable value",
        "unreadable time",
    }
    # The opening auction says nothing of the closing one.
    afternoon = datetime(2026, 11, 18, 15, 36)
    morning = {"output2": body["output2"][:3]}
    assert afternoon not in read(fetcher, "AUCTIONS_A01612", morning, afternoon)["timestamp"]


def test_of_a_stock_the_moment_counts_and_what_comes_after_the_minute_does_not() -> None:
    fetcher = AuctionFetcher(NO_CLIENT)
    stamp = datetime(2026, 11, 18, 8, 41)
    body = {
        "output1": {"aspr_acpt_hour": "084055"},
        "output2": {"antc_cnpr": "71200", "antc_vol": "1500"},
    }
    in_time = answer(body, stamp - timedelta(seconds=2))
    (row,) = fetcher.read(in_time, request("AUCTIONS_005930", stamp)).iter_rows(named=True)
    assert (row["timestamp"], row["price"], row["size"]) == (stamp, 71_200.0, 1_500)
    assert row["said_at"] == stamp - timedelta(seconds=5)
    assert fetcher.read(answer(body, stamp), request("AUCTIONS_005930", stamp)).is_empty()
    bad = {"output1": {}, "output2": {"antc_cnpr": "x", "antc_vol": "1"}}
    late = answer(bad, stamp - timedelta(seconds=2))
    assert fetcher.read(late, request("AUCTIONS_005930", stamp)).is_empty()
    assert fetcher.take_rejected()["reason"].to_pylist() == ["unreadable value"]


@pytest.mark.parametrize("body", [{}, {"output": []}, {"output": None}, {"output1": "x"}])
def test_an_answer_without_rows_is_empty(body: dict[str, Any]) -> None:
    for fetcher, code in (
        (FlowsFetcher(NO_CLIENT), "FLOWS_KOSPI"),
        (ProgrammeFetcher(NO_CLIENT), "PROGRAMME_KOSPI"),
        (IndexFetcher(NO_CLIENT), "INDEX_KOSPI"),
        (AuctionFetcher(NO_CLIENT), "AUCTIONS_A01612"),
        (AuctionFetcher(NO_CLIENT), "AUCTIONS_005930"),
    ):
        assert read(fetcher, code, body, NINE + MINUTE).is_empty()
    assert read_state(answer(body, NINE), NINE).num_rows == 0


@needs(KIS_SAMPLES)
def test_the_state_of_kiss_own_sample_is_read_and_its_basis_is_that_of_the_theoretical_price() -> (
    None
):
    body = orjson.loads((KIS_SAMPLES / "FHKIF03020200.json").read_bytes())
    (row,) = read_state(answer(body, NINE), NINE).to_pylist()
    assert (row["open_interest"], row["open_interest_change"]) == (11_529, 0)
    assert row["basis"] == pytest.approx(row["theoretical_price"] - row["index_price"])
    assert row["deviation"] == pytest.approx(
        100 * (row["price"] / row["theoretical_price"] - 1), abs=0.01
    )
