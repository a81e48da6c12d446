"""Validation and repair of what is computed: matrices, summaries, signals, front months."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from engine import schemas
from pipelines.chains import (
    chain_figures,
    chain_matrix,
    chain_summary,
    chain_surface,
    chain_with_greeks,
)
from pipelines.history.backfill import backfill
from pipelines.history.repair import validate_and_fix
from pipelines.history.signal_inputs import computed_signals
from pipelines.history.validate import validate
from strategies.registry import STRATEGIES
from tests.pipelines.history.findings import CHAIN, CONTRACT, DAYS, EVENING, checks
from tests.pipelines.simulated import Desk, desk


def chain_rows() -> pl.DataFrame:
    """Return a chain with 30 calls and 30 puts in three snapshots of a session."""
    minutes = [datetime(2025, 9, 2, 9, m) for m in (1, 2, 3)]
    strikes = [400.0 + 2.5 * n for n in range(30)]
    rows = [
        {
            "timestamp": t,
            "underlying_symbol": CHAIN,
            "symbol": f"{side}{k}",
            "option_type": side,
            "strike": k,
            "price": max(1.0, (436 - k if side == "C" else k - 436)) + 2 + t.minute / 100,
            "bid": 1.0,
            "ask": 1.1,
            "volume": 10,
            "open_interest": 20,
            "iv": 20.0,
            "delta": 0.5,
            "gamma": 0.01,
            "vega": 0.3,
            "theta": -0.1,
            "rho": 0.02,
            "underlying_price": 436.0,
            "underlying_source": "index",
            "quoted_at": t,
            "fetched_at": t,
        }
        for t in minutes
        for side in "CP"
        for k in strikes
    ]
    schema = pl.DataFrame(schemas.OPTION_CHAIN.empty_table()).schema
    return pl.DataFrame(rows, schema)


async def store_chain(at: Desk) -> None:
    rows = chain_rows()
    await at.store.merge("option_chain_raw", schemas.conform(rows, schemas.OPTION_CHAIN))
    with_greeks = chain_with_greeks(rows)
    cells = schemas.conform(chain_matrix(with_greeks), schemas.OPTION_MATRIX)
    await at.store.merge("option_matrices", cells)
    figures = schemas.conform(
        chain_summary(chain_figures(with_greeks), chain_surface(with_greeks)),
        schemas.OPTION_SUMMARY,
    )
    await at.store.merge("option_summary", figures)
    smiles = schemas.conform(chain_surface(with_greeks), schemas.OPTION_SURFACE)
    await at.store.merge("option_surface", smiles)


async def test_matrices_are_compared_with_their_chain_and_computed_again(
    database_url: str, tmp_path: Path
) -> None:
    async with desk(database_url, tmp_path, EVENING) as at:
        await store_chain(at)
        order = "SELECT * FROM option_matrices ORDER BY timestamp, metric_type"
        truth = (await at.frame(order)).drop("committed_at")
        fixed = await validate_and_fix(at.context, [CHAIN])
        # 417 snapshots were never taken, and KIS has no history of them
        assert checks(fixed.before) == {"snapshots"}
        assert (fixed.before.findings["bars"].sum(), fixed.exit_code) == (417, 1)
        # they are missing for good, and that is said
        left = fixed.after.findings
        assert left["bars"].sum() == 417
        assert set(left.select("check", "severity", "detail").rows()) == {
            ("unavailable", "warning", "KIS has no history of option chains")
        }

        await at.store.execute(
            "UPDATE option_matrices SET c_atm = c_atm + 0.01"
            " WHERE metric_type = 'price' AND timestamp = '2025-09-02 09:02'"
        )
        await at.store.execute(
            "DELETE FROM option_matrices"
            " WHERE metric_type = 'iv' AND timestamp = '2025-09-02 09:03'"
        )
        fixed = await validate_and_fix(at.context, [CHAIN])
        assert checks(fixed.before) == {"snapshots", "matrix_values", "unavailable"}
        assert checks(fixed.after) == {"unavailable"}
        assert_frame_equal((await at.frame(order)).drop("committed_at"), truth)


@pytest.mark.parametrize(
    ("damage", "detail"),
    [
        (
            "UPDATE option_summary SET forward_source = NULL, forward_strikes = NULL",
            "forward_source",
        ),
        ("UPDATE option_summary SET forward = forward + 1", "forward: "),
        ("UPDATE option_summary SET flags = 'odd'", "flags: odd stored, "),
        ("DELETE FROM option_summary", "missing, the chain is stored"),
    ],
)
async def test_summaries_are_compared_with_their_chain_and_computed_again(
    database_url: str, tmp_path: Path, damage: str, detail: str
) -> None:
    """The first is what an earlier release has left: no word on what the forward was."""
    async with desk(database_url, tmp_path, EVENING) as at:
        await store_chain(at)
        await validate_and_fix(at.context, [CHAIN])
        order = "SELECT * FROM option_summary ORDER BY timestamp"
        truth = (await at.frame(order)).drop("committed_at")
        assert truth["forward_source"].drop_nulls().len() == truth.height == 3
        await at.store.execute(f"{damage} WHERE timestamp > '2025-09-02 09:01'")
        fixed = await validate_and_fix(at.context, [CHAIN])
        found = fixed.before.findings.filter(pl.col("fix") == "recompute")
        assert found.select("check", "bars").rows() == [("summary_values", 1)] * 2
        assert found["detail"].str.starts_with(detail).all()
        assert "recompute" not in set(fixed.after.findings["fix"])
        assert_frame_equal((await at.frame(order)).drop("committed_at"), truth)


async def test_signals_are_compared_with_the_stored_bars(database_url: str, tmp_path: Path) -> None:
    strategy = STRATEGIES["dolpha1"]
    async with desk(database_url, tmp_path, EVENING) as at:
        await backfill(at.context, [CONTRACT], date(2025, 8, 20), DAYS[1])
        await at.store.execute(
            "INSERT INTO dolpha1_signal (timestamp, symbol, close, monitor_signal, trade_signal,"
            " reason, created_at, committed_at)"
            " SELECT timestamp, symbol, close, 0, 0, 'made up', timestamp, timestamp"
            " FROM futures_1m WHERE timestamp = '2025-09-02 10:00'"
        )
        found = await validate(at.store, at.clock, [])
        details = found.findings.select("check", "bars", "detail").rows()
        assert details == [
            ("signals", 410, "410 signals of dolpha1_signal are missing"),
            ("signals", 1, "1 signals of dolpha1_signal differ"),
        ]
        fixed = await validate_and_fix(at.context, [])
        assert fixed.exit_code == 0
        # the signal that was given is kept beside the one computed from the bars
        given = await at.frame("SELECT given->>'reason' AS reason FROM signal_corrections")
        assert given["reason"].to_list() == ["made up"]
        wanted = pl.DataFrame({"symbol": [CONTRACT], "session": [DAYS[1]]})
        assert (await computed_signals(at.store, strategy, wanted)).height == 411


async def test_rolls_and_the_front_month_series(database_url: str, tmp_path: Path) -> None:
    async with desk(database_url, tmp_path, datetime(2025, 9, 16, 18)) as at:
        await backfill(at.context, ["A01"], date(2025, 9, 10), date(2025, 9, 16), warm_up=1)
        rolls = await at.frame(
            "SELECT symbol, next_symbol, roll_day, difference, adjustment FROM futures_rolls"
            " ORDER BY last_day"
        )
        both = await at.frame(
            "SELECT f.close - o.close AS difference FROM futures_1m o JOIN futures_1m f"
            " USING (timestamp) WHERE o.symbol = '101W09' AND f.symbol = '101W12'"
            " ORDER BY timestamp DESC LIMIT 1"
        )
        difference = both["difference"].item()
        assert difference != 0
        assert rolls.rows() == [
            ("101W09", "101W12", date(2025, 9, 12), difference, difference),
            ("101W12", None, None, None, 0.0),
        ]
        front = await at.frame("SELECT * FROM futures_front ORDER BY timestamp")
        days = front.group_by(pl.col("timestamp").dt.date().alias("day"), maintain_order=True).agg(
            pl.col("symbol").unique().alias("codes"), pl.len()
        )
        assert days.select("codes", "len").rows()[:3] == [
            (["101W09"], 411),
            (["101W09"], 395),
            (["101W12"], days["len"][2]),
        ]
        old = front.filter(pl.col("symbol") == "101W09")
        assert ((old["adjusted_close"] - old["close"] - difference).abs() < 1e-9).all()
