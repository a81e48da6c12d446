"""The checks of what KIS tells only once: each finds the damage that it is made for."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import polars as pl

from engine.history.checks import RELATIONS, all_checks, run_checks
from engine.history.completeness import figures, lost_stamps, minutes_until
from engine.market.expected import SESSIONS
from engine.store import ledger

DAY = date(2026, 11, 18)
NINE = datetime(2026, 11, 18, 9, 1)
MINUTE = timedelta(minutes=1)
CHECKS = all_checks()
PARTS = ("foreign", "individual", "institution", "other_organisation", "other_corporation")


def found(table: str, rows: list[dict[str, object]]) -> list[tuple[str, str, int]]:
    key = {"session": DAY}
    columns = RELATIONS[table]
    lacking = dict.fromkeys(columns)  # null
    frame = pl.DataFrame([lacking | row | key for row in rows]).select(
        pl.col(name).cast(kind) for name, kind in columns.items()
    )
    findings = run_checks(CHECKS, {table: frame})
    return findings.select("check", pl.col("first_stamp").dt.strftime("%H:%M"), "bars").rows()


def state(minute: int = 0, **changed: object) -> dict[str, object]:
    row: dict[str, object] = {
        "symbol": "STATE_A01612",
        "timestamp": NINE + minute * MINUTE,
        "price": 1100.1,
        "bid": 1100.05,
        "ask": 1100.1,
        "open_interest": 200_000,
        "open_interest_change": -10,
        "basis": 1.1,
        "theoretical_price": 1100.6,
        "deviation": -0.05,
        "index_price": 1099.0,
        "day_volume": 5_000,
        "day_turnover": 1e9,
    }
    return row | changed


def test_a_state_that_contradicts_itself_is_found() -> None:
    assert found("futures_state", [state(), state(1, basis=1.6)]) == []  # of either price
    for wrong in (
        {"open_interest": -1},
        {"bid": 1100.2},
        {"basis": 9.0},
        {"open_interest_change": 300_000},
    ):
        assert found("futures_state", [state(), state(1, **wrong)]) == [
            ("state_values", "09:02", 1)
        ], wrong


def flows(minute: int = 0, scale: int = 1, **changed: object) -> list[dict[str, object]]:
    bought = dict(zip(PARTS, (30, 50, 15, 3, 2), strict=True))
    sold = dict(zip(PARTS, (20, 60, 10, 6, 4), strict=True))
    rows = []
    for kind in PARTS:
        row: dict[str, object] = {
            "symbol": "FLOWS_KOSPI",
            "timestamp": NINE + minute * MINUTE,
            "investor": kind,
        }
        for unit in ("volume", "amount"):
            net = scale * (bought[kind] - sold[kind])
            row |= {f"bought_{unit}": scale * bought[kind], f"sold_{unit}": scale * sold[kind]}
            row |= {f"net_{unit}": net}
        rows.append(row)
    rows[0] |= changed
    return rows


def test_flows_that_contradict_themselves_are_found() -> None:
    assert found("investor_flows", [*flows(), *flows(1, 2)]) == []
    assert found("investor_flows", [*flows(), *flows(1, 2, net_volume=1)]) == [
        ("flow_values", "09:02", 1)
    ]
    assert (
        found("investor_flows", [*flows(0, 2), *flows(1, 1)]) == [("flow_values", "09:02", 1)] * 5
    )
    more = [*flows(), *flows(1, 2, bought_volume=90, net_volume=50)]
    assert found("investor_flows", more) == [("flow_values", "09:02", 1)]


def test_programme_trades_and_index_bars_that_contradict_themselves_are_found() -> None:
    trades: dict[str, object] = {
        "symbol": "PROGRAMME_KOSPI",
        "timestamp": NINE,
        "arbitrage_sold": 5,
        "arbitrage_bought": 9,
        "arbitrage_net": 4,
        "other_sold": 50,
        "other_bought": 20,
        "other_net": -30,
        "net": -26,
        "index_price": 2900.0,
    }
    volumes: dict[str, object] = {
        "arbitrage_sold_volume": 1,
        "arbitrage_bought_volume": 3,
        "arbitrage_net_volume": 2,
        "other_sold_volume": 9,
        "other_bought_volume": 4,
        "other_net_volume": -5,
        "net_volume": -3,
    }
    assert found("programme_trades", [trades, trades | volumes]) == []
    for wrong in ({"net_volume": 3}, {"other_net_volume": 5}, {"arbitrage_bought_volume": 9}):
        assert found("programme_trades", [trades | volumes | wrong]) == [
            ("programme_values", "09:01", 1)
        ]
    assert found("programme_trades", [trades | {"net": 3}]) == [("programme_values", "09:01", 1)]
    bar: dict[str, object] = {
        "symbol": "INDEX_KOSPI",
        "timestamp": NINE,
        "open": 10.0,
        "high": 12.0,
        "low": 9.0,
        "close": 11.0,
        "volume": 3,
        "day_turnover": 1.0,
    }
    assert found("index_1m", [bar]) == []
    assert found("index_1m", [bar | {"high": 10.5}]) == [("index_values", "09:01", 1)]


def test_an_expectation_that_cannot_be_is_found() -> None:
    row: dict[str, object] = {
        "symbol": "AUCTIONS_005930",
        "timestamp": NINE,
        "said_at": NINE - timedelta(seconds=5),
        "price": 71_200.0,
        "size": 10,
        "source": "FHKST01010200",
    }
    assert found("expected_prices", [row, row | {"price": None, "size": 0}]) == []
    for wrong in ({"size": -1}, {"price": None}, {"said_at": NINE + MINUTE}):
        assert found("expected_prices", [row | wrong]) == [("expected_values", "09:01", 1)], wrong


def test_a_missed_minute_is_unavailable_from_the_start_beyond_the_reach_of_an_answer() -> None:
    """Flows at once, programme trading half an hour later; the ledger has not heard of either."""
    codes = ["FLOWS_KOSPI", "PROGRAMME_KOSPI", "BOOK_A01612", "005930"]
    sessions = pl.DataFrame([(code, DAY) for code in codes], SESSIONS, orient="row")
    stored = pl.DataFrame(schema={"symbol": pl.String, "stamp": pl.Datetime("us")})
    ten = datetime(2026, 11, 18, 10)
    minutes = minutes_until(ten, sessions, stored, pl.DataFrame(schema=ledger.ROWS))
    counts = {row["symbol"]: row for row in figures(minutes).iter_rows(named=True)}
    assert (counts["FLOWS_KOSPI"]["unavailable"], counts["FLOWS_KOSPI"]["open"]) == (58, 1)
    assert counts["PROGRAMME_KOSPI"]["open"] == 29
    assert counts["005930"]["unavailable"] == 0
    lost = minutes.filter(state="unavailable").select("symbol", "reason").unique()
    reasons = {
        "FLOWS_KOSPI": ledger.TOLD_ONCE,
        "PROGRAMME_KOSPI": ledger.TOLD_ONCE,
        "BOOK_A01612": ledger.NOT_FED,  # which nobody can ask for
    }
    assert dict(lost.rows()) == reasons
    marks = minutes.with_columns(state=pl.lit("open"))
    assert set(lost_stamps(marks, ten)["symbol"]) == {*reasons}
